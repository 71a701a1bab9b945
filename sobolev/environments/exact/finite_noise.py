"""Finitely many noises: distributions with finitely many atoms, and their exact push-forward.

    s' = tanh(F_n s + G_n a + c_n),   r = sin(q_n·s + p_n·a),   n uniform on 0 ... K-1

After T steps the joint sample has K^T equally likely atoms, and a backup maps discrete distributions to discrete
distributions: W_p is an assignment problem and MMD a sum, and nothing is estimated.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env

from sobolev.checks import check_at_least
from sobolev.contraction import backup
from sobolev.environments.base import registry
from sobolev.environments.exact.common import uniform_start
from sobolev.environments.simulated import SimulatorEnv
from sobolev.types import Array, Key, Noise, Policy, Simulate, Simulator, Transition


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
    """The complete backup of discrete distributions: equally likely atoms in, equally likely atoms out.

    Args:
        simulate: any step.
        policy: any differentiable policy.
        s: ``[S]``.
        a: ``[A]``.
        noises: ``[K]``, equally likely.
        atoms: ``[K, J, D]``, those at the state that follows from each noise, D = 1 + A + S.
        gamma: the discount.

    Returns:
        ``[K J, D]``, the atoms at s and a.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (s + a, n, jnp.ones(()))
        >>> zero, atoms = jnp.zeros(1), jnp.ones((2, 1, 3))
        >>> push_forward(simulate, lambda s: 0.0 * s, zero, zero, jnp.arange(2.0), atoms, 0.5).tolist()
        [[0.5, 0.5, 0.5], [1.5, 0.5, 0.5]]
    """

    def one(n: Noise, atoms: Array) -> Array:
        offset, linear = backup(simulate, policy, s, a, n)
        return offset + gamma * atoms @ linear.T

    return jax.vmap(one)(noises, atoms).reshape(-1, atoms.shape[-1])


def return_atoms(task: FiniteNoise, policy: Policy, gamma: float, horizon: int, s: Array, a: Array) -> Array:
    """The equally likely values of ``[Z, d_a Z, d_s Z]`` for the return of the first T = horizon steps.

    Args:
        task: the task.
        policy: ``(s[S]) -> a[A]``, differentiable.
        gamma: discount.
        horizon: T.
        s: ``[S]``.
        a: ``[A]``.

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


def random_task(rng: np.random.Generator, num_noises: int, state_size: int, action_size: int) -> FiniteNoise:
    """A task whose numbers are standard normal, those of the dynamics divided by the root of S.

    Args:
        rng: the generator.
        num_noises: K.
        state_size: S.
        action_size: A.

    Returns:
        The task.

    Example:
        >>> import numpy as np
        >>> random_task(np.random.default_rng(0), num_noises=3, state_size=2, action_size=1).G.shape
        (3, 2, 1)
    """
    scale = 1.0 / np.sqrt(state_size)
    return FiniteNoise(
        jnp.asarray(scale * rng.normal(size=(num_noises, state_size, state_size))),
        jnp.asarray(scale * rng.normal(size=(num_noises, state_size, action_size))),
        jnp.asarray(rng.normal(size=(num_noises, state_size))),
        jnp.asarray(rng.normal(size=(num_noises, state_size))),
        jnp.asarray(rng.normal(size=(num_noises, action_size))),
    )


@registry.register("finite_noise")
def make_finite_noise(num_noises: int = 3, state_size: int = 2, action_size: int = 1, seed: int = 0) -> Env:
    """A smooth task drawn at random, with finitely many noises.

    Args:
        num_noises: K.
        state_size: S.
        action_size: A.
        seed: of the task's numbers.

    Returns:
        The environment; a start is uniform in [-1, 1]^S.

    Raises:
        ValueError: a size below 1.

    Example:
        >>> make_finite_noise(state_size=3).observation_size
        3
    """
    for name, size in (("num_noises", num_noises), ("state_size", state_size), ("action_size", action_size)):
        check_at_least(1, **{name: size})
    check_at_least(0, seed=seed)
    task = random_task(np.random.default_rng(seed), num_noises, state_size, action_size)
    return SimulatorEnv(simulator(task), uniform_start(state_size, 1.0), action_size)
