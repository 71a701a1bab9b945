"""Bodies that MuJoCo describes: those of Gymnasium's and dm_control's tasks, and of Brax's on any of its backends.

A task of these kinds has a MuJoCo model, and its generalized positions say where each part of the body is, whoever has
computed them.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from brax.envs.base import Env, State

if TYPE_CHECKING:
    import gymnasium
    import mujoco


class Motion(NamedTuple):
    """A body at T times.

    Fields:
        model: the ``mujoco.MjModel``.
        positions: generalized positions, and those of bodies that are moved from outside, ``[T, Q]``; see
            :meth:`place`.
        dt: seconds between two times.
    """

    model: Any
    positions: np.ndarray
    dt: float

    def place(self, data: "mujoco.MjData", t: int) -> None:
        """Brings ``mujoco.MjData`` of the model to time t: the positions and orientations of all its geoms.

        Example:
            >>> import jax, mujoco
            >>> from sobolev.environments import make_brax
            >>> env = make_brax("inverted_pendulum")
            >>> motion = motion_of_states(env, jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3)))
            >>> data = mujoco.MjData(motion.model)
            >>> motion.place(data, 2)
            >>> data.geom_xpos.shape
            (3, 3)
        """
        import mujoco

        mujoco.mj_setState(self.model, data, self.positions[t].astype(np.float64), _recorded())
        mujoco.mj_forward(self.model, data)


def _recorded() -> int:
    """What of a state says where everything is."""
    from mujoco import mjtState

    return int(mjtState.mjSTATE_QPOS | mjtState.mjSTATE_MOCAP_POS | mjtState.mjSTATE_MOCAP_QUAT)


def motion_of_states(env: Env, states: State) -> Motion | None:
    """The motion in environment states ``[T]`` of a Brax task.

    Args:
        env: on the device.
        states: of it.

    Returns:
        The motion; None for a task that no MuJoCo model describes.

    Example:
        >>> import jax
        >>> from sobolev.environments import PointMass
        >>> env = PointMass()
        >>> motion_of_states(env, jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 3))) is None
        True
    """
    model = getattr(getattr(env.unwrapped, "sys", None), "mj_model", None)
    if model is None or model.nmocap > 0:
        return None
    return Motion(model, np.asarray(states.pipeline_state.q), float(env.unwrapped.dt))


class MotionRecorder:
    """Records the body of an environment of Gymnasium, where it has one.

    Args:
        env: that has been reset.

    Example:
        >>> import gymnasium
        >>> env = gymnasium.make("Pendulum-v1")
        >>> recorder = MotionRecorder(env)
        >>> recorder.record()
        >>> recorder.motion() is None  # drawn by other means than MuJoCo
        True
    """

    def __init__(self, env: "gymnasium.Env") -> None:
        self._found, self._dt = _mujoco_of(env), getattr(env.unwrapped, "dt", None)
        self._positions: list[np.ndarray] = []

    def record(self) -> None:
        """Takes down where the body is now."""
        if self._found is not None:
            import mujoco

            model, data = self._found
            position = np.zeros(mujoco.mj_stateSize(model, _recorded()))
            mujoco.mj_getState(model, data, position, _recorded())
            self._positions.append(position)

    def motion(self) -> Motion | None:
        """All that has been recorded; None where the environment has no MuJoCo model."""
        if self._found is None or not self._positions:
            return None
        model = self._found[0]
        return Motion(model, np.stack(self._positions), float(self._dt or model.opt.timestep))


def _mujoco_of(env: "gymnasium.Env") -> tuple[Any, Any] | None:
    """Model and data of an environment; None where it has none."""
    import mujoco

    task = env.unwrapped
    physics = getattr(getattr(task, "_env", None), "physics", None)  # dm_control's tasks, which Shimmy wraps
    if physics is not None:
        return physics.model.ptr, physics.data.ptr
    model, data = getattr(task, "model", None), getattr(task, "data", None)
    return (model, data) if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData) else None
