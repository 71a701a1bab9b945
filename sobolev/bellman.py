"""The Sobolev Bellman target, and what is done to its samples against overestimation.

With a reparameterised step (s', r, c) = g(s, a, n) at fixed noise n, a target critic Z and a policy pi,

    y(s, a) = r + discount · c · Z(s', pi(s'), xi),

the target's joint sample is [y, its gradients], by automatic differentiation through model, policy and critic:

    d_a y = d_a r + discount (d_a s')^T (d_s' Z + (d_s' pi)^T d_a' Z)                       (V24 equations 16-18)

for c = 1. It is never written by hand: the four operators of :mod:`sobolev.joint` are four ways to differentiate y.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sobolev.joint import Policy, sobolev_sample
from sobolev.registry import Registry
from sobolev.types import Noise

Array = jax.Array
Simulate = Callable[[Array, Array, Noise], tuple[Array, Array, Array]]
Value = Callable[[Array, Array, Noise], Array]
Correction = Callable[[Array, int], Array]

overestimation: Registry[Correction] = Registry("overestimation")
"""Corrections ``(samples[K, N, D] of K critics, drop) -> [M, D]``: one set of target samples from all the critics'."""


def sobolev_target(
    simulate: Simulate,
    value: Value,
    policy: Policy,
    s: Array,
    a: Array,
    n: Noise,
    xi: Noise,
    discount: Array | float,
    gradient: str = "action",
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
        discount: gamma^n, 0 at a recorded end.
        gradient: see :mod:`sobolev.joint`.

    Returns:
        ``[D]``, the return first.

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


def num_derivatives(state_size: int, num_inputs: int) -> int:
    """Of how many derivatives the Jacobian of a step's (s', r) consists: forward ones, one an input, or backward ones,
    one an output, whichever are fewer.

    Example:
        >>> num_derivatives(state_size=17, num_inputs=6), num_derivatives(state_size=17, num_inputs=23)
        (6, 18)
    """
    return min(num_inputs, state_size + 1)


def _transposed(linear: Callable[[Array], Array], x: Array) -> Array:
    """The matrix ``[*outputs, D]`` of a linear function of ``[D]``, by its transpose, one call an output."""
    output = jax.eval_shape(linear, x)
    pull = jax.linear_transpose(linear, x)
    for _ in output.shape:
        pull = jax.vmap(pull)
    return pull(jnp.eye(output.size, dtype=output.dtype).reshape(*output.shape, *output.shape))[0]


def linearise(simulate: Simulate, s: Array, a: Array, n: Noise, gradient: str) -> Simulate:
    """The first-order expansion of a step about one state, action and noise, in what ``gradient`` differentiates.

        g(s, a, n) + d_a g (a - a_0) [+ d_s g (s - s_0)]

    A target takes first derivatives at (s, a) alone, so that under the same noise the expansion gives the same joint
    samples; and its Jacobian, computed once by ``num_derivatives`` derivatives of the step, serves all of them.

    Returns:
        A ``simulate`` for this ``s``, ``a`` and ``n`` alone; its noise argument is not looked at.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (s * a + n, jnp.sum(a**2), 1.0)
        >>> one = jnp.ones(1)
        >>> step = linearise(simulate, one, 3 * one, 0.5, "action")
        >>> [x.tolist() for x in step(one, 3 * one, 0.5)[:2]], [x.tolist() for x in step(one, 4 * one, 0.5)[:2]]
        ([[3.5], 9.0], [[4.5], 15.0])
    """

    def differentiated(s: Array, a: Array) -> Array:
        return jnp.concatenate([a, s]) if gradient in ("state_action", "closed_loop") else a

    def step(inputs: Array) -> tuple[Array, Array]:
        s_here = inputs[a.shape[0] :] if inputs.shape[0] > a.shape[0] else s
        s_next, r, c = simulate(s_here, inputs[: a.shape[0]], n)
        return jnp.append(s_next, r), jnp.asarray(c, inputs.dtype)

    inputs = differentiated(s, a)
    values, push = jax.linearize(step, inputs)
    if num_derivatives(s.shape[0], inputs.shape[0]) == inputs.shape[0]:
        jacobians = jax.vmap(push, out_axes=-1)(jnp.eye(inputs.shape[0], dtype=inputs.dtype))
    else:  # c by itself: one that is constant then costs no derivative
        jacobians = (
            _transposed(lambda tangent: push(tangent)[0], inputs),
            _transposed(lambda tangent: push(tangent)[1], inputs),
        )

    def expansion(s: Array, a: Array, n: Noise) -> tuple[Array, Array, Array]:
        del n
        moved = differentiated(s, a) - inputs
        target, c = (value + jacobian @ moved for value, jacobian in zip(values, jacobians, strict=True))
        return target[:-1], target[-1], c

    return expansion


def truncate(samples: Array, drop: int) -> Array:
    """Drops the ``drop`` samples of highest return; each row keeps its gradient.

    Args:
        samples: ``[M, D]``, the return in column 0.
        drop: how many, 0 <= drop < M.

    Returns:
        ``[M - drop, D]``, by ascending return.

    Example:
        >>> import jax.numpy as jnp
        >>> truncate(jnp.array([[3.0, 0.1], [1.0, 0.2], [2.0, 0.3]]), drop=1)[:, 0].tolist()
        [1.0, 2.0]
    """
    count = samples.shape[0]
    if not 0 <= drop < count:
        raise ValueError(f"drop must be between 0 and {count - 1} for {count} samples, got {drop}")
    return samples[jnp.argsort(samples[:, 0])[: count - drop]]


@overestimation.register("none")
def pool(samples: Array, drop: int = 0) -> Array:
    """All critics' samples: ``[K, N, D] -> [K N, D]``."""
    del drop
    return samples.reshape(-1, samples.shape[-1])


@overestimation.register("min")
def least_critic(samples: Array, drop: int = 0) -> Array:
    """The samples of the critic whose mean return is least: ``[K, N, D] -> [N, D]``; TD3's for point critics."""
    del drop
    return samples[jnp.argmin(jnp.mean(samples[:, :, 0], axis=1))]


@overestimation.register("crossed_min")
def least_critic_crossed(samples: Array, drop: int = 0) -> Array:
    """Half of the least critic's samples and half again, each half chosen by the other: ``[K, N, D] -> [N, D]``.

    The critic whose samples have the least mean is, by chance, the one whose samples happen to be low: between critics
    of one law "min" is too low, and at every backup again. Here the first half of the samples is that of the critic
    whose second half has the least mean, and the other way round. So where the critics agree each sample has their law,
    without bias, though the halves depend on each other; where the critics differ by more than the means of half the
    samples scatter, the samples are the lower one's.

    Raises:
        ValueError: a single sample, which has no other half.

    Example:
        >>> import jax.numpy as jnp
        >>> one, other = jnp.array([[5.0], [0.0]]), jnp.array([[2.0], [3.0]])
        >>> least_critic_crossed(jnp.stack([one, other])).ravel().tolist()  # 5 since 0 < 3, 3 since 2 < 5
        [5.0, 3.0]
    """
    del drop
    if samples.shape[1] < 2:
        raise ValueError("'crossed_min' needs two samples or more of each critic, got 1: use 'min'")
    first, second = jnp.split(samples, [samples.shape[1] // 2], axis=1)

    def least(samples: Array, judged_by: Array) -> Array:
        return samples[jnp.argmin(jnp.mean(judged_by[:, :, 0], axis=1))]

    return jnp.concatenate([least(first, second), least(second, first)])


@overestimation.register("truncate")
def pool_and_truncate(samples: Array, drop: int) -> Array:
    """The critics' samples pooled, without the ``drop`` highest returns (TQC): ``[K, N, D] -> [K N - drop, D]``."""
    return truncate(samples.reshape(-1, samples.shape[-1]), drop)


@overestimation.register("truncate_each")
def truncate_and_pool(samples: Array, drop: int) -> Array:
    """Each critic's samples without its ``drop`` highest returns, then pooled: ``[K, N, D] -> [K (N - drop), D]``."""
    return jax.vmap(lambda one: truncate(one, drop))(samples).reshape(-1, samples.shape[-1])
