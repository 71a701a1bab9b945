"""What a training configuration refuses, and what it derives."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sobolev.environments import MultiplicativeObservation, PointMass
from sobolev.horizons import Fixed
from sobolev.training import TrainConfig
from sobolev.training.replay import Window
from tests.helpers import tiny_agent

Make = Callable[..., TrainConfig]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"total_steps": 0}, ["train.total_steps", "0"]),
        ({"checkpoint_every": -1}, ["train.checkpoint_every", "-1"]),
        ({"num_seeds": 0}, ["train.num_seeds", "at least 1", "0"]),
        ({"updates_per_step": 0.3}, ["train.updates_per_step", "whole number", "0.3"]),
        ({"warmup_steps": 7}, ["train.warmup_steps", "multiple of train.num_envs", "7"]),
        ({"eval_every": 11}, ["train.eval_every", "multiple of train.num_envs", "11"]),
        ({"warmup_steps": 200}, ["train.warmup_steps", "train.total_steps", "200"]),
        ({"replay_capacity": 6}, ["train.warmup_steps", "train.replay_capacity", "6"]),
        ({"warmup_steps": 4, "agent": tiny_agent(n_step=3)}, ["train.warmup_steps", "agent.n_step", "3"]),
        ({"warmup_steps": 8, "agent": tiny_agent(horizon=Fixed(5, "replay"))}, ["agent.horizon", "5", "9", "8"]),
        ({"num_seeds": 6, "seeds_at_once": 4}, ["train.seeds_at_once", "divide", "4", "6"]),
        ({"seeds_at_once": 0}, ["train.seeds_at_once", "0"]),
        ({"seed": -1}, ["train.seed", "-1"]),
        ({"seed": 2**31 - 1, "num_seeds": 2}, ["train.seed", "2147483647"]),
        ({"restart_after": 0}, ["train.restart_after", "0"]),
        ({"memory_limit_gib": 0.0}, ["train.memory_limit_gib", "0.0"]),
    ],
)
def test_wrong_numbers_are_refused_by_name_and_value(tiny: Make, wrong: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ValueError, match=r"train\.") as caught:
        tiny(**wrong)
    assert [word for word in named if word not in str(caught.value)] == []


def test_numbers_reach_the_loop(tiny: Make) -> None:
    config = tiny(agent=tiny_agent(n_step=3, gamma=0.5), updates_per_step=1.5, warmup_updates=6, replay_capacity=30)
    loop = config.loop
    assert (loop.updates, loop.batch_size, loop.replay_capacity) == (3, 6, 30)
    assert loop.window == Window(3, 2, 0.5, length=1)
    ahead = tiny(agent=tiny_agent(n_step=2, horizon=Fixed(2, "replay"))).loop.window
    assert (ahead.length, ahead.reach) == (2, (2 * 2 - 1) * 2)
    assert replace(config, replay_capacity=10**9).loop.replay_capacity == config.total_steps


def test_episodes_of_training_restart_with_a_probability(tiny: Make) -> None:
    assert tiny().loop.restart_probability == 0
    assert tiny(restart_after=4).loop.restart_probability == 0.25
    assert tiny(restart_after=4).loop.episode_length == tiny().loop.episode_length == 7


def test_seeds_are_grouped(tiny: Make) -> None:
    assert tiny(seed=5).seed_groups == (range(5, 6),)
    assert tiny(seed=5, num_seeds=6).seed_groups == (range(5, 11),)
    assert tiny(seed=5, num_seeds=6, seeds_at_once=2).seed_groups == (range(5, 7), range(7, 9), range(9, 11))


def test_task_is_the_environment_with_its_noise(tiny: Make) -> None:
    env = PointMass()
    assert tiny(environment=env).task is env
    noisy = tiny(environment=env, noise=MultiplicativeObservation).task
    assert isinstance(noisy, MultiplicativeObservation)
    assert noisy.env is env
