"""What the exactly solvable linear tasks share: dynamics, policies, moments of joint samples, and inferred noise."""

from typing import NamedTuple

import jax.numpy as jnp

from sobolev.joint import Gradient, check_gradient
from sobolev.types import Array


class LinearPolicy(NamedTuple):
    """``a = gain s + offset``, unbounded: exact answers do not know that environments clip actions.

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


def mass_on_a_spring() -> tuple[Array, Array]:
    """F and G of the position and velocity of a mass at time steps of 0.1; damped, so stable without control.

    Returns:
        ``F[2, 2]`` and ``G[2, 1]`` of s' = F s + G a.

    Example:
        >>> [x.shape for x in mass_on_a_spring()]
        [(2, 2), (2, 1)]
    """
    return jnp.array([[1.0, 0.1], [-0.1, 0.9]]), jnp.array([[0.0], [0.3]])


def restrict(moments: JointMoments, gradient: Gradient, gain: Array) -> JointMoments:
    """The moments of another kind of joint sample, from those of the complete one, under a policy of this gain.

    Args:
        moments: of ``[Z, d_a Z, d_s Z]``, D = 1 + A + S.
        gradient: one of ``sobolev.joint.GRADIENTS``; all are linear functions of the complete sample.
        gain: ``[A, S]``, the policy's derivative; used by "closed_loop" alone.

    Returns:
        The moments of the joint sample of this kind.

    Raises:
        ValueError: an unknown gradient.

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
    """The smallest n with ``scale n = remainder``; where there is none, the n that comes nearest.

    Args:
        scale: ``[S, S]``.
        remainder: ``[S]``.

    Returns:
        ``[S]``.

    Example:
        >>> import jax.numpy as jnp
        >>> explain(jnp.diag(jnp.array([2.0, 0.0])), jnp.array([1.0, 0.0])).tolist()
        [0.5, 0.0]
    """
    return jnp.linalg.pinv(scale) @ remainder
