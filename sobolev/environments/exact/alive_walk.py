"""A walk that pays 1 a step until it leaves an interval: pathwise gradients are 0, that of the mean is not.

    s' = s + step a + sigma n,   r = 1,   over when |s'| > 1,   n standard normal (S = A = 1)

The return counts steps. At fixed noise it is piecewise constant in the action, so that d_a Z = 0 almost surely, and the
law that a Sobolev backup converges to has gradient 0; but E Z depends on the action, through the chance of the end:

    E Z(s, a) = 1 + gamma integral_{-1}^{1} N(x; s + step a, sigma²) V(x) dx,   V(x) = E Z(x, pi(x))
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sobolev.types import Array, Key, Simulator, Transition


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


def expected_return(
    task: AliveWalk, policy: Callable[[Array], Array], gamma: float, s: Array, a: Array, nodes: int = 64
) -> Array:
    """``E Z`` at ``s[1]`` and ``a[1]``, a scalar, differentiable in both.

    The integral equation is solved on Gauss-Legendre nodes (Nyström's method): for a smooth policy the error falls
    faster than any power of their number, once they are a few to every sigma.
    """
    x, weights = (jnp.asarray(array) for array in np.polynomial.legendre.leggauss(nodes))

    def density(mean: Array) -> Array:
        return jnp.exp(-(((x - mean) / task.sigma) ** 2) / 2.0) / (task.sigma * jnp.sqrt(2.0 * jnp.pi))

    means = jax.vmap(lambda x: x + task.step * policy(x[None])[0])(x)
    kernel = jax.vmap(density)(means) * weights
    values = jnp.linalg.solve(jnp.eye(nodes) - gamma * kernel, jnp.ones(nodes))
    return 1.0 + gamma * density(s[0] + task.step * a[0]) @ (weights * values)
