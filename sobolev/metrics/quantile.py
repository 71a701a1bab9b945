"""Quantile regression of the return, and of the gradient that goes with each quantile.

    return:    mean_ij |tau_i - 1{y_j0 < x_i0}| H_kappa(y_j0 - x_i0) / kappa
    gradient:  mean_i rho(|x_i,1: - g_i|),    g_i the mean of y_j,1: over the targets j at level tau_i

H_kappa is Huber's function. As kappa -> 0 the first line is the pinball loss, whose minimizer x_i0 is the
tau_i-quantile of the targets' return. The targets *at* level tau are those whose return is a tau-quantile:
F(z-) <= tau <= F(z) with the targets' distribution function F. So g_i estimates E[gradient | return = its
tau_i-quantile], which is the derivative of that quantile. Unlike the distribution of the gradient, it is determined by
the distribution of the transitions: it does not depend on which reparameterization a world model has found for them
(docs/theory.md, section 11).

Sources: QR-DQN (Dabney et al., AAAI 2018) equation 10; IQN (Dabney et al., ICML 2018) equation 3, which divides by
kappa. IQN takes the sum over i, this the mean.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from sobolev.checks import check_finite
from sobolev.metrics.base import Metric, float_samples, registry
from sobolev.metrics.huber import check_weight, huber_of_error, huber_of_square
from sobolev.registry import unknown_name
from sobolev.types import Array

GradientLoss = Literal["squared", "huber"]
GRADIENT_LOSSES: tuple[str, ...] = get_args(GradientLoss)


def _check_parameters(kappa: float, gradient_weight: float, gradient: str) -> None:
    check_finite(kappa=kappa)
    if not kappa > 0:
        raise ValueError(f"kappa must be positive, got {kappa!r}; a small one gives the pinball loss")
    check_weight(gradient_weight)
    if gradient not in GRADIENT_LOSSES:
        raise unknown_name("gradient loss", gradient, GRADIENT_LOSSES)


def _required(levels: Array | None, count: int) -> Array:
    if levels is None:
        raise ValueError(
            "quantile_huber needs levels[N], but the samples of this critic have no quantile levels: take a quantile "
            "critic, or a metric that compares samples, such as mmd, msmmd or max_sliced_wasserstein"
        )
    if jnp.shape(levels) != (count,):
        raise ValueError(f"levels must be one for each of the {count} predictions, got shape {jnp.shape(levels)}")
    return jnp.asarray(levels)


def rows_at_levels(returns: Array, levels: Array) -> Array:
    """Weights that average over the samples at each level.

    Row i has equal weights at the samples that are tau_i-quantiles of all of them: one sample, two where tau_i M is a
    whole number, or all that tie with these.

    Args:
        returns: ``[M]``.
        levels: tau ``[N]``, within [0, 1].

    Returns:
        ``[N, M]``; the sum of each row is 1.

    Example:
        >>> import jax.numpy as jnp
        >>> rows_at_levels(jnp.array([5.0, 7.0, 6.0, 7.0]), jnp.array([0.1, 0.25, 0.6])).tolist()
        [[1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5]]
    """
    count = returns.shape[0]
    ordered = jnp.sort(returns)
    fewer, at_most = (jnp.searchsorted(ordered, returns, side=side) for side in ("left", "right"))
    rank = (count * levels)[:, None]
    rounding = count * jnp.finfo(levels.dtype).eps  # that of tau M, where it is meant to be a whole number
    chosen = ((fewer[None] <= rank + rounding) & (rank - rounding <= at_most[None])).astype(returns.dtype)
    return chosen / jnp.sum(chosen, axis=1, keepdims=True)


def quantile_huber(
    x: Array,
    y: Array,
    levels: Array | None,
    kappa: float = 1.0,
    gradient_weight: float = 1.0,
    gradient: GradientLoss = "squared",
) -> Array:
    """The quantile Huber loss of the return, plus ``gradient_weight`` times that of the gradient.

        mean_ij |tau_i - 1{y_j0 < x_i0}| H_kappa(y_j0 - x_i0) / kappa  +  w mean_i rho(|x_i,1: - g_i|)

    with g_i the mean gradient of the targets whose return is a tau_i-quantile of the targets' returns, and w =
    ``gradient_weight``. With D = 1 it is the loss of QR-DQN and IQN.

    Args:
        x: predicted quantiles and their gradients, ``[N, D]``, the return in column 0.
        y: targets, ``[M, D]``; N and M may differ.
        levels: tau of each prediction, ``[N]``, within (0, 1), in any order.
        kappa: the error of the return at which the loss turns linear, positive; a small one gives the pinball loss.
        gradient_weight: of the gradient's term against the return's, at least 0.
        gradient: ``"squared"``, rho(u) = u²/2, whose minimizer is the conditional mean, or ``"huber"``,
            rho(u) = H_kappa(u)/kappa, against outliers.

    Returns:
        A scalar; the return's term is in units of the return where errors are larger than kappa.

    Raises:
        ValueError: no levels or not N of them, wrong shapes, ``kappa <= 0``, ``gradient_weight < 0``, or an unknown
            ``gradient``.

    See Also:
        :class:`QuantileHuber`, the same as a metric.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y, levels = jnp.array([[2.0]]), jnp.array([[0.0], [4.0], [6.0]]), jnp.array([0.75])
        >>> float(quantile_huber(x, y, levels))  # (0.25 · 1.5 + 0.75 · 1.5 + 0.75 · 3.5) / 3
        1.375
    """
    x, y = float_samples(x, y)
    levels = _required(levels, x.shape[0])
    _check_parameters(kappa, gradient_weight, gradient)
    errors = y[None, :, 0] - x[:, None, 0]
    sides = jnp.abs(levels[:, None] - (errors < 0))
    return_loss = jnp.mean(sides * huber_of_error(errors, kappa)) / kappa
    # By default GPUs keep three digits of a product.
    targets = jnp.matmul(rows_at_levels(y[:, 0], levels), y[:, 1:], precision=jax.lax.Precision.HIGHEST)
    squares = jnp.sum((x[:, 1:] - targets) ** 2, axis=1)
    gradient_losses = 0.5 * squares if gradient == "squared" else huber_of_square(squares, kappa) / kappa
    return return_loss + gradient_weight * jnp.mean(gradient_losses)


@registry.register("quantile_huber")
@dataclass(frozen=True)
class QuantileHuber(Metric):
    """:func:`quantile_huber` of return and gradients, for critics whose samples have quantile levels.

    It declares no contraction rate: the theorem of QR-DQN is about its minimizer, not about the loss.

    Args:
        kappa: as for the function.
        gradient_weight: as for the function.
        gradient: as for the function.

    Raises:
        ValueError: ``kappa <= 0``, ``gradient_weight < 0``, or an unknown ``gradient``; when called, no levels.

    See Also:
        :func:`quantile_huber` for what it computes.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x, y = jnp.array([[2.0]]), jnp.array([[0.0], [4.0], [6.0]])
        >>> float(QuantileHuber()(jax.random.key(0), x, y, levels=jnp.array([0.75])))
        1.375
    """

    kappa: float = 1.0
    gradient_weight: float = 1.0
    gradient: GradientLoss = "squared"

    def __post_init__(self) -> None:
        _check_parameters(self.kappa, self.gradient_weight, self.gradient)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        del key
        return quantile_huber(x, y, levels, self.kappa, self.gradient_weight, self.gradient)
