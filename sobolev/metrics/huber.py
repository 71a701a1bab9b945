"""Losses of a point prediction: Huber's and the squared error of the return and of its gradient.

They compare every prediction with every target. A prediction that is one point is trained towards the targets' center:
the mean under the squared error, a point that outliers move less under Huber's loss. They are not distances between
distributions: equal distributions with a spread have a positive loss, and the samples of a generator collapse to a
point under them.

Sources: MAGE (D'Oro and Jaśkowski, NeurIPS 2020): Huber's loss of the error of the value and of the norm of the error
of its action gradient, weighted 1 to 5. First-order Sobolev RL (arXiv 2511.19165): the squared errors.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from sobolev.checks import check_at_least, check_positive
from sobolev.metrics.base import Metric, float_samples, registry
from sobolev.registry import unknown_name
from sobolev.types import Array

GradientError = Literal["norm", "component"]
GRADIENT_ERRORS: tuple[str, ...] = get_args(GradientError)


def check_weight(gradient_weight: float) -> None:
    """Checks the weight of the gradient's term.

    Args:
        gradient_weight: against the return's term, whose weight is 1.

    Raises:
        ValueError: unless ``gradient_weight >= 0``.

    Example:
        >>> check_weight(-1.0)
        Traceback (most recent call last):
            ...
        ValueError: gradient_weight must be at least 0, got -1.0
    """
    check_at_least(0, gradient_weight=gradient_weight)


def _check_huber(delta: float, gradient_weight: float, gradient: str) -> None:
    check_positive(delta=delta)
    check_weight(gradient_weight)
    if gradient not in GRADIENT_ERRORS:
        raise unknown_name("gradient error", gradient, GRADIENT_ERRORS)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def huber_of_error(error: Array, delta: float) -> Array:
    """Huber's ``H(u) = c (u - c/2)``, c = clip(u, -delta, delta), whose derivative is c.

    In these operations value and derivative cost less than through the square.

    Args:
        error: u, of any shape.
        delta: where the loss turns linear, in units of u, positive.

    Returns:
        ``H(u)``, of the shape of ``error``.

    Example:
        >>> import jax.numpy as jnp
        >>> huber_of_error(jnp.array([0.0, -0.5, 3.0]), 1.0).tolist()
        [0.0, 0.125, 2.5]
    """
    clipped = jnp.clip(error, -delta, delta)
    return clipped * (error - 0.5 * clipped)


@huber_of_error.defjvp
def _huber_of_error_jvp(delta: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (error,), (tangent,) = primals, tangents
    return huber_of_error(error, delta), jnp.clip(error, -delta, delta) * tangent


def huber_of_square(square: Array, delta: float) -> Array:
    """Huber's ``H(u) = u²/2`` for ``|u| <= delta``, ``delta (|u| - delta/2)`` beyond, as a function of ``u²``.

    A function of the square is smooth at 0, so that ``H(|g|)`` of a vector g has all derivatives at g = 0.

    Args:
        square: ``u²``, of any shape.
        delta: where the loss turns linear, in units of u, positive.

    Returns:
        ``H(u)``, of the shape of ``square``.

    Example:
        >>> import jax.numpy as jnp
        >>> huber_of_square(jnp.array([0.0, 0.25, 9.0]), delta=1.0).tolist()
        [0.0, 0.125, 2.5]
    """
    outside = square > delta**2
    root = jnp.sqrt(jnp.where(outside, square, 1.0))
    return jnp.where(outside, delta * (root - 0.5 * delta), 0.5 * square)


def huber(
    x: Array, y: Array, delta: float = 1.0, gradient_weight: float = 1.0, gradient: GradientError = "norm"
) -> Array:
    """Huber's loss over all pairs of predictions and targets.

        norm:       mean_ij [ H(x_i0 - y_j0) + w H(|x_i,1: - y_j,1:|) ]
        component:  mean_ij [ H(x_i0 - y_j0) + w sum_d H(x_id - y_jd) ]

    with Huber's H (:func:`huber_of_error`) and w = ``gradient_weight``. With D = 1 there is no gradient term.

    Args:
        x: predictions, ``[N, D]``, the return in column 0.
        y: targets, ``[M, D]``; N and M may differ.
        delta: the error at which the loss turns linear, positive; in units of the return, and of the gradient columns.
        gradient_weight: of the gradient's term against the return's, at least 0; MAGE's code has 5.
        gradient: ``"norm"``, the Euclidean norm of the error of all gradient columns (MAGE), or ``"component"``.

    Returns:
        A scalar, in squared units of the return below delta and in units of delta times the return above; twice
        differentiable except where an error is delta.

    Raises:
        ValueError: wrong shapes, ``delta <= 0``, ``gradient_weight < 0``, or an unknown ``gradient``.

    See Also:
        :class:`Huber`, the same as a metric; :func:`l2`.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.array([[0.5, 3.0, 0.0]]), jnp.array([[0.0, 0.0, 4.0]])
        >>> float(huber(x, y, gradient_weight=5.0))  # 0.5²/2 + 5 (5 - 1/2)
        22.625
    """
    x, y = float_samples(x, y)
    _check_huber(delta, gradient_weight, gradient)
    errors = x[:, None] - y[None]
    if gradient == "norm":
        gradient_terms = huber_of_square(jnp.sum(errors[..., 1:] ** 2, axis=-1), delta)
    else:
        gradient_terms = jnp.sum(huber_of_error(errors[..., 1:], delta), axis=-1)
    return jnp.mean(huber_of_error(errors[..., 0], delta) + gradient_weight * gradient_terms)


def l2(x: Array, y: Array, gradient_weight: float = 1.0) -> Array:
    """The squared error over all pairs of predictions and targets.

        mean_ij [ (x_i0 - y_j0)² + w |x_i,1: - y_j,1:|² ],   w = gradient_weight

    With w = 1 and gradient blocks that have been scaled by sqrt(lambda_s) and sqrt(lambda_a) it is the loss of
    first-order Sobolev RL, ``(Q - y)² + lambda_s |d_s (Q - y)|² + lambda_a |d_a (Q - y)|²``.

    Args:
        x: predictions, ``[N, D]``, the return in column 0.
        y: targets, ``[M, D]``; N and M may differ.
        gradient_weight: of the gradient's term against the return's, at least 0.

    Returns:
        A scalar, in squared units of the return.

    Raises:
        ValueError: wrong shapes or ``gradient_weight < 0``.

    See Also:
        :class:`L2`, the same as a metric; :func:`huber`.

    Example:
        >>> import jax.numpy as jnp
        >>> float(l2(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0], [2.0, 4.0]]), gradient_weight=0.5))  # 1 + 0.5 · 4
        3.0
    """
    x, y = float_samples(x, y)
    check_weight(gradient_weight)
    squares = (x[:, None] - y[None]) ** 2
    return jnp.mean(squares[..., 0] + gradient_weight * jnp.sum(squares[..., 1:], axis=-1))


@registry.register("huber")
@dataclass(frozen=True)
class Huber(Metric):
    """:func:`huber` of return and gradients, for critics that predict a point.

    Args:
        delta: as for the function.
        gradient_weight: as for the function.
        gradient: as for the function.

    Raises:
        ValueError: ``delta <= 0``, ``gradient_weight < 0``, or an unknown ``gradient``.

    See Also:
        :func:`huber` for what it computes; :class:`L2`, whose minimum is the mean.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x, y = jnp.array([[0.0]]), jnp.array([[0.5], [3.0]])
        >>> float(Huber()(jax.random.key(0), x, y))  # (0.5² / 2 + (3 - 1/2)) / 2
        1.3125
    """

    delta: float = 1.0
    gradient_weight: float = 1.0
    gradient: GradientError = "norm"

    def __post_init__(self) -> None:
        _check_huber(self.delta, self.gradient_weight, self.gradient)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        del key, levels
        return huber(x, y, self.delta, self.gradient_weight, self.gradient)


@registry.register("l2")
@dataclass(frozen=True)
class L2(Metric):
    """:func:`l2` of return and gradients, for critics that predict a point.

    Args:
        gradient_weight: as for the function.

    Raises:
        ValueError: ``gradient_weight < 0``.

    See Also:
        :func:`l2` for what it computes; :class:`Huber`, which outliers move less.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x, y = jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]])
        >>> float(L2(gradient_weight=0.5)(jax.random.key(0), x, y))  # 1 + 0.5 · 4
        3.0
    """

    gradient_weight: float = 1.0

    def __post_init__(self) -> None:
        check_weight(self.gradient_weight)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        del key, levels
        return l2(x, y, self.gradient_weight)
