from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest

from sobolev.environments import SimulatorEnv
from sobolev.types import Array, Simulator


@pytest.fixture(scope="session")
def simulated() -> Callable[[Callable[..., tuple[Array, Array, Array]], float], SimulatorEnv]:
    """``simulated(simulate, start)``: an environment with S = A = 1 whose noise is standard normal, ``[]``."""

    def make(simulate: Callable[..., tuple[Array, Array, Array]], start: float) -> SimulatorEnv:
        simulator = Simulator(jax.random.normal, lambda key, transition: jnp.zeros(()), simulate)
        return SimulatorEnv(simulator, lambda key: jnp.array([start]), action_size=1)

    return make
