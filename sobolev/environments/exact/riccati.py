"""One-dimensional control with a known optimum.

    s' = s + step a + sigma n,   r = -(s² + cost a²),   n standard normal (S = A = 1)

    Q*(s, a) = -s² - cost a² - gamma (p (s + step a)² + w),   w = p sigma² / (1 - gamma)
    p = 1 + gamma p cost / (cost + gamma p step²),   a* = -gamma p step s / (cost + gamma p step²)

for unbounded actions; in the environment, which clips them, they are exact from all states from which the optimal
actions stay within [-1, 1]. The defaults are those of s' = s + 0.1 u, r = -(s² + 0.1 u²), u = 5 a: the bound is reached
at |s| = 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env

from sobolev.checks import check_at_least, check_positive
from sobolev.environments.base import registry
from sobolev.environments.exact.common import uniform_start
from sobolev.environments.simulated import SimulatorEnv
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

    Args:
        task: the task.
        gamma: discount.

    Returns:
        A scalar.

    Example:
        >>> round(float(curvature(Riccati(), 0.95)), 2)
        3.49
    """
    a = gamma * task.step**2
    b = task.cost * (1.0 - gamma) - a
    return (-b + jnp.sqrt(b**2 + 4.0 * a * task.cost)) / (2.0 * a)


def optimal_action(task: Riccati, gamma: float, s: Array) -> Array:
    """The optimal action a*.

    Args:
        task: the task.
        gamma: discount.
        s: ``[1]``.

    Returns:
        ``[1]``, unbounded.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(a), 2) for a in optimal_action(Riccati(), 0.95, jnp.array([2.0]))]
        [-1.0]
    """
    p = curvature(task, gamma)
    return -gamma * p * task.step * s / (task.cost + gamma * p * task.step**2)


def optimal_value(task: Riccati, gamma: float, s: Array, a: Array) -> Array:
    """Q*, whose gradients automatic differentiation gives.

    Args:
        task: the task.
        gamma: discount.
        s: ``[1]``.
        a: ``[1]``.

    Returns:
        A scalar.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> s = jnp.ones(1)
        >>> slope = jax.grad(optimal_value, argnums=3)(Riccati(), 0.95, s, optimal_action(Riccati(), 0.95, s))
        >>> abs(round(float(slope[0]), 4))
        0.0
    """
    p = curvature(task, gamma)
    s_next = s[0] + task.step * a[0]
    spread = p * task.sigma**2 / (1.0 - gamma)
    return -(s[0] ** 2) - task.cost * a[0] ** 2 - gamma * (p * s_next**2 + spread)


@registry.register("riccati")
def make_riccati(step: float = 0.5, cost: float = 2.5, sigma: float = 0.0, spread: float = 2.0) -> Env:
    """One-dimensional control with a known optimum.

    Args:
        step: change of the state at full action.
        cost: of full action.
        sigma: standard deviation of the noise.
        spread: a start is uniform in [-spread, spread].

    Returns:
        The environment, S = A = 1.

    Raises:
        ValueError: ``sigma`` is negative, or another number is not positive.

    Example:
        >>> make_riccati(sigma=0.1).action_size
        1
    """
    check_positive(step=step, cost=cost)
    check_at_least(0, sigma=sigma)
    return SimulatorEnv(simulator(Riccati(step, cost, sigma)), uniform_start(1, spread), action_size=1)
