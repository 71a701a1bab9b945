"""The body of a task as a page draws it: simple solids, and where each is at each time."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np

from sobolev.environments import Motion

KINDS = {
    mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
    mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
    mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
    mujoco.mjtGeom.mjGEOM_ELLIPSOID: "ellipsoid",
    mujoco.mjtGeom.mjGEOM_BOX: "box",
    mujoco.mjtGeom.mjGEOM_MESH: "box",  # a mesh is drawn as the box around it
}
HIDDEN_GROUP = 3
"""Geoms of this group and above are not shown by MuJoCo's own viewer either."""
MOST_POSES = 40_000
"""Of all solids over all times together: a page stays small."""
UNPAINTED = (0.5, 0.5, 0.5, 1.0)


class Solid(NamedTuple):
    """A geom that is drawn.

    Fields:
        geom: its number in the model.
        kind: of :data:`KINDS`.
        size: radii or half lengths along its own axes, in metres, ``[3]``; of a capsule radius and half length.
        color: red, green and blue, from 0 to 255.
        offset: of the centre of what is drawn, in the geom's own axes, ``[3]``.
    """

    geom: int
    kind: str
    size: tuple[float, ...]
    color: tuple[int, ...]
    offset: np.ndarray


def drawn_body(motion: Motion, times: Sequence[int]) -> dict[str, Any]:
    """What a page needs to draw a body, as JSON takes it.

    Args:
        motion: of the body in an episode.
        times: at which one can look: the body is there at these, and at each step where that is not too much.

    Returns:
        The ``solids`` that move and those that are ``still``, the height of the ``ground`` (None without one), the
        ``times`` that have ``poses``, and the seconds of a step. A pose is position, in metres, and quaternion.
    """
    model, count = motion.model, len(motion.positions)
    every = list(solids_of(model))
    still, solids = ([solid for solid in every if is_still(model, solid.geom) == fixed] for fixed in (True, False))
    shown = range(count) if count * len(solids) <= MOST_POSES else times
    data, poses = mujoco.MjData(model), []
    for t in shown:
        motion.place(data, t)
        poses.append([pose(data, solid) for solid in solids])
    return {
        "solids": [described(solid) for solid in solids],
        "still": [described(solid) | {"pose": pose(data, solid)} for solid in still],
        "ground": ground(model, data),
        "times": list(shown),
        "poses": poses,
        "dt": motion.dt,
    }


def solids_of(model: mujoco.MjModel) -> Iterator[Solid]:
    """The geoms that are drawn: solid ones that can be seen."""
    for geom in range(model.ngeom):
        kind, rgba = KINDS.get(int(model.geom_type[geom])), color_of(model, geom)
        if kind is None or model.geom_group[geom] >= HIDDEN_GROUP or rgba[3] == 0:
            continue
        is_mesh = model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH
        centre, half = np.split(model.geom_aabb[geom], 2)
        size = half if is_mesh else model.geom_size[geom]
        yield Solid(
            geom,
            kind,
            tuple(round(float(x), 4) for x in size),
            tuple(int(255 * x) for x in rgba[:3]),
            centre if is_mesh else np.zeros(3),
        )


def color_of(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """Red, green, blue and opacity, its own before its material's, ``[4]``."""
    own, material = model.geom_rgba[geom], model.geom_matid[geom]
    return model.mat_rgba[material] if material >= 0 and np.allclose(own, UNPAINTED) else own


def is_still(model: mujoco.MjModel, geom: int) -> bool:
    """Whether a geom is fixed to the world."""
    body = model.geom_bodyid[geom]
    return model.body_weldid[body] == 0 and model.body_mocapid[body] < 0


def pose(data: mujoco.MjData, solid: Solid) -> list[float]:
    """Position and quaternion (w, x, y, z) of a solid."""
    rotation, quaternion = data.geom_xmat[solid.geom], np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation)
    position = data.geom_xpos[solid.geom] + rotation.reshape(3, 3) @ solid.offset
    return [round(float(x), 4) if math.isfinite(x) else 0.0 for x in (*position, *quaternion)]


def described(solid: Solid) -> dict[str, Any]:
    """A solid without its pose."""
    return {"kind": solid.kind, "size": solid.size, "color": solid.color}


def ground(model: mujoco.MjModel, data: mujoco.MjData) -> float | None:
    """The height of the first plane that lies flat, in metres."""
    for geom in range(model.ngeom):
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE and data.geom_xmat[geom][8] > 0.999:
            return round(float(data.geom_xpos[geom][2]), 4)
    return None


def action_names(motion: Motion, count: int) -> list[str] | None:
    """Of the components of an action, those of the actuators; None where they are not one each, or have no names."""
    model = motion.model
    names = [mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_ACTUATOR, i) for i in range(model.nu)]
    return names if len(names) == count and all(names) else None
