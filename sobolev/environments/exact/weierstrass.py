"""A bounded, smooth reward whose return has no gradient: the condition gamma kappa < 1 is sharp.

    s' = kappa s + a,   r = cos s,   a = 0 (S = A = 1)

The return sum_t gamma^t cos(kappa^t s) is Weierstrass's function: differentiable if gamma kappa < 1, and nowhere if
gamma kappa >= 1 (Hardy, Transactions of the AMS 1916).
"""

from typing import NamedTuple

import jax.numpy as jnp

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
    """The return of the first ``horizon`` steps from ``s[]`` without action; differentiable for every finite horizon.

    Its error against the full return is at most ``gamma^horizon / (1 - gamma)``; kappa^horizon s must be a number whose
    cosine the precision still resolves.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(value(Weierstrass(2.0), 0.5, 3, jnp.pi)), 4)  # -1 + 1/2 + 1/4
        -0.25
    """
    t = jnp.arange(horizon)
    return jnp.sum(gamma**t * jnp.cos(task.kappa**t * s))


def slope_bound(task: Weierstrass, gamma: float) -> float:
    """``1 / (1 - gamma kappa) >= |d value|`` for every horizon where gamma kappa < 1, else inf.

    The slopes of the rewards are at most 1, gamma kappa, (gamma kappa)², ...
    """
    return 1.0 / (1.0 - gamma * task.kappa) if gamma * task.kappa < 1 else float("inf")
