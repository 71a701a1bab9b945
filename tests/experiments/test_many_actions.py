"""Robots with many actions, of gymnasium-robotics and of myosuite, where these are installed."""

import importlib.util
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest

from agents.gin_messages import ConfigError
from experiments.lib.learning import load_job
from experiments.robots import arm_of
from sobolev.environments import HostEnv


class Robot(NamedTuple):
    """A task, and what it needs."""

    task: str
    actions: int
    module: str
    package: str
    command: str


ROBOTICS = ("experiments.lib.robotics:", "gymnasium_robotics", "pip install --no-deps gymnasium-robotics pettingzoo")
MUSCLES = ("experiments.lib.muscles:", "myosuite", "pip install --no-deps myosuite flatten_dict")
CHEETAHS = Robot("coupled_cheetahs", 12, *ROBOTICS)
ROBOTS = [
    CHEETAHS,
    Robot("hand_reach", 20, *ROBOTICS),
    Robot("hand_door", 28, *ROBOTICS),
    Robot("myo_hand_pose", 39, *MUSCLES),
]


def is_installed(robot: Robot) -> bool:
    return importlib.util.find_spec(robot.package) is not None


def environment_of(robot: Robot) -> HostEnv:
    if not is_installed(robot):
        pytest.skip(f"needs {robot.command}")
    env = load_job(arm_of(robot.task, "TD3")).env
    assert isinstance(env, HostEnv)
    return env


@pytest.mark.parametrize("robot", ROBOTS, ids=lambda robot: robot.task)
def test_a_missing_package_is_told_with_its_command(robot: Robot) -> None:
    if is_installed(robot):
        pytest.skip("the package is there")
    with pytest.raises(ConfigError) as caught:
        load_job(arm_of(robot.task, "TD3"))
    assert str(caught.value).startswith(f"environments.gymnasium: {robot.module}")
    assert f"{robot.package} is missing: {robot.command}" in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # of what myosuite imports, and of its spaces
@pytest.mark.parametrize("robot", ROBOTS, ids=lambda robot: robot.task)
def test_each_action_moves_the_robot(robot: Robot) -> None:
    env = environment_of(robot)
    assert env.action_size == robot.actions
    instance = env.make()
    instance.reset(seed=0)
    at_rest = instance.step(np.zeros(robot.actions))[0]
    for action in np.eye(robot.actions):
        instance.reset(seed=0)
        assert np.any(instance.step(action)[0] != at_rest)


@pytest.mark.filterwarnings("ignore")
def test_coupled_cheetahs_see_their_tendon() -> None:
    """Its length is their distance, and its Jacobian in their places the direction from one to the other."""
    environment_of(CHEETAHS)  # names the task to Gymnasium, or skips
    instance: Any = gymnasium.make("CoupledHalfCheetah-v0").unwrapped
    instance.reset(seed=0)
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 12)):
        seen, reward, ended, _, info = instance.step(action)
    assert not ended
    positions, velocities, jacobian, length = seen[:16], seen[16:34], seen[34:38], seen[38]
    np.testing.assert_array_equal(positions, instance.data.qpos[[*range(1, 9), *range(10, 18)]])
    np.testing.assert_array_equal(velocities, instance.data.qvel)
    first, second = instance.data.site("t0").xpos, instance.data.site("t1").xpos
    np.testing.assert_allclose(length, np.linalg.norm(first - second), rtol=1e-6)
    x, _, z = (first - second) / length
    np.testing.assert_allclose(jacobian, [x, z, -x, -z], rtol=1e-6, atol=1e-9)
    forward = 0.5 * (info["x_velocity1"] + info["x_velocity2"])
    np.testing.assert_allclose(reward, forward - 0.05 * np.square(action).sum(), rtol=1e-6)
