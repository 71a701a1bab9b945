"""The Sobolev Bellman target: samples of the target's return and of its gradients.

With a reparameterized step (s', r, c) = g(s, a, n) at fixed noise n, a target critic Z and a policy pi,

    y(s, a) = r + discount · c · Z(s', pi(s'), xi),

the target's joint sample is [y, its gradients], by automatic differentiation through model, policy and critic:

    d_a y = d_a r + discount (d_a s')^T (d_s' Z + (d_s' pi)^T d_a' Z)                       (V24 equations 16-18)

for c = 1. This formula is not in the code: the four operators of :mod:`sobolev.joint` are four ways to differentiate y.
A target that looks several transitions ahead is the same with :func:`look_ahead` for g. :mod:`sobolev.corrections`
select among the samples of several target critics.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sobolev.joint import Gradient, sobolev_sample
from sobolev.types import Array, Noise, Policy, Simulate, Value

Onward = Callable[[Array, Any], tuple[Array, Array, Array]]
"""A transition along the policy ``(s[S], x) -> (s'[S], r[], factor[])``: x is its noise and whatever else it needs, the
factor that of all that follows, its discount and its probability of going on."""


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
        :func:`look_ahead`, several transitions as one step;
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


def look_ahead(simulate: Simulate, onward: Onward, later: Any, looked_at: Array, discount: Array | float) -> Simulate:
    """A step and the transitions that follow it along the policy, as one step.

        s_h,   R = r_0 + sum_k D_k r_k,   C = D_h,   D_k = the product of the first k factors

    with k from 1 to h - 1 and discount · c_0 for the first factor. The target of this step is that of h backups in a
    row, and its derivatives are too.

    Args:
        simulate: the first step.
        onward: each of the others.
        later: their inputs, a pytree with a leading axis ``[H - 1]``.
        looked_at: ``[H - 1]``, True for the h - 1 of them that count, then False.
        discount: of the first step, as in :func:`sobolev_target`.

    Returns:
        A ``simulate`` whose noise is that of the first step. Its c has the discounts in it, so that a target of it
        takes the discount 1.

    Example:
        >>> import jax.numpy as jnp
        >>> step = lambda s, a, n: (s + a, s[0], jnp.ones(()))
        >>> onward = lambda s, x: (s + x, s[0], 0.5)
        >>> jump = look_ahead(step, onward, jnp.ones(3), jnp.array([True, True, False]), discount=0.5)
        >>> [x.tolist() for x in jump(jnp.ones(1), jnp.ones(1), None)]  # 1 + 2 / 2 + 3 / 4
        [[4.0], 2.75, 0.125]
    """

    def simulate_all(s: Array, a: Array, n: Noise) -> tuple[Array, Array, Array]:
        s, total, c = simulate(s, a, n)
        weight = discount * c
        for k in range(looked_at.shape[0]):  # all of them, since samples that are mapped over differ in h
            s_next, r, factor = onward(s, jax.tree.map(lambda x, k=k: x[k], later))
            moved = s_next, total + weight * r, weight * factor
            s, total, weight = (jnp.where(looked_at[k], *pair) for pair in zip(moved, (s, total, weight), strict=True))
        return s, total, weight

    return simulate_all


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
