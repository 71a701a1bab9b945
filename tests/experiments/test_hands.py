"""The hands of gymnasium-robotics and of myosuite, where these are installed."""

import importlib.util
from typing import NamedTuple

import numpy as np
import pytest

from agents.gin_messages import ConfigError
from experiments.lib.learning import load_job
from experiments.robots import arm_of
from sobolev.environments import HostEnv


class Hand(NamedTuple):
    """A task, and what it needs."""

    task: str
    actions: int
    module: str
    package: str
    command: str


ROBOTS = ("experiments.lib.hands:", "gymnasium_robotics", "pip install --no-deps gymnasium-robotics pettingzoo")
MUSCLES = ("experiments.lib.muscles:", "myosuite", "pip install --no-deps myosuite flatten_dict")
HANDS = [Hand("hand_reach", 20, *ROBOTS), Hand("hand_door", 28, *ROBOTS), Hand("myo_hand_pose", 39, *MUSCLES)]


def is_installed(hand: Hand) -> bool:
    return importlib.util.find_spec(hand.package) is not None


@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.task)
def test_a_missing_package_is_told_with_its_command(hand: Hand) -> None:
    if is_installed(hand):
        pytest.skip("the package is there")
    with pytest.raises(ConfigError) as caught:
        load_job(arm_of(hand.task, "TD3"))
    assert str(caught.value).startswith(f"environments.gymnasium: {hand.module}")
    assert f"{hand.package} is missing: {hand.command}" in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # of what myosuite imports, and of its spaces
@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.task)
def test_each_action_moves_the_hand(hand: Hand) -> None:
    if not is_installed(hand):
        pytest.skip(f"needs {hand.command}")
    env = load_job(arm_of(hand.task, "TD3")).env
    assert isinstance(env, HostEnv)
    assert env.action_size == hand.actions
    instance = env.make()
    instance.reset(seed=0)
    at_rest = instance.step(np.zeros(hand.actions))[0]
    for action in np.eye(hand.actions):
        instance.reset(seed=0)
        assert np.any(instance.step(action)[0] != at_rest)
