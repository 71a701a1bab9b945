"""A bounded, smooth reward whose return has no gradient where gamma kappa >= 1: the condition is sharp.

    s' = kappa s + a,   r = cos s,   a = 0 (S = A = 1)

The return sum_t gamma^t cos(kappa^t s) is Weierstrass's function: differentiable if gamma kappa < 1, and nowhere if
gamma kappa >= 1 (Hardy, Transactions of the AMS 1916).
"""

from typing import NamedTuple

import jax.numpy as jnp
from brax.envs.base import Env

from sobolev.checks import check_positive
from sobolev.environments.base import registry
from sobolev.environments.exact.common import uniform_start
from sobolev.environments.simulated import SimulatorEnv
from sobolev.types import Array, Key, Simulator, Transition


class Weierstrass(NamedTuple):
    """The task's one number: the expansion ``kappa`` of the state."""

    kappa: float


def simulator(task: Weierstrass) -> Simulator:
    """The task's step, without noise."""

    def noise(key: Key) -> Array:
        del key
        return jnp.zeros(0)

    def infer(key: Key, transition: Transition) -> Array:
        del key, transition
        return jnp.zeros(0)

    def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        del n
        return task.kappa * s + a, jnp.cos(s[0]), jnp.ones(())

    return Simulator(noise, infer, simulate)


def value(task: Weierstrass, gamma: float, horizon: int, s: Array) -> Array:
    """The return of the first steps without action, ``sum_{t < horizon} gamma^t cos(kappa^t s)``.

    Its error against the full return is at most ``gamma^horizon / (1 - gamma)``; kappa^horizon s must be a number whose
    cosine the precision still resolves.

    Args:
        task: the task.
        gamma: discount.
        horizon: number of steps.
        s: the first state, a scalar.

    Returns:
        A scalar, differentiable for every finite horizon.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(value(Weierstrass(2.0), 0.5, 3, jnp.pi)), 4)  # -1 + 1/2 + 1/4
        -0.25
    """
    t = jnp.arange(horizon)
    return jnp.sum(gamma**t * jnp.cos(task.kappa**t * s))


def slope_bound(task: Weierstrass, gamma: float) -> float:
    """A bound of ``|d value / d s|`` for every horizon: the slopes of the rewards are at most 1, gamma kappa, ...

    Args:
        task: the task.
        gamma: discount.

    Returns:
        ``1 / (1 - gamma kappa)`` where gamma kappa < 1, else inf.

    Example:
        >>> slope_bound(Weierstrass(1.0), 0.5), slope_bound(Weierstrass(2.0), 0.5)
        (2.0, inf)
    """
    return 1.0 / (1.0 - gamma * task.kappa) if gamma * task.kappa < 1 else float("inf")


@registry.register("weierstrass")
def make_weierstrass(kappa: float = 1.2, spread: float = 1.0) -> Env:
    """A state that expands by kappa, under a reward cos s.

    Args:
        kappa: the expansion per step.
        spread: a start is uniform in [-spread, spread].

    Returns:
        The environment, S = A = 1.

    Raises:
        ValueError: a number that is not positive.

    Example:
        >>> make_weierstrass(kappa=1.5).observation_size
        1
    """
    check_positive(kappa=kappa)
    return SimulatorEnv(simulator(Weierstrass(kappa)), uniform_start(1, spread), action_size=1)
