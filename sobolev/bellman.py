"""The Sobolev Bellman target: samples of the target's return and of its gradients.

With a reparameterized step (s', r, c) = g(s, a, n) at fixed noise n, a target critic Z and a policy pi,

    y(s, a) = r + discount · c · Z(s', pi(s'), xi),

the target's joint sample is [y, its gradients], by automatic differentiation through model, policy and critic:

    d_a y = d_a r + discount (d_a s')^T (d_s' Z + (d_s' pi)^T d_a' Z)                       (V24 equations 16-18)

for c = 1. This formula is not in the code: the four operators of :mod:`sobolev.joint` are four ways to differentiate y.
:mod:`sobolev.corrections` select among the samples of several target critics.
"""

import jax

from sobolev.joint import Gradient, sobolev_sample
from sobolev.types import Array, Noise, Policy, Simulate, Value


def sobolev_target(
    simulate: Simulate,
    value: Value,
    policy: Policy,
    s: Array,
    a: Array,
    n: Noise,
    xi: Noise,
    discount: Array | float,
    gradient: Gradient = "action",
) -> Array:
    """One joint sample of the Bellman target and its gradients; no gradient flows through it.

    Args:
        simulate: ``(s[S], a[A], n) -> (s'[S], r[], c[])``, a world model's with its parameters bound.
        value: ``(s, a, xi) -> []``, the target critic's.
        policy: ``(s) -> a``, the target actor's.
        s: state ``[S]``.
        a: action ``[A]``.
        n: the step's exogenous noise, held fixed.
        xi: the critic's noise, held fixed.
        discount: gamma to the number of environment steps that the step stands for, 0 at a recorded end.
        gradient: one of ``sobolev.joint.GRADIENTS``.

    Returns:
        ``[D]``, the return first, then its gradients in units of return per unit of action (state).

    Raises:
        ValueError: an unknown gradient.

    See Also:
        :func:`sobolev.joint.joint_samples`, what a critic predicts of it;
        :func:`sobolev.linearise.linearise`, one Jacobian of the step for many samples.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (s + a + n, -jnp.sum(a**2), 1.0)
        >>> value = lambda s, a, xi: jnp.sum(s) + xi
        >>> zero = jnp.zeros(1)
        >>> sobolev_target(simulate, value, lambda s: -s, zero, zero + 2.0, 0.5, 1.0, 0.5).tolist()
        [-2.25, -3.5]
    """

    def y(s: Array, a: Array) -> Array:
        s_next, r, c = simulate(s, a, n)
        return r + discount * c * value(s_next, policy(s_next), xi)

    return jax.lax.stop_gradient(sobolev_sample(y, s, a, gradient, policy))


def truncate(samples: Array, drop: int) -> Array:
    """Drops the ``drop`` samples of highest return; each return keeps its gradient.

    Args:
        samples: ``[M, D]``, the return in column 0.
        drop: how many, 0 <= drop < M.

    Returns:
        ``[M - drop, D]``, by ascending return.

    Raises:
        ValueError: ``drop`` is negative or leaves no sample.

    See Also:
        :class:`sobolev.corrections.Truncate`, which applies it to the samples of all target critics.

    Example:
        >>> import jax.numpy as jnp
        >>> truncate(jnp.array([[3.0, 0.1], [1.0, 0.2], [2.0, 0.3]]), drop=1)[:, 0].tolist()
        [1.0, 2.0]
    """
    count = samples.shape[0]
    if not 0 <= drop < count:
        raise ValueError(f"drop must be between 0 and {count - 1} for {count} samples, got {drop}")
    return samples[jax.lax.top_k(-samples[:, 0], count - drop)[1]]
