"""One-dimensional control with a known optimum.

    s' = s + step a + sigma n,   r = -(s² + cost a²),   n standard normal (S = A = 1)

    Q*(s, a) = -s² - cost a² - gamma (p (s + step a)² + w),   w = p sigma² / (1 - gamma)
    p = 1 + gamma p cost / (cost + gamma p step²),   a* = -gamma p step s / (cost + gamma p step²)

for unbounded actions; in the environment they are exact from all states whose optimal actions stay within [-1, 1]. The
defaults are those of s' = s + 0.1 u, r = -(s² + 0.1 u²), u = 5 a: the bound is reached at |s| = 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev.types import Array, Key, Simulator, Transition


class Riccati(NamedTuple):
    """The task's numbers: ``step``, ``cost`` and ``sigma`` of the equations above."""

    step: float = 0.5
    cost: float = 2.5
    sigma: float = 0.0


def simulator(task: Riccati) -> Simulator:
    """The task's step; its noise is n, ``[]``."""

    def noise(key: Key) -> Array:
        return jax.random.normal(key)

    def infer(key: Key, transition: Transition) -> Array:
        del key
        remainder = transition.s_next - transition.s - task.step * transition.a
        return remainder[0] / jnp.where(task.sigma > 0, task.sigma, jnp.inf)

    def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        return s + task.step * a + task.sigma * n, -(s[0] ** 2 + task.cost * a[0] ** 2), jnp.ones(())

    return Simulator(noise, infer, simulate)


def curvature(task: Riccati, gamma: float) -> Array:
    """The p of V*(s) = -(p s² + w), positive root of gamma step² p² + (cost (1 - gamma) - gamma step²) p - cost = 0.

    Example:
        >>> round(float(curvature(Riccati(), 0.95)), 2)
        3.49
    """
    a = gamma * task.step**2
    b = task.cost * (1.0 - gamma) - a
    return (-b + jnp.sqrt(b**2 + 4.0 * a * task.cost)) / (2.0 * a)


def optimal_action(task: Riccati, gamma: float, s: Array) -> Array:
    """a* at ``s[1]``, ``[1]``."""
    p = curvature(task, gamma)
    return -gamma * p * task.step * s / (task.cost + gamma * p * task.step**2)


def optimal_value(task: Riccati, gamma: float, s: Array, a: Array) -> Array:
    """Q* at ``s[1]`` and ``a[1]``, a scalar; its gradients are those of automatic differentiation."""
    p = curvature(task, gamma)
    s_next = s[0] + task.step * a[0]
    spread = p * task.sigma**2 / (1.0 - gamma)
    return -(s[0] ** 2) - task.cost * a[0] ** 2 - gamma * (p * s_next**2 + spread)
