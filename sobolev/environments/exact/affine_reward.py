"""Linear dynamics with an affine reward: a normally distributed return whose gradient has no spread.

    s' = F s + G a + c + E n,   r = q·s + p·a + r0 + sigma m,   n, m standard normal;   a = K s + k

With M = F + G K and w = (I - gamma M^T)^-1 (q + K^T p), which needs a spectral radius of gamma M below 1,

    d_s Z = q + gamma F^T w,   d_a Z = p + gamma G^T w   (the same for every noise)
    E Z   = q·s + p·a + r0 + gamma (w·(F s + G a + c) + v0),   v0 = [r0 + p·k + gamma w·(G k + c)] / (1 - gamma)
    Var Z = (sigma² + gamma² w^T E E^T w) / (1 - gamma²)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env

from sobolev.checks import check_at_least
from sobolev.environments.base import registry
from sobolev.environments.exact.common import uniform_start
from sobolev.environments.exact.linear import JointMoments, LinearPolicy, explain, mass_on_a_spring
from sobolev.environments.simulated import SimulatorEnv
from sobolev.types import Array, Key, Simulator, Transition


class AffineReward(NamedTuple):
    """The task's numbers: ``F[S, S], G[S, A], c[S], E[S, S], q[S], p[A], r0[], sigma[]`` of the equations above."""

    F: Array
    G: Array
    c: Array
    E: Array
    q: Array
    p: Array
    r0: float
    sigma: float


class AffineRewardNoise(NamedTuple):
    """The noise of one step, standard normal: ``state[S]`` and ``reward[]``, n and m of the equations above."""

    state: Array
    reward: Array


def simulator(task: AffineReward) -> Simulator:
    """The task's step; ``infer`` is exact in the components that the noise enters, and 0 in the others."""

    def noise(key: Key) -> AffineRewardNoise:
        key_state, key_reward = jax.random.split(key)
        return AffineRewardNoise(jax.random.normal(key_state, (task.F.shape[0],)), jax.random.normal(key_reward))

    def infer(key: Key, transition: Transition) -> AffineRewardNoise:
        del key
        s, a, r, _, s_next = transition
        reward = (r - task.q @ s - task.p @ a - task.r0) / jnp.where(task.sigma > 0, task.sigma, jnp.inf)
        return AffineRewardNoise(explain(task.E, s_next - task.F @ s - task.G @ a - task.c), reward)

    def simulate(s: Array, a: Array, n: AffineRewardNoise) -> tuple[Array, Array, Array]:
        s_next = task.F @ s + task.G @ a + task.c + task.E @ n.state
        return s_next, task.q @ s + task.p @ a + task.r0 + task.sigma * n.reward, jnp.ones(())

    return Simulator(noise, infer, simulate)


def closed_loop_gradient(task: AffineReward, policy: LinearPolicy, gamma: float) -> Array:
    """The gradient along the policy, ``w = d_s [Z(s, pi(s))]``, the same in every state.

    Args:
        task: the task.
        policy: the policy; gamma times the spectral radius of F + G K must be below 1.
        gamma: discount.

    Returns:
        ``[S]``, in units of return per unit of state.
    """
    loop = task.F + task.G @ policy.gain
    return jnp.linalg.solve(jnp.eye(loop.shape[0]) - gamma * loop.T, task.q + policy.gain.T @ task.p)


def joint_moments(task: AffineReward, policy: LinearPolicy, gamma: float, s: Array, a: Array) -> JointMoments:
    """The moments of ``[Z, d_a Z, d_s Z]``: it is normally distributed, with no spread in the gradients.

    Args:
        task: the task.
        policy: as in :func:`closed_loop_gradient`.
        gamma: discount.
        s: ``[S]``.
        a: ``[A]``.

    Returns:
        The moments, D = 1 + A + S.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> task = AffineReward(0.5 * one, one, jnp.zeros(1), one, jnp.ones(1), jnp.zeros(1), 0.0, 0.0)
        >>> still = LinearPolicy(0.0 * one, jnp.zeros(1))
        >>> moments = joint_moments(task, still, 0.5, jnp.ones(1), jnp.zeros(1))
        >>> [round(float(x), 4) for x in moments.mean]  # sum of (gamma / 2)^t = 4/3, gamma 4/3, 1 + gamma 2/3
        [1.3333, 0.6667, 1.3333]
    """
    w = closed_loop_gradient(task, policy, gamma)
    offset = task.r0 + task.p @ policy.offset + gamma * w @ (task.G @ policy.offset + task.c)
    value = task.q @ s + task.p @ a + task.r0
    value += gamma * (w @ (task.F @ s + task.G @ a + task.c) + offset / (1.0 - gamma))
    mean = jnp.concatenate([value[None], task.p + gamma * task.G.T @ w, task.q + gamma * task.F.T @ w])
    variance = (task.sigma**2 + gamma**2 * jnp.sum((task.E.T @ w) ** 2)) / (1.0 - gamma**2)
    return JointMoments(mean, jnp.zeros((mean.shape[0],) * 2, mean.dtype).at[0, 0].set(variance))


@registry.register("affine_reward")
def make_affine_reward(noise: float = 0.1, reward_noise: float = 0.1, spread: float = 1.0) -> Env:
    """A mass on a spring that is paid for its position.

    Args:
        noise: standard deviation of each component of the state, per step.
        reward_noise: that of the reward.
        spread: a start is uniform in the square of this half width.

    Returns:
        The environment, S = 2 and A = 1.

    Raises:
        ValueError: ``spread`` is not positive.

    Example:
        >>> make_affine_reward().observation_size
        2
    """
    check_at_least(0, noise=noise, reward_noise=reward_noise)
    q, p = jnp.array([1.0, 0.0]), jnp.array([-0.1])
    task = AffineReward(*mass_on_a_spring(), jnp.zeros(2), noise * jnp.eye(2), q, p, 0.0, reward_noise)
    return SimulatorEnv(simulator(task), uniform_start(2, spread), action_size=1)
