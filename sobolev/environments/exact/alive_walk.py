"""A walk that pays 1 per step until it leaves an interval: pathwise gradients are 0, that of the mean is not.

    s' = s + step a + sigma n,   r = 1,   over when |s'| > 1,   n standard normal (S = A = 1)

The return counts steps. At fixed noise it is piecewise constant in the action, so d_a Z = 0 almost surely, and the
distribution to which a Sobolev backup converges has gradient 0. But E Z depends on the action, through the probability
of the end:

    E Z(s, a) = 1 + gamma integral_{-1}^{1} N(x; s + step a, sigma²) V(x) dx,   V(x) = E Z(x, pi(x))
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env

from sobolev.checks import check_positive
from sobolev.environments.base import registry
from sobolev.environments.exact.common import uniform_start
from sobolev.environments.simulated import SimulatorEnv
from sobolev.types import Array, Key, Policy, Simulator, Transition


class AliveWalk(NamedTuple):
    """The task's numbers: ``step`` and ``sigma`` of the equations above."""

    step: float = 0.5
    sigma: float = 0.2


def simulator(task: AliveWalk) -> Simulator:
    """The task's step; its noise is n, ``[]``, and c is 1 while |s'| <= 1, else 0."""

    def noise(key: Key) -> Array:
        return jax.random.normal(key)

    def infer(key: Key, transition: Transition) -> Array:
        del key
        return (transition.s_next - transition.s - task.step * transition.a)[0] / task.sigma

    def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        s_next = s + task.step * a + task.sigma * n
        return s_next, jnp.ones(()), (jnp.abs(s_next[0]) <= 1.0).astype(s_next.dtype)

    return Simulator(noise, infer, simulate)


def expected_return(task: AliveWalk, policy: Policy, gamma: float, s: Array, a: Array, nodes: int = 64) -> Array:
    """``E Z``, the expected discounted number of steps.

    The integral equation is solved on Gauss-Legendre nodes (Nyström's method). For a smooth policy the error falls
    faster than any power of their number, once there are a few of them per sigma.

    Args:
        task: the task.
        policy: ``(s[1]) -> a[1]``, smooth.
        gamma: discount.
        s: ``[1]``.
        a: ``[1]``.
        nodes: number of the nodes in [-1, 1].

    Returns:
        A scalar, differentiable in ``s`` and ``a``.

    Example:
        >>> import jax.numpy as jnp
        >>> safe = AliveWalk(step=0.0, sigma=0.01)  # in the middle, the end is far away
        >>> round(float(expected_return(safe, lambda s: s, 0.5, jnp.zeros(1), jnp.zeros(1), nodes=400)), 4)
        2.0
    """
    x, weights = (jnp.asarray(array) for array in np.polynomial.legendre.leggauss(nodes))

    def density(mean: Array) -> Array:
        return jnp.exp(-(((x - mean) / task.sigma) ** 2) / 2.0) / (task.sigma * jnp.sqrt(2.0 * jnp.pi))

    means = jax.vmap(lambda x: x + task.step * policy(x[None])[0])(x)
    kernel = jax.vmap(density)(means) * weights
    values = jnp.linalg.solve(jnp.eye(nodes) - gamma * kernel, jnp.ones(nodes))
    return 1.0 + gamma * density(s[0] + task.step * a[0]) @ (weights * values)


@registry.register("alive_walk")
def make_alive_walk(step: float = 0.5, sigma: float = 0.2, spread: float = 0.5) -> Env:
    """A walk that pays 1 per step until it leaves [-1, 1].

    Args:
        step: change of the state at full action.
        sigma: standard deviation of the noise.
        spread: a start is uniform in [-spread, spread].

    Returns:
        The environment, S = A = 1.

    Raises:
        ValueError: a number that is not positive.

    Example:
        >>> make_alive_walk(sigma=0.1).action_size
        1
    """
    check_positive(step=step, sigma=sigma)
    return SimulatorEnv(simulator(AliveWalk(step, sigma)), uniform_start(1, spread), action_size=1)
