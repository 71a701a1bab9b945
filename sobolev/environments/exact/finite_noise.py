"""Finitely many noises: laws with finitely many atoms, and their exact push-forward.

    s' = tanh(F_n s + G_n a + c_n),   r = sin(q_n·s + p_n·a),   n uniform on 0 ... K-1

After T steps the joint sample has K^T equally likely atoms, and a backup maps discrete laws to discrete laws: W_p is an
assignment problem, MMD a sum, with nothing estimated.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev.contraction import Policy, Simulate
from sobolev.contraction import backup as affine_backup
from sobolev.types import Array, Key, Noise, Simulator, Transition


class FiniteNoise(NamedTuple):
    """The task's numbers, one set for each noise: ``F[K, S, S], G[K, S, A], c[K, S], q[K, S], p[K, A]``."""

    F: Array
    G: Array
    c: Array
    q: Array
    p: Array


def simulator(task: FiniteNoise) -> Simulator:
    """The task's step; its noise is the index n, and ``infer`` finds the one that comes nearest to a transition."""
    count = task.c.shape[0]

    def noise(key: Key) -> Array:
        return jax.random.randint(key, (), 0, count)

    def infer(key: Key, transition: Transition) -> Array:
        del key
        s_next, r, _ = jax.vmap(lambda n: simulate(transition.s, transition.a, n))(jnp.arange(count))
        return jnp.argmin(jnp.sum((s_next - transition.s_next) ** 2, axis=1) + (r - transition.r) ** 2)

    def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        s_next = jnp.tanh(task.F[n] @ s + task.G[n] @ a + task.c[n])
        return s_next, jnp.sin(task.q[n] @ s + task.p[n] @ a), jnp.ones(())

    return Simulator(noise, infer, simulate)


def push_forward(
    simulate: Simulate, policy: Policy, s: Array, a: Array, noises: Noise, atoms: Array, gamma: float
) -> Array:
    """The complete backup of discrete laws: equally likely atoms in, equally likely atoms out.

    Args:
        simulate, policy: any.
        s: ``[S]``.
        a: ``[A]``.
        noises: ``[K]``, equally likely.
        atoms: ``[K, J, D]``, those of the law at the state that follows from each noise, D = 1 + A + S.
        gamma: the discount.

    Returns:
        ``[K J, D]``, the atoms of the law at s and a.
    """

    def one(n: Noise, atoms: Array) -> Array:
        offset, linear = affine_backup(simulate, policy, s, a, n)
        return offset + gamma * atoms @ linear.T

    return jax.vmap(one)(noises, atoms).reshape(-1, atoms.shape[-1])


def return_atoms(task: FiniteNoise, policy: Policy, gamma: float, horizon: int, s: Array, a: Array) -> Array:
    """The equally likely values of ``[Z, d_a Z, d_s Z]`` for the return of the first T = horizon steps.

    Returns:
        ``[K^T, 1 + A + S]``.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((2, 1, 1))
        >>> task = FiniteNoise(one, one, jnp.zeros((2, 1)), jnp.array([[0.0], [1.0]]), jnp.zeros((2, 1)))
        >>> return_atoms(task, lambda s: -s, 0.9, 1, jnp.zeros(1), jnp.zeros(1)).tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if horizon == 0:
        return jnp.zeros((1, 1 + a.shape[0] + s.shape[0]))
    simulate, noises = simulator(task).simulate, jnp.arange(task.c.shape[0])

    def after(n: Array) -> Array:
        s_next = simulate(s, a, n)[0]
        return return_atoms(task, policy, gamma, horizon - 1, s_next, policy(s_next))

    return push_forward(simulate, policy, s, a, noises, jax.vmap(after)(noises), gamma)
