"""A job that compiles in seconds: the point mass, tiny networks, forty steps."""

from collections.abc import Callable
from typing import Any

import optax
import pytest

from sobolev.environments import PointMass
from sobolev.training import TrainConfig
from tests.helpers import QUICK_COMPILATION, tiny_agent


def tiny_numbers() -> dict[str, Any]:
    """Of the job, by name."""
    return {
        "environment": PointMass(num_locations=2),
        "noise": None,
        # Small steps: large ones would blow differences of rounding up.
        "agent": tiny_agent(critic_optimizer=optax.sgd(1e-3), actor_optimizer=optax.sgd(1e-3)),
        "total_steps": 40,
        "episode_length": 7,
        "num_envs": 2,
        "updates_per_step": 1.0,
        "warmup_steps": 8,
        "warmup_updates": 4,
        "eval_every": 10,
        "eval_episodes": 3,
        "checkpoint_every": 20,
        "cpu_compiler_options": QUICK_COMPILATION,
    }


@pytest.fixture(scope="session")
def tiny() -> Callable[..., TrainConfig]:
    """``tiny(**changes) -> TrainConfig``."""

    def make(**changes: Any) -> TrainConfig:
        return TrainConfig(**{**tiny_numbers(), **changes})

    return make
