"""How far a Sobolev Bellman backup can expand: the constants on which its contraction depends.

At fixed noise n the complete backup is an affine map of the joint sample x = [Z, d_a Z, d_s Z] at (s', pi(s')), in the
order of :mod:`sobolev.joint`:

    y = b + discount · A x,   b = [r, d_a r, d_s r],   A = [[c, 0], [dc, c H^T]],   H = d(pi(s'), s') / d(a, s)

with (s', r, c) = g(s, a, n). Where c = 1, |A| = max(1, |H|). If gamma kappa < 1, where kappa = sup |A| (spectral norm;
over states, actions and noises), the backup contracts the Wasserstein distances by gamma kappa, and max-sliced
distances by l(gamma kappa) with l the scaling of their base. But the gradients feed back only through the gradient
along the policy, y = d_s [Z(s, pi(s))] = h + discount · M^T y' with M = d_s [s'(s, pi(s))]: a weaker condition, on the
closed loop M, is sufficient. Whether the gradient has a stationary distribution depends only on the growth rate of the
products of M, the Lyapunov exponent.

All functions take any ``simulate``: that of a known simulator, or of a learned world model with its parameters bound. A
supremum over given points is a lower bound of the supremum over all points.

Sources: V26 (ICLR 2026, arXiv 2601.20071) has the condition gamma kappa < 1 with kappa from Lipschitz constants, here
``kappa_bound``; the exact constant, the closed loop and the exponent are derived in docs/theory.md.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev.numerics import safe_norm, unit_vector
from sobolev.types import Array, Noise, Policy, Simulate


class Backup(NamedTuple):
    """The affine form of one complete backup, ``y = offset + discount · linear @ x``.

    Fields:
        offset: ``[D]``, [r, d_a r, d_s r], D = 1 + A + S.
        linear: ``[D, D]``.
    """

    offset: Array
    linear: Array


def backup(simulate: Simulate, policy: Policy, s: Array, a: Array, n: Noise) -> Backup:
    """The complete backup at one state, action and noise, as an affine map of joint samples.

    The matrix of what :func:`sobolev.bellman.sobolev_target` does to a sample by automatic differentiation; for theory
    and diagnosis, not for training.

    Args:
        simulate: ``(s[S], a[A], n) -> (s'[S], r[], c[])``.
        policy: ``(s[S]) -> a[A]``, differentiable.
        s: state ``[S]``.
        a: action ``[A]``.
        n: the step's noise.

    Returns:
        The map, D = 1 + A + S.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (2.0 * s + a, s[0], 1.0)
        >>> offset, linear = backup(simulate, lambda s: -s, jnp.ones(1), jnp.ones(1), None)
        >>> offset.tolist(), linear.tolist()
        ([1.0, 0.0, 1.0], [[1.0, 0.0, 0.0], [0.0, -1.0, 1.0], [0.0, -2.0, 2.0]])
    """
    action_size = a.shape[0]

    def step(x: Array) -> Array:
        s_next, r, c = simulate(x[action_size:], x[:action_size], n)
        return jnp.concatenate([jnp.stack([r, jnp.asarray(c, x.dtype)]), policy(s_next), s_next])

    x = jnp.concatenate([a, s])
    value, jacobian = step(x), jax.jacfwd(step)(x)
    r, c = value[0], value[1]
    top = jnp.zeros((1, 1 + x.shape[0]), x.dtype).at[0, 0].set(c)
    linear = jnp.concatenate([top, jnp.concatenate([jacobian[1][:, None], c * jacobian[2:].T], axis=1)])
    return Backup(jnp.concatenate([r[None], jacobian[0]]), linear)


def expansion(simulate: Simulate, policy: Policy, s: Array, a: Array, n: Noise, iterations: int | None = None) -> Array:
    """``|A|``, the spectral norm of the linear part of one complete backup, without the discount.

    Args:
        simulate: ``(s[S], a[A], n) -> (s'[S], r[], c[])``.
        policy: ``(s[S]) -> a[A]``, differentiable.
        s: state ``[S]``.
        a: action ``[A]``.
        n: the step's noise.
        iterations: None for the exact norm: S + A forward derivatives and a singular value decomposition. A number for
            that many power iterations, each a forward and a reverse derivative of one step, and no matrix: a lower
            bound of the norm, with relative error of the order of (second / largest singular value)^(4 iterations).

    Returns:
        A scalar.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (3.0 * s + 4.0 * a, s[0], 1.0)
        >>> round(float(expansion(simulate, lambda s: jnp.zeros(1), jnp.ones(1), jnp.ones(1), None)), 4)  # |[3 4]|
        5.0
    """
    if iterations is None:
        return jnp.linalg.norm(backup(simulate, policy, s, a, n).linear, ord=2)

    def step(s: Array, a: Array) -> tuple[Array, Array, Array]:
        s_next, _, c = simulate(s, a, n)
        return jnp.asarray(c, s.dtype), policy(s_next), s_next

    (c, _, _), push = jax.linearize(step, s, a)
    pull = jax.linear_transpose(push, s, a)
    action_size = a.shape[0]

    def forward(x: Array) -> Array:
        d_s, d_a = pull((x[0], c * x[1 : 1 + action_size], c * x[1 + action_size :]))
        return jnp.concatenate([c * x[:1], d_a, d_s])

    def transposed(x: Array) -> Array:
        d_c, d_action, d_state = push(x[1 + action_size :], x[1 : 1 + action_size])
        return jnp.concatenate([c * x[:1] + d_c, c * d_action, c * d_state])

    start = _generic_direction(1 + action_size + s.shape[0], s.dtype)
    direction = jax.lax.fori_loop(0, iterations, lambda _, x: unit_vector(transposed(forward(x))), start)
    return safe_norm(forward(direction))


def kappa(simulate: Simulate, policy: Policy, s: Array, a: Array, n: Noise, iterations: int | None = None) -> Array:
    """``max(1, sup |A|)`` over given points: the complete backup's expansion, without the discount.

    gamma kappa < 1 is the condition of the contraction theorems. To monitor it in training, a few dozen points of a
    batch and three or four power iterations are enough, at a small part of the cost of an update.

    Args:
        simulate: see :func:`expansion`.
        policy: see :func:`expansion`.
        s: states ``[B, S]``.
        a: actions ``[B, A]``.
        n: noises, a pytree with leading axis ``[B]``.
        iterations: None for exact norms, or the power iterations for lower bounds of them.

    Returns:
        A scalar, at least 1.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (s + a + n, -jnp.sum(a**2), 1.0)
        >>> still = lambda s: jnp.zeros(1)
        >>> ones = jnp.ones((4, 1))
        >>> round(float(kappa(simulate, still, ones, ones, ones)) ** 2, 4)  # |[1 1]|²
        2.0
    """
    norms = jax.vmap(lambda s, a, n: expansion(simulate, policy, s, a, n, iterations))(s, a, n)
    return jnp.maximum(1.0, jnp.max(norms))


def kappa_bound(simulate: Simulate, policy: Policy, s: Array, a: Array, n: Noise) -> Array:
    """``max(1, L_f sqrt(1 + L_pi²))`` with L_f = sup |d s'/d(s, a)| and L_pi = sup |d pi/ds| over given points.

    The constant from Lipschitz bounds on model and policy, never below :func:`kappa`; for a continuation of 1.

    Args:
        simulate: see :func:`expansion`.
        policy: see :func:`expansion`.
        s: states ``[B, S]``.
        a: actions ``[B, A]``.
        n: noises, a pytree with leading axis ``[B]``.

    Returns:
        A scalar, at least 1.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (3.0 * s + 4.0 * a, s[0], 1.0)
        >>> ones = jnp.ones((2, 1))
        >>> round(float(kappa_bound(simulate, lambda s: 0.75 * s, ones, ones, ones)), 4)  # 5 sqrt(1 + 9/16)
        6.25
    """

    def norms(s: Array, a: Array, n: Noise) -> tuple[Array, Array]:
        model = jax.jacfwd(lambda x: simulate(x[a.shape[0] :], x[: a.shape[0]], n)[0])(jnp.concatenate([a, s]))
        slope = jax.jacfwd(policy)(simulate(s, a, n)[0])
        return jnp.linalg.norm(model, ord=2), jnp.linalg.norm(slope, ord=2)

    model, slope = jax.vmap(norms)(s, a, n)
    return jnp.maximum(1.0, jnp.max(model) * jnp.sqrt(1.0 + jnp.max(slope) ** 2))


def incomplete_kappa(simulate: Simulate, policy: Policy, s: Array, a: Array, n: Noise, coupling: float) -> Array:
    """``sup sqrt(1 + |d_a s'|² (coupling + |d pi|)²)``: the action-only backup's expansion, under an assumption.

    The backup of [Z, d_a Z] needs d_s' Z, which their distribution does not determine: without an assumption it is
    unbounded. If optimal couplings of two distributions have ``|difference of d_s Z| <= coupling · |difference of
    [Z, d_a Z]|``, this is its constant. It does not follow that a backup preserves the assumption.

    Args:
        simulate: see :func:`expansion`; for a continuation of 1.
        policy: see :func:`expansion`.
        s: states ``[B, S]``.
        a: actions ``[B, A]``.
        n: noises, a pytree with leading axis ``[B]``.
        coupling: the assumed Lipschitz constant, at least 0.

    Returns:
        A scalar, at least 1.

    Raises:
        ValueError: a negative coupling.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (s + 0.75 * a, s[0], 1.0)
        >>> ones = jnp.ones((2, 1))
        >>> float(incomplete_kappa(simulate, lambda s: 0.0 * s, ones, ones, ones, coupling=1.0))  # sqrt(1 + 9/16)
        1.25
    """
    if coupling < 0:
        raise ValueError(f"coupling must not be negative, got {coupling}: it bounds a norm")

    def norm(s: Array, a: Array, n: Noise) -> Array:
        model = jax.jacfwd(lambda a: simulate(s, a, n)[0])(a)
        slope = jax.jacfwd(policy)(simulate(s, a, n)[0])
        return jnp.linalg.norm(model, ord=2) * (coupling + jnp.linalg.norm(slope, ord=2))

    return jnp.sqrt(1.0 + jnp.max(jax.vmap(norm)(s, a, n)) ** 2)


def closed_loop_jacobian(simulate: Simulate, policy: Policy, s: Array, n: Noise) -> Array:
    """The Jacobian of the closed loop at one state, ``M = d_s [s'(s, pi(s), n)]``.

    Args:
        simulate: see :func:`expansion`.
        policy: see :func:`expansion`.
        s: state ``[S]``.
        n: the step's noise.

    Returns:
        ``[S, S]``.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (2.0 * s + a, s[0], 1.0)
        >>> closed_loop_jacobian(simulate, lambda s: -1.5 * s, jnp.ones(1), None).tolist()
        [[0.5]]
    """
    return jax.jacfwd(lambda s: simulate(s, policy(s), n)[0])(s)


def closed_loop_kappa(simulate: Simulate, policy: Policy, s: Array, n: Noise, metric: Array | None = None) -> Array:
    """``sup |M|_P`` over given states: the expansion of the gradient along the policy, in the norm of P.

    ``|M|_P = |P^(1/2) M P^(-1/2)|``, for which |M v|_P <= |M|_P |v|_P with |v|_P² = v^T P v. It may be below 1;
    the pair of return and closed-loop gradient contracts by gamma max(1, sup |M|_P).

    Args:
        simulate: see :func:`expansion`; for a continuation of 1.
        policy: see :func:`expansion`.
        s: states ``[B, S]``; the actions are the policy's.
        n: noises, a pytree with leading axis ``[B]``.
        metric: P, symmetric and positive definite ``[S, S]``; the identity by default.

    Returns:
        A scalar.

    See Also:
        :func:`lyapunov_metric`, a metric in which a constant closed loop contracts.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (2.0 * s + a, s[0], 1.0)
        >>> float(closed_loop_kappa(simulate, lambda s: -1.5 * s, jnp.ones((4, 1)), jnp.ones(4)))
        0.5
    """
    jacobians = jax.vmap(lambda s, n: closed_loop_jacobian(simulate, policy, s, n))(s, n)
    if metric is not None:
        factor = jnp.linalg.cholesky(metric).T  # P = factor^T factor, |v|_P = |factor v|
        jacobians = jnp.linalg.solve(factor.T, jnp.swapaxes(factor @ jacobians, 1, 2))  # (factor M factor^-1)^T
    return jnp.max(jnp.linalg.norm(jacobians, ord=2, axis=(1, 2)))


def discounted_lyapunov(matrix: Array, source: Array, discount: Array | float) -> Array:
    """``X = sum_k discount^k (M^k)^T Q M^k``, the solution of ``X = Q + discount M^T X M``.

    The sum converges if sqrt(discount) times the spectral radius of M is below 1; otherwise the result solves the
    equation and has no other meaning. It takes a linear system of size S²: for small S.

    Args:
        matrix: M, ``[S, S]``.
        source: Q, ``[S, S]``.
        discount: the discount of the sum.

    Returns:
        X, ``[S, S]``.

    Example:
        >>> import jax.numpy as jnp
        >>> discounted_lyapunov(jnp.array([[0.5]]), jnp.array([[3.0]]), 1.0).tolist()
        [[4.0]]
    """
    size = matrix.shape[0]
    system = jnp.eye(size * size, dtype=matrix.dtype) - discount * jnp.kron(matrix.T, matrix.T)
    return jnp.linalg.solve(system, source.reshape(-1)).reshape(size, size)


def lyapunov_metric(matrix: Array, rate: float) -> Array:
    """A metric P in which the closed loop M contracts by ``rate``: ``|M|_P < rate``.

    ``P = sum_k rate^(-2k) (M^k)^T M^k``, so that ``M^T P M = rate² (P - I)``.

    Args:
        matrix: M, ``[S, S]``.
        rate: must be above the spectral radius of M; else P is not positive definite.

    Returns:
        P, ``[S, S]``.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(lyapunov_metric(jnp.array([[0.5]]), rate=1.0)[0, 0]), 4)  # 1 / (1 - 1/4)
        1.3333
    """
    return discounted_lyapunov(matrix, jnp.eye(matrix.shape[0], dtype=matrix.dtype), rate**-2)


def lyapunov_exponent(simulate: Simulate, policy: Policy, s0: Array, noises: Noise) -> Array:
    """Top Lyapunov exponent of the closed loop along one rollout: the growth of log |M_T ... M_1 v| per step.

    The pathwise gradient has a stationary distribution if ``gamma exp(exponent) < 1``; for finite moments this is not
    sufficient. One tangent vector is propagated (one forward derivative per step, no Jacobian) and normalized after
    each step.

    Args:
        simulate: see :func:`expansion`.
        policy: see :func:`expansion`.
        s0: the first state, ``[S]``.
        noises: of the T steps, a pytree with leading axis ``[T]``.

    Returns:
        A scalar in nats per step. Its error is of the order of 1/T from the first direction, besides that of sampling.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (0.5 * s + a, s[0], 1.0)
        >>> float(jnp.exp(lyapunov_exponent(simulate, lambda s: s, jnp.ones(1), jnp.zeros(7))))
        1.5
    """

    def advance(carry: tuple[Array, Array], n: Noise) -> tuple[tuple[Array, Array], Array]:
        s, tangent = carry
        s, tangent = jax.jvp(lambda s: simulate(s, policy(s), n)[0], (s,), (tangent,))
        return (s, unit_vector(tangent)), jnp.log(safe_norm(tangent))

    _, growth = jax.lax.scan(advance, (s0, _generic_direction(s0.shape[0], s0.dtype)), noises)
    return jnp.mean(growth)


def _generic_direction(size: int, dtype: jnp.dtype) -> Array:
    """A unit vector unlikely to be an eigenvector of a task with symmetries, as an axis may be."""
    return unit_vector(jnp.cos(jnp.arange(1, size + 1, dtype=dtype)))
