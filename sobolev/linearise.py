"""One Jacobian of a step, shared by all samples that take the same step.

A target of K critics with N samples each differentiates K N times through the world model. Where all samples share the
noise of the step, the first-order expansion of the step gives the same derivatives, and its Jacobian is computed once.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sobolev.joint import Gradient, check_gradient
from sobolev.types import Array, Noise, Simulate


def num_derivatives(state_size: int, num_inputs: int) -> int:
    """The number of derivatives in which the Jacobian of (s', r) is computed.

    Args:
        state_size: S; the step has S + 1 outputs.
        num_inputs: the length of what is differentiated in: A, or A + S.

    Returns:
        The number of JVPs (one per input) or of VJPs (one per output), whichever is smaller.

    Example:
        >>> num_derivatives(state_size=17, num_inputs=6), num_derivatives(state_size=17, num_inputs=23)
        (6, 18)
    """
    return min(num_inputs, state_size + 1)


def _transposed(linear: Callable[[Array], Array], x: Array) -> Array:
    """The matrix ``[*outputs, D]`` of a linear function of ``[D]``, by its transpose, one call per output."""
    output = jax.eval_shape(linear, x)
    pull = jax.linear_transpose(linear, x)
    for _ in output.shape:
        pull = jax.vmap(pull)
    return pull(jnp.eye(output.size, dtype=output.dtype).reshape(*output.shape, *output.shape))[0]


def linearise(simulate: Simulate, s: Array, a: Array, n: Noise, gradient: Gradient) -> Simulate:
    """The first-order expansion of a step about one state, action and noise, in the variables of ``gradient``.

        g(s, a, n) + d_a g (a - a_0) [+ d_s g (s - s_0)]

    A target takes first derivatives at (s, a) alone, so that under the same noise the expansion gives the same joint
    samples. Its Jacobian is computed once, in ``num_derivatives`` derivatives of the step.

    Args:
        simulate: the step.
        s: state ``[S]``.
        a: action ``[A]``.
        n: the step's noise.
        gradient: one of ``sobolev.joint.GRADIENTS``.

    Returns:
        A ``simulate`` for this ``s``, ``a`` and ``n`` alone; its noise argument is not used.

    Raises:
        ValueError: an unknown gradient.

    See Also:
        :func:`sobolev.bellman.sobolev_target`, which takes either.

    Example:
        >>> import jax.numpy as jnp
        >>> simulate = lambda s, a, n: (s * a + n, jnp.sum(a**2), 1.0)
        >>> one = jnp.ones(1)
        >>> step = linearise(simulate, one, 3 * one, 0.5, "action")
        >>> [x.tolist() for x in step(one, 3 * one, 0.5)[:2]], [x.tolist() for x in step(one, 4 * one, 0.5)[:2]]
        ([[3.5], 9.0], [[4.5], 15.0])
    """
    check_gradient(gradient)

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
    else:  # c apart from (s', r): where it is constant it costs no derivative
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
