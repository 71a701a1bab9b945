"""What the exactly solvable linear tasks share: policies, moments of joint samples, and noise read off a transition."""

from typing import NamedTuple

import jax.numpy as jnp

from sobolev.joint import check_gradient
from sobolev.types import Array


class LinearPolicy(NamedTuple):
    """``a = gain s + offset``, unbounded: exact answers do not know the environments' clipping of actions.

    Fields:
        gain: ``[A, S]``.
        offset: ``[A]``.
    """

    gain: Array
    offset: Array

    def __call__(self, s: Array) -> Array:
        return self.gain @ s + self.offset


class JointMoments(NamedTuple):
    """Mean and covariance of a joint sample, in the order of :mod:`sobolev.joint`: the return, d_a, d_s.

    Fields:
        mean: ``[D]``.
        covariance: ``[D, D]``.
    """

    mean: Array
    covariance: Array


def restrict(moments: JointMoments, gradient: str, gain: Array) -> JointMoments:
    """The moments of another kind of joint sample, from those of the complete one, under a policy of this gain.

    Args:
        moments: of ``[Z, d_a Z, d_s Z]``, D = 1 + A + S.
        gradient: one of ``sobolev.joint.GRADIENTS``; all are linear functions of the complete sample.
        gain: ``[A, S]``, the policy's derivative; "closed_loop" needs it.

    Example:
        >>> import jax.numpy as jnp
        >>> moments = JointMoments(jnp.array([1.0, 2.0, 3.0]), jnp.eye(3))
        >>> restrict(moments, "closed_loop", jnp.array([[10.0]])).mean.tolist()
        [1.0, 2.0, 23.0]
    """
    check_gradient(gradient)
    action_size, size = gain.shape[0], moments.mean.shape[0]
    rows = {"none": 1, "action": 1 + action_size}.get(gradient, size)
    matrix = jnp.eye(size)
    if gradient == "closed_loop":
        matrix = matrix.at[1 + action_size :, 1 : 1 + action_size].set(jnp.asarray(gain).T)
    matrix = matrix[:rows]
    return JointMoments(matrix @ moments.mean, matrix @ moments.covariance @ matrix.T)


def explain(scale: Array, remainder: Array) -> Array:
    """The smallest n with ``scale n = remainder``, ``[S, S]`` and ``[S]``; the nearest where there is none."""
    return jnp.linalg.pinv(scale) @ remainder
