"""An environment: a unit mass on a line under random pushes, paid for being near the origin."""

import jax
import jax.numpy as jnp

from sobolev import environments
from sobolev.types import Array, Key, Simulator, Transition


@environments.registry.register("pushed_mass")
def make_pushed_mass(dt: float = 0.1, sigma: float = 0.05) -> environments.SimulatorEnv:
    """``v' = v + dt a + sigma n``, ``x' = x + dt v'``, r = exp(-x'²), n ~ N(0, 1); the state is s = (x, v)."""

    def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        v = s[1] + dt * a[0] + sigma * n
        x = s[0] + dt * v
        return jnp.stack([x, v]), jnp.exp(-(x**2)), jnp.ones(())  # the 1 is the probability of going on

    def infer(key: Key, transition: Transition) -> Array:
        return (transition.s_next[1] - transition.s[1] - dt * transition.a[0]) / sigma

    def reset(key: Key) -> Array:
        return jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)

    simulator = Simulator(noise=jax.random.normal, infer=infer, simulate=simulate)
    return environments.SimulatorEnv(simulator, reset, action_size=1)
