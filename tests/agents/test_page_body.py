"""What a page draws of a body, against a model written for the purpose."""

import mujoco
import numpy as np
import pytest

from agents.page import body
from sobolev.environments import Motion

MODEL = """
<mujoco>
  <asset>
    <material name="painted" rgba="0.2 0.4 0.6 1"/>
    <mesh name="wedge" vertex="0 0 0  1 0 0  0 2 0  0 0 3"/>
  </asset>
  <worldbody>
    <geom type="plane" size="1 1 0.1" pos="0 0 -0.25"/>
    <geom name="wall" type="box" size="0.1 0.2 0.3" pos="2 0 0" rgba="1 0 0 1"/>
    <body>
      <joint name="slide" type="slide" axis="1 0 0"/>
      <joint name="hinge" type="hinge" axis="0 0 1"/>
      <geom name="rod" type="capsule" size="0.05 0.4" pos="0.5 0 0" material="painted"/>
      <geom name="hidden" type="sphere" size="0.1" group="3"/>
      <geom name="glass" type="sphere" size="0.1" rgba="1 1 1 0"/>
      <geom name="wedge" type="mesh" mesh="wedge"/>
    </body>
  </worldbody>
  <actuator><motor joint="slide" name="push"/><motor joint="hinge" name="twist"/></actuator>
</mujoco>
"""


@pytest.fixture
def motion() -> Motion:
    positions = np.array([[0.0, 0.0], [1.0, np.pi / 2], [-2.0, 0.0]])
    return Motion(mujoco.MjModel.from_xml_string(MODEL), positions, dt=0.1)


def test_solids_are_those_that_can_be_seen_in_their_colors(motion: Motion) -> None:
    found = body.drawn_body(motion, [0, 2])
    assert found["still"] == [
        {"kind": "box", "size": (0.1, 0.2, 0.3), "color": (255, 0, 0), "pose": [2, 0, 0, 1, 0, 0, 0]}
    ]
    rod, wedge = found["solids"]
    assert rod == {"kind": "capsule", "size": (0.05, 0.4, 0.0), "color": (51, 102, 153)}
    assert wedge["kind"] == "box"
    assert sorted(wedge["size"]) == pytest.approx([0.5, 1.0, 1.5], rel=0.3)  # around it, along its own axes
    assert (found["ground"], found["dt"], found["times"]) == (-0.25, 0.1, [0, 1, 2])


def test_poses_are_positions_and_quaternions(motion: Motion) -> None:
    """The rod is half a metre along x, and along y after a quarter turn about z."""
    poses = [pose[0] for pose in body.drawn_body(motion, [0])["poses"]]
    np.testing.assert_allclose(poses[0], [0.5, 0, 0, 1, 0, 0, 0], atol=1e-4)
    np.testing.assert_allclose(poses[1], [1.0, 0.5, 0, np.sqrt(0.5), 0, 0, np.sqrt(0.5)], atol=1e-4)
    np.testing.assert_allclose(poses[2], [-1.5, 0, 0, 1, 0, 0, 0], atol=1e-4)


def test_the_middle_of_a_mesh_is_that_of_the_box_around_it(motion: Motion) -> None:
    """All corners of the wedge lie within the box, and each side of the box touches one."""
    found = body.drawn_body(motion, [0])
    pose, size = found["poses"][1][1], np.array(found["solids"][1]["size"])
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, np.array(pose[3:]))
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]]) @ quarter.T + [1, 0, 0]
    within = (corners - pose[:3]) @ rotation.reshape(3, 3)
    np.testing.assert_allclose(np.max(np.abs(within), axis=0), size, atol=2e-3)


def test_many_poses_are_left_to_the_times_that_are_looked_at(motion: Motion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MOST_POSES", 5)
    found = body.drawn_body(motion, [0, 2])
    assert (found["times"], len(found["poses"])) == ([0, 2], 2)


def test_actions_have_the_names_of_their_actuators(motion: Motion) -> None:
    assert body.action_names(motion, 2) == ["push", "twist"]
    assert body.action_names(motion, 3) is None
