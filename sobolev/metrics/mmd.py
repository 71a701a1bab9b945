"""Maximum mean discrepancy between two samples.

For distributions P, Q and independent x, x' ~ P and y, y' ~ Q,

    MMD²(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y) = 2 E g(x, y) - E g(x, x') - E g(y, y'),

with the kernel's gap g (see :mod:`sobolev.metrics.kernels`). The second form is the one computed: it loses no digits
for kernels whose values are large and nearly equal. In one dimension and under g(x, y) = |x - y| it is the integral

    MMD²(P, Q) = 2 ∫ (F(z) - G(z))² dz

of the distribution functions, which sorting gives without looking at pairs (Székely and Rizzo, 2013).

Sources: Gretton et al., "A kernel two-sample test" (JMLR 2012); V24 equations 21 (u) and 22 (v).
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

import jax.numpy as jnp

from sobolev.metrics.base import Metric, float_samples, registry
from sobolev.metrics.kernels import Kernel, Multiquadric, check_kernel
from sobolev.numerics import with_nan_slopes
from sobolev.registry import unknown_name
from sobolev.types import Array

Estimator = Literal["u", "v"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)

# Points of both samples together. On a CPU, value and gradient in one dimension are faster by sorting from here on (at
# 2 x 32 points 1.1 times for one pair and 1.9 for a batch of 64, at 2 x 256 8 and 26 times), below by comparing pairs.
_SORTED_FROM = 64


def check_estimator(estimator: str) -> None:
    """Checks the name of an estimator.

    Args:
        estimator: should be ``"u"`` or ``"v"``.

    Raises:
        ValueError: unless it is.

    Example:
        >>> check_estimator("unbiased")
        Traceback (most recent call last):
            ...
        ValueError: unknown estimator 'unbiased'. Known: u, v
    """
    if estimator not in ESTIMATORS:
        raise unknown_name("estimator", estimator, ESTIMATORS)


def _check_sizes(estimator: str, x: Array, y: Array) -> None:
    check_estimator(estimator)
    for name, n in (("x", x.shape[0]), ("y", y.shape[0])):
        if estimator == "u" and n < 2:
            raise ValueError(
                f"the u-statistic needs two samples or more of each distribution, got {n} in {name}: a single sample "
                "does not show the spread. Use estimator='v' or draw more samples"
            )


def _mean_within(kernel: Kernel, x: Array, estimator: Estimator) -> Array:
    """The mean gap over the pairs of one sample; a point's gap to itself is 0, so the sum is the same for both."""
    n = x.shape[0]
    return jnp.sum(kernel.gaps(x, x)) / (n * (n - 1) if estimator == "u" else n * n)


def energy_mmd2_sorted(x: Array, y: Array, estimator: Estimator = "u") -> Array:
    """:func:`mmd2` under ``Energy(1)`` in one dimension, in O(n log n): with n = N + M points z_k in order,

        v:  2 sum_k (z_(k+1) - z_k) (F_k - G_k)²
        u:  2 sum_k (z_(k+1) - z_k) [ (F_k - G_k)² - F_k (1 - F_k) / (N - 1) - G_k (1 - G_k) / (M - 1) ]

    where F_k and G_k are the shares of x and of y among the first k points. It uses differences of neighbors alone, so
    that an offset of both samples costs no digits, and v is not negative. The gradient is that of the pairwise sums;
    where points tie, it is the one-sided gradient for one order of the tied points.

    Args:
        x: ``[N, 1]``.
        y: ``[M, 1]``.
        estimator: ``"u"`` or ``"v"``.

    Returns:
        A scalar in units of x.

    Raises:
        ValueError: as ``mmd2``, or D > 1.

    See Also:
        :func:`mmd2`, which calls it where it is faster.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.array([[0.0], [2.0]]), jnp.array([[1.0], [3.0], [5.0]])
        >>> round(float(energy_mmd2_sorted(x, y, estimator="v")), 4)
        1.8889
    """
    x, y = float_samples(x, y)
    _check_sizes(estimator, x, y)
    if x.shape[1] != 1:
        raise ValueError(f"sorting needs samples on the line, D = 1, got D = {x.shape[1]}: use mmd2")
    n, m = x.shape[0], y.shape[0]
    z = jnp.concatenate([x[:, 0], y[:, 0]])
    order = jnp.argsort(z)
    from_x = jnp.cumsum(order < n)[:-1]
    f = from_x.astype(z.dtype) / n
    g = (jnp.arange(1, n + m) - from_x).astype(z.dtype) / m
    heights = (f - g) ** 2
    if estimator == "u":
        heights = heights - f * (1 - f) / (n - 1) - g * (1 - g) / (m - 1)
    return with_nan_slopes(2.0 * jnp.sum(heights * jnp.diff(z[order])), z)


def mmd2(x: Array, y: Array, kernel: Kernel | None = None, estimator: Estimator = "u") -> Array:
    """Squared maximum mean discrepancy of two samples.

        u:  2/(NM) sum_ij g(x_i, y_j) - 1/(N(N-1)) sum_{i != i'} g(x_i, x_i') - 1/(M(M-1)) sum_{j != j'} g(y_j, y_j')
        v:  the same with 1/N² and 1/M²

    The u-statistic is unbiased for the MMD² of the distributions and may therefore be negative. The v-statistic is the
    MMD² of the empirical distributions: not negative, 0 at x = y, but a generator trained on fresh samples under it is
    under-dispersed. On the line, and under a kernel with ``gap_is_distance``, many points are sorted instead of paired,
    with the same result.

    Args:
        x: samples of the first distribution, ``[N, D]``.
        y: samples of the second distribution, ``[M, D]``; N and M may differ.
        kernel: see :mod:`sobolev.metrics.kernels`; the multiquadric with h = 100 by default.
        estimator: ``"u"`` or ``"v"``.

    Returns:
        A scalar in the kernel's units; its gradient is finite everywhere, at x = y too.

    Raises:
        ValueError: wrong shapes, an unknown estimator, or fewer than two samples under "u".
        TypeError: a kernel that is none, its name say.

    See Also:
        :class:`MMD`, the same as a metric.

    Example:
        >>> import jax.numpy as jnp
        >>> from sobolev.metrics import Energy
        >>> x, y = jnp.array([[0.0], [2.0]]), jnp.array([[1.0], [3.0], [5.0]])
        >>> round(float(mmd2(x, y, Energy(), estimator="v")), 4)  # 2·14/6 - 4/4 - 16/9
        1.8889
    """
    x, y = float_samples(x, y)
    _check_sizes(estimator, x, y)
    kernel = Multiquadric() if kernel is None else kernel
    check_kernel(kernel)
    if kernel.gap_is_distance and x.shape[1] == 1 and x.shape[0] + y.shape[0] >= _SORTED_FROM:
        return energy_mmd2_sorted(x, y, estimator)
    between = jnp.mean(kernel.gaps(x, y))
    return 2.0 * between - _mean_within(kernel, x, estimator) - _mean_within(kernel, y, estimator)


@registry.register("mmd")
@dataclass(frozen=True)
class MMD(Metric):
    """:func:`mmd2` of return and gradients, as a training loss.

    It declares no contraction rate: where both distributions have the same spread of the gradient, it hides a
    difference of the returns before a backup and no longer after it, so that a backup can expand this metric by any
    factor.

    Args:
        kernel: as for the function.
        estimator: as for the function.

    Raises:
        ValueError: an unknown estimator.
        TypeError: a kernel that is none.

    See Also:
        :func:`mmd2` for what it computes; :class:`sobolev.metrics.MSMMD`, which contracts.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sobolev.metrics import Energy
        >>> x, y = jnp.zeros((2, 2)), jnp.array([[3.0, 4.0], [3.0, 4.0]])
        >>> float(MMD(kernel=Energy())(jax.random.key(0), x, y))  # 2 |x - y|
        10.0
    """

    kernel: Kernel = field(default_factory=Multiquadric)
    estimator: Estimator = "u"

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_estimator(self.estimator)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        del key, levels
        return mmd2(x, y, self.kernel, self.estimator)
