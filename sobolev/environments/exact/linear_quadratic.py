"""Linear dynamics with a quadratic reward: moments of return and gradients up to the second, and the optimum.

    s' = F s + G a + E n,   r = s^T Q s + a^T R a + 2 s^T N a + r0,   n standard normal;   a = K s

Write M = F + G K, S = Q + K^T R K + N K + K^T N^T and Sigma = E E^T. The return along the policy, Z, and its gradient
y = d_s [Z(s, pi(s))] have moments of the form

    E Z = s^T P s + z,   E y = 2 P s,   Var Z = s^T U s + u,   Cov(y, Z) = U s,   Cov(y) = U

and a Bellman backup maps such moments to such moments, exactly:

    P <- S + gamma M^T P M                    z <- r0 + gamma (z + tr P Sigma)
    U <- gamma² M^T (U + 4 P Sigma P) M       u <- gamma² (u + tr U Sigma + 2 tr (P Sigma)²)

From any action a, with mu = F s + G a and C = U + 4 P Sigma P,

    d_a Z = 2 R a + 2 N^T s + gamma G^T y',   d_s Z = 2 Q s + 2 N a + gamma F^T y',   E y' = 2 P mu,   Cov y' = C
    E Z   = r + gamma (mu^T P mu + tr P Sigma + z),   Cov(Z, y') = gamma C mu
    Var Z = gamma² (mu^T C mu + u + tr U Sigma + 2 tr (P Sigma)²)

At the fixed point y and with it the gradients are normally distributed; Z, a quadratic form of the noise, is not.

The action with the highest mean return, if the policy after it has E Z = s^T P s + z, is linear in s too:

    a* = K s,   K = -(R + gamma G^T P G)^-1 (N^T + gamma G^T P F)   (Bertsekas, Dynamic Programming and Optimal Control)

A backup along it is a step of the Riccati recursion. From 0, as many steps as an episode has give the episode's
optimum; the limit is the optimum of the infinite horizon. The moments at this K are then those of the optimal policy.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env

from sobolev.checks import check_at_least, check_positive
from sobolev.contraction import discounted_lyapunov
from sobolev.environments.base import registry
from sobolev.environments.exact.common import uniform_start
from sobolev.environments.exact.linear import JointMoments, explain, mass_on_a_spring
from sobolev.environments.simulated import SimulatorEnv
from sobolev.types import Array, Key, Simulator, Transition

# A horizon of 2^32 steps is long for any discount, and steps beyond convergence change nothing.
_DOUBLINGS = 32


class LinearQuadratic(NamedTuple):
    """The task's numbers: ``F[S, S], G[S, A], E[S, W], Q[S, S], R[A, A], N[S, A], r0[]``; Q and R symmetric.

    W is the number of noises; with W = 0 the task is deterministic.
    """

    F: Array
    G: Array
    E: Array
    Q: Array
    R: Array
    N: Array
    r0: Array | float = 0.0


class QuadraticMoments(NamedTuple):
    """The moments along the policy: ``P[S, S], z[], U[S, S], u[]`` of the equations above."""

    P: Array
    z: Array
    U: Array
    u: Array


def simulator(task: LinearQuadratic) -> Simulator:
    """The task's step; its noise is n, standard normal ``[W]``."""

    def noise(key: Key) -> Array:
        return jax.random.normal(key, (task.E.shape[1],))

    def infer(key: Key, transition: Transition) -> Array:
        del key
        return explain(task.E, transition.s_next - task.F @ transition.s - task.G @ transition.a)

    def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        return task.F @ s + task.G @ a + task.E @ n, _reward(task, s, a), jnp.ones(())

    return Simulator(noise, infer, simulate)


def _reward(task: LinearQuadratic, s: Array, a: Array) -> Array:
    return s @ task.Q @ s + a @ task.R @ a + 2.0 * s @ task.N @ a + task.r0


def backup(task: LinearQuadratic, gain: Array, gamma: float, moments: QuadraticMoments) -> QuadraticMoments:
    """One Bellman backup of the moments along the policy ``a = gain s``.

    Args:
        task: the task.
        gain: ``[A, S]``.
        gamma: discount.
        moments: before the backup.

    Returns:
        The moments after it.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> task = LinearQuadratic(0.5 * one, one, one, -one, -one, 0.0 * one)
        >>> zero = QuadraticMoments(0.0 * one, jnp.zeros(()), 0.0 * one, jnp.zeros(()))
        >>> backup(task, 0.0 * one, 0.5, zero).P.tolist()  # the reward's Q
        [[-1.0]]
    """
    loop, sigma = task.F + task.G @ gain, task.E @ task.E.T
    spread = moments.P @ sigma
    return QuadraticMoments(
        _stage(task, gain) + gamma * loop.T @ moments.P @ loop,
        task.r0 + gamma * (moments.z + jnp.trace(spread)),
        gamma**2 * loop.T @ (moments.U + 4.0 * spread @ moments.P) @ loop,
        gamma**2 * (moments.u + jnp.trace(moments.U @ sigma) + 2.0 * jnp.trace(spread @ spread)),
    )


def fixed_point(task: LinearQuadratic, gain: Array, gamma: float) -> QuadraticMoments:
    """The moments of the true return and gradient along the policy ``a = gain s``.

    Args:
        task: the task.
        gain: ``[A, S]``; sqrt(gamma) times the spectral radius of F + G K must be below 1.
        gamma: discount.

    Returns:
        The moments that :func:`backup` does not change.
    """
    loop, sigma = task.F + task.G @ gain, task.E @ task.E.T
    p = discounted_lyapunov(loop, _stage(task, gain), gamma)
    spread = p @ sigma
    u_matrix = discounted_lyapunov(loop, 4.0 * gamma**2 * loop.T @ spread @ p @ loop, gamma**2)
    z = (task.r0 + gamma * jnp.trace(spread)) / (1.0 - gamma)
    u = gamma**2 * (jnp.trace(u_matrix @ sigma) + 2.0 * jnp.trace(spread @ spread)) / (1.0 - gamma**2)
    return QuadraticMoments(p, z, u_matrix, u)


def _stage(task: LinearQuadratic, gain: Array) -> Array:
    cross = task.N @ gain
    return task.Q + gain.T @ task.R @ gain + cross + cross.T


def joint_moments(task: LinearQuadratic, gamma: float, moments: QuadraticMoments, s: Array, a: Array) -> JointMoments:
    """The moments of the target ``[Z, d_a Z, d_s Z]``.

    Args:
        task: the task.
        gamma: discount.
        moments: those at the next state; with :func:`fixed_point` the result holds for the true return.
        s: ``[S]``.
        a: ``[A]``.

    Returns:
        The moments, D = 1 + A + S.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> task = LinearQuadratic(0.5 * one, one, one, -one, -one, 0.0 * one)
        >>> moments = fixed_point(task, 0.0 * one, 0.5)  # P = -1 / (1 - 1/8), z = P
        >>> target = joint_moments(task, 0.5, moments, jnp.ones(1), jnp.zeros(1))
        >>> [round(float(x), 4) for x in target.mean]  # 8 z / 4, P / 2, 2 P
        [-2.2857, -0.5714, -2.2857]
    """
    sigma, mu = task.E @ task.E.T, task.F @ s + task.G @ a
    spread = moments.P @ sigma
    covariance = moments.U + 4.0 * spread @ moments.P
    value = _reward(task, s, a) + gamma * (mu @ moments.P @ mu + jnp.trace(spread) + moments.z)
    d_a = 2.0 * task.R @ a + 2.0 * task.N.T @ s
    d_s = 2.0 * task.Q @ s + 2.0 * task.N @ a
    model = jnp.concatenate([task.G, task.F], axis=1)
    mean = jnp.concatenate([d_a, d_s]) + 2.0 * gamma * model.T @ moments.P @ mu
    # The row of the return, then those of the gradients: the derivative of Z in y' is mu.
    rows = gamma * jnp.concatenate([mu[:, None], model], axis=1).T
    joint = rows @ covariance @ rows.T
    rest = moments.u + jnp.trace(moments.U @ sigma) + 2.0 * jnp.trace(spread @ spread)
    return JointMoments(jnp.concatenate([value[None], mean]), joint.at[0, 0].add(gamma**2 * rest))


def expected_return(moments: QuadraticMoments, s: Array) -> Array:
    """``E Z = s^T P s + z``, the mean return along the policy of these moments.

    Args:
        moments: of :func:`fixed_point`, or of :func:`optimal_episode`.
        s: ``[S]``.

    Returns:
        A scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> moments = QuadraticMoments(-jnp.eye(2), jnp.array(3.0), jnp.zeros((2, 2)), jnp.zeros(()))
        >>> float(expected_return(moments, jnp.array([1.0, 1.0])))
        1.0
    """
    return s @ moments.P @ s + moments.z


def greedy_gain(task: LinearQuadratic, gamma: float, p: Array) -> Array:
    """The K of the actions ``a = K s`` with the highest mean return, if the return after them has mean s^T P s + z.

    Args:
        task: the task; R + gamma G^T P G must be negative definite, or no action is best.
        gamma: discount.
        p: P, ``[S, S]``.

    Returns:
        ``[A, S]``.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> task = LinearQuadratic(0.5 * one, one, one, -one, -one, 0.0 * one)
        >>> greedy_gain(task, 1.0, -one).tolist()  # the maximum of -a² - (s / 2 + a)²
        [[-0.25]]
    """
    ahead = gamma * task.G.T @ p
    return -jnp.linalg.solve(task.R + ahead @ task.G, task.N.T + ahead @ task.F)


def optimal_episode(task: LinearQuadratic, gamma: float, horizon: int) -> tuple[Array, QuadraticMoments]:
    """The optimum of an episode of so many steps, after which nothing is paid: the Riccati recursion.

    Args:
        task: the task; R must be negative definite, and no reward of a state and an action above r0.
        gamma: discount; 1 for the plain sum of the rewards.
        horizon: H, steps.

    Returns:
        ``gains[H, A, S]``, the first of them for the first step, and the moments of the return at the first state.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> task = LinearQuadratic(one, one, one, -one, -one, 0.0 * one)
        >>> gains, moments = optimal_episode(task, 1.0, horizon=2)
        >>> gains[:, 0, 0].tolist()  # the last action has nothing to gain
        [-0.5, 0.0]
        >>> float(expected_return(moments, jnp.ones(1)))  # -1 - 1/4 - 1/4, and -1 for the noise
        -2.5
    """

    def step(moments: QuadraticMoments, _: None) -> tuple[QuadraticMoments, Array]:
        gain = greedy_gain(task, gamma, moments.P)
        return backup(task, gain, gamma, moments), gain

    matrix, scalar = jnp.zeros_like(task.F), jnp.zeros((), task.F.dtype)
    moments, gains = jax.lax.scan(step, QuadraticMoments(matrix, scalar, matrix, scalar), None, length=horizon)
    return gains[::-1], moments


def optimal_gain(task: LinearQuadratic, gamma: float) -> Array:
    """The K of the optimal policy ``a = K s``, by doubling: each step doubles the horizon of the Riccati recursion.

    Chu, Fan, Lin & Wang, "Structure-preserving algorithms for periodic discrete-time algebraic Riccati equations", Int.
    J. Control 77 (2004). Take float64 for a discount near 1.

    Args:
        task: the task; R must be negative definite, and no reward of a state and an action above r0.
        gamma: discount; sqrt(gamma) times the spectral radius of F + G K must be below 1 for some K.

    Returns:
        ``[A, S]``.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> task = LinearQuadratic(one, one, one, -one, -one, 0.0 * one)
        >>> round(float(optimal_gain(task, 1.0)[0, 0]), 4)  # the golden ratio, less 1, negated
        -0.618
    """
    without_cross = jnp.linalg.solve(task.R, task.N.T)
    step = jnp.sqrt(gamma) * (task.F - task.G @ without_cross)
    control = -gamma * task.G @ jnp.linalg.solve(task.R, task.G.T)
    cost = task.N @ without_cross - task.Q

    def double(_: int, matrices: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        step, control, cost = matrices
        reduced = jnp.linalg.solve(jnp.eye(len(step), dtype=step.dtype) + control @ cost, jnp.hstack([step, control]))
        to_step, to_control = jnp.split(reduced, 2, axis=1)
        return step @ to_step, control + step @ to_control @ step.T, cost + step.T @ cost @ to_step

    _, _, cost = jax.lax.fori_loop(0, _DOUBLINGS, double, (step, control, cost))
    return greedy_gain(task, gamma, -cost)


@registry.register("linear_quadratic")
def make_linear_quadratic(noise: float = 0.1, control_cost: float = 0.1, spread: float = 1.0) -> Env:
    """A mass on a spring, to be kept at rest at the origin.

    Args:
        noise: standard deviation of each component of the state, per step.
        control_cost: of the squared action, against 1 of the squared state.
        spread: a start is uniform in the square of this half width.

    Returns:
        The environment, S = 2 and A = 1.

    Raises:
        ValueError: ``spread`` is not positive.

    Example:
        >>> make_linear_quadratic(noise=0.0).observation_size
        2
    """
    check_at_least(0, noise=noise)
    check_positive(control_cost=control_cost)
    cost = -control_cost * jnp.eye(1)
    task = LinearQuadratic(*mass_on_a_spring(), noise * jnp.eye(2), -jnp.eye(2), cost, jnp.zeros((2, 1)))
    return SimulatorEnv(simulator(task), uniform_start(2, spread), action_size=1)
