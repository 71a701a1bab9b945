"""Linear dynamics with a quadratic reward: every moment of return and gradients up to the second, in closed form.

    s' = F s + G a + E n,   r = s^T Q s + a^T R a + 2 s^T N a,   n standard normal;   a = K s

Write M = F + G K, S = Q + K^T R K + N K + K^T N^T and Sigma = E E^T. The laws of the return along the policy, Z, and of
its gradient y = d_s [Z(s, pi(s))] have moments of the form

    E Z = s^T P s + z,   E y = 2 P s,   Var Z = s^T U s + u,   Cov(y, Z) = U s,   Cov(y) = U

and a Bellman backup maps such moments to such moments, exactly:

    P <- S + gamma M^T P M                    z <- gamma (z + tr P Sigma)
    U <- gamma² M^T (U + 4 P Sigma P) M       u <- gamma² (u + tr U Sigma + 2 tr (P Sigma)²)

From any action a, with mu = F s + G a and C = U + 4 P Sigma P,

    d_a Z = 2 R a + 2 N^T s + gamma G^T y',   d_s Z = 2 Q s + 2 N a + gamma F^T y',   E y' = 2 P mu,   Cov y' = C
    E Z   = r + gamma (mu^T P mu + tr P Sigma + z),   Cov(Z, y') = gamma C mu
    Var Z = gamma² (mu^T C mu + u + tr U Sigma + 2 tr (P Sigma)²)

At the fixed point y is normal, the gradients with it; Z is a quadratic form of the noise and is not.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev.contraction import discounted_lyapunov
from sobolev.environments.exact.linear import JointMoments, explain
from sobolev.types import Array, Key, Simulator, Transition


class LinearQuadratic(NamedTuple):
    """The task's numbers: ``F[S, S], G[S, A], E[S, S], Q[S, S], R[A, A], N[S, A]``; Q and R symmetric."""

    F: Array
    G: Array
    E: Array
    Q: Array
    R: Array
    N: Array


class QuadraticLaw(NamedTuple):
    """The moments along the policy: ``P[S, S], z[], U[S, S], u[]`` of the equations above."""

    P: Array
    z: Array
    U: Array
    u: Array


def simulator(task: LinearQuadratic) -> Simulator:
    """The task's step; its noise is n, standard normal ``[S]``."""

    def noise(key: Key) -> Array:
        return jax.random.normal(key, (task.F.shape[0],))

    def infer(key: Key, transition: Transition) -> Array:
        del key
        return explain(task.E, transition.s_next - task.F @ transition.s - task.G @ transition.a)

    def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        return task.F @ s + task.G @ a + task.E @ n, _reward(task, s, a), jnp.ones(())

    return Simulator(noise, infer, simulate)


def _reward(task: LinearQuadratic, s: Array, a: Array) -> Array:
    return s @ task.Q @ s + a @ task.R @ a + 2.0 * s @ task.N @ a


def backup(task: LinearQuadratic, gain: Array, gamma: float, law: QuadraticLaw) -> QuadraticLaw:
    """One Bellman backup of the moments along the policy ``a = gain s``."""
    loop, sigma = task.F + task.G @ gain, task.E @ task.E.T
    spread = law.P @ sigma
    return QuadraticLaw(
        _stage(task, gain) + gamma * loop.T @ law.P @ loop,
        gamma * (law.z + jnp.trace(spread)),
        gamma**2 * loop.T @ (law.U + 4.0 * spread @ law.P) @ loop,
        gamma**2 * (law.u + jnp.trace(law.U @ sigma) + 2.0 * jnp.trace(spread @ spread)),
    )


def fixed_point(task: LinearQuadratic, gain: Array, gamma: float) -> QuadraticLaw:
    """The moments of the true return and gradient along the policy; needs sqrt(gamma) rho(F + G gain) < 1."""
    loop, sigma = task.F + task.G @ gain, task.E @ task.E.T
    p = discounted_lyapunov(loop, _stage(task, gain), gamma)
    spread = p @ sigma
    u_matrix = discounted_lyapunov(loop, 4.0 * gamma**2 * loop.T @ spread @ p @ loop, gamma**2)
    z = gamma * jnp.trace(spread) / (1.0 - gamma)
    u = gamma**2 * (jnp.trace(u_matrix @ sigma) + 2.0 * jnp.trace(spread @ spread)) / (1.0 - gamma**2)
    return QuadraticLaw(p, z, u_matrix, u)


def _stage(task: LinearQuadratic, gain: Array) -> Array:
    cross = task.N @ gain
    return task.Q + gain.T @ task.R @ gain + cross + cross.T


def joint_moments(task: LinearQuadratic, gamma: float, law: QuadraticLaw, s: Array, a: Array) -> JointMoments:
    """The moments of the target ``[Z, d_a Z, d_s Z]`` at ``s[S]`` and ``a[A]``, where ``law`` holds at s'.

    With ``fixed_point`` these are the true ones.

    Example:
        >>> import jax.numpy as jnp
        >>> one = jnp.ones((1, 1))
        >>> task = LinearQuadratic(0.5 * one, one, one, -one, -one, 0.0 * one)
        >>> law = fixed_point(task, 0.0 * one, 0.5)  # P = -1 / (1 - 1/8), z = P
        >>> moments = joint_moments(task, 0.5, law, jnp.ones(1), jnp.zeros(1))
        >>> [round(float(x), 4) for x in moments.mean]  # 8 z / 4, P / 2, 2 P
        [-2.2857, -0.5714, -2.2857]
    """
    sigma, mu = task.E @ task.E.T, task.F @ s + task.G @ a
    spread = law.P @ sigma
    covariance = law.U + 4.0 * spread @ law.P
    value = _reward(task, s, a) + gamma * (mu @ law.P @ mu + jnp.trace(spread) + law.z)
    d_a = 2.0 * task.R @ a + 2.0 * task.N.T @ s
    d_s = 2.0 * task.Q @ s + 2.0 * task.N @ a
    model = jnp.concatenate([task.G, task.F], axis=1)
    mean = jnp.concatenate([d_a, d_s]) + 2.0 * gamma * model.T @ law.P @ mu
    # One row of return above the gradients: Z has the derivative mu of its own along y'.
    rows = gamma * jnp.concatenate([mu[:, None], model], axis=1).T
    joint = rows @ covariance @ rows.T
    rest = law.u + jnp.trace(law.U @ sigma) + 2.0 * jnp.trace(spread @ spread)
    return JointMoments(jnp.concatenate([value[None], mean]), joint.at[0, 0].add(gamma**2 * rest))
