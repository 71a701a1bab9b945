"""The hands of gymnasium-robotics, where they are installed."""

import importlib.util

import numpy as np
import pytest

from agents.gin_messages import ConfigError
from experiments.lib.learning import load_job
from experiments.robots import arm_of
from sobolev.environments import HostEnv

INSTALLED = importlib.util.find_spec("gymnasium_robotics") is not None


@pytest.mark.skipif(INSTALLED, reason="the package is there")
@pytest.mark.parametrize("task", ["hand_reach", "hand_door"])
def test_a_missing_package_is_told_with_its_command(task: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_job(arm_of(task, "TD3"))
    assert str(caught.value).startswith("environments.gymnasium: experiments.lib.hands:")
    assert "gymnasium_robotics is missing: pip install --no-deps gymnasium-robotics pettingzoo" in str(caught.value)


@pytest.mark.skipif(not INSTALLED, reason="needs pip install --no-deps gymnasium-robotics pettingzoo")
@pytest.mark.parametrize(("task", "actions"), [("hand_reach", 20), ("hand_door", 28)])
def test_each_action_moves_the_hand(task: str, actions: int) -> None:
    env = load_job(arm_of(task, "TD3")).env
    assert isinstance(env, HostEnv)
    assert env.action_size == actions
    hand = env.make()
    hand.reset(seed=0)
    at_rest = hand.step(np.zeros(actions))[0]
    for action in np.eye(actions):
        hand.reset(seed=0)
        assert np.any(hand.step(action)[0] != at_rest)
