"""Wasserstein distance of two distributions on the line, exact.

    W_p^p(P, Q) = inf over couplings of E |x - y|^p = ∫_0^1 |F_P^-1(u) - F_Q^-1(u)|^p du

For samples both quantile functions are step functions, with steps of width 1/N and 1/M. The integral is a sum over the
pieces between neighbors of all levels i/N and j/M; in each piece one sorted x is matched with one sorted y. Which are
matched, and over what width, depends on N and M alone.

Source: Peyré and Cuturi, "Computational Optimal Transport" (2019), section 2.6.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from sobolev.checks import check_at_least
from sobolev.metrics.base import Metric, as_floats, registry
from sobolev.numerics import safe_power, with_nan_slopes
from sobolev.types import Array


def check_order(p: float) -> None:
    """Checks the order of a Wasserstein distance: below 1, sorting does not give the best coupling.

    Args:
        p: the order.

    Raises:
        ValueError: unless ``p >= 1``.

    Example:
        >>> check_order(0.5)
        Traceback (most recent call last):
            ...
        ValueError: p must be at least 1, got 0.5
    """
    check_at_least(1, p=p)


def quantile_coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of n and of m sorted samples the best coupling matches, and with what mass.

    Args:
        n: samples of the first distribution, at least 1.
        m: samples of the second distribution, at least 1.

    Returns:
        Indices into the first, indices into the second, and masses whose sum is 1: ``[n + m - gcd(n, m)]`` each.

    Example:
        >>> rows, columns, masses = quantile_coupling(2, 3)
        >>> rows.tolist(), columns.tolist(), (6 * masses).round().tolist()
        ([0, 0, 1, 1], [0, 1, 1, 2], [2.0, 1.0, 1.0, 2.0])
    """
    levels = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)  # in units of 1 / (n m): whole numbers
    return levels[:-1] // m, levels[:-1] // n, np.diff(levels) / (n * m)


def _on_the_line(x: Array, name: str) -> Array:
    x = as_floats(x, name)
    shape = x.shape
    if len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(f"{name} must be [N] or [N, 1] and not empty, got shape {shape}; vmap over states")
    if len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"wasserstein is exact on the line alone, got {shape[1]} columns in {name}: take sliced_wasserstein or "
            "max_sliced_wasserstein, which compare projections"
        )
    return jnp.ravel(x)


def wasserstein(x: Array, y: Array, p: float = 1.0) -> Array:
    """``W_p^p`` of two samples on the line, by sorting.

    Args:
        x: samples of the first distribution, ``[N]`` or ``[N, 1]``.
        y: samples of the second distribution, ``[M]`` or ``[M, 1]``; N and M may differ.
        p: order, at least 1.

    Returns:
        A scalar in units of x to the power p; no root is taken. Its gradient is finite everywhere; at x = y it is 0.

    Raises:
        ValueError: more than one column, wrong shapes, or ``p < 1``.

    See Also:
        :class:`Wasserstein`, the same as a metric; :func:`sobolev.metrics.sliced_wasserstein` and
        :func:`sobolev.metrics.max_sliced_wasserstein` for D > 1.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.array([4.0, 0.0]), jnp.array([1.0, 2.0, 6.0])
        >>> round(float(wasserstein(x, y)), 4)  # 0 -> 1, 2 and 4 -> 2, 6: 2/6 · 1 + 1/6 · 2 + 1/6 · 2 + 2/6 · 2
        1.6667
    """
    check_order(p)
    x, y = _on_the_line(x, "x"), _on_the_line(y, "y")
    rows, columns, masses = quantile_coupling(len(x), len(y))
    costs = safe_power(jnp.abs(jnp.sort(x)[rows] - jnp.sort(y)[columns]), p)
    return with_nan_slopes(jnp.sum(jnp.asarray(masses, dtype=costs.dtype) * costs), x, y)


@registry.register("wasserstein")
@dataclass(frozen=True)
class Wasserstein(Metric):
    """:func:`wasserstein` of the return alone (D = 1), as a training loss.

    It is biased: fresh samples of equal distributions are at a positive distance, of order N^(-1/2) for p = 1.

    Args:
        p: as for the function.

    Raises:
        ValueError: ``p < 1``.

    See Also:
        :func:`wasserstein` for what it computes; :class:`sobolev.metrics.MaxSlicedWasserstein` for D > 1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> metric = Wasserstein(p=2.0)
        >>> float(metric(jax.random.key(0), jnp.zeros((2, 1)), jnp.full((3, 1), 2.0))), metric.contraction_rate(0.81)
        (4.0, 0.81)
    """

    p: float = 1.0

    def __post_init__(self) -> None:
        check_order(self.p)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        del key, levels
        return wasserstein(x, y, self.p)

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        """The rate of W_p (not of its power) under a backup of the return.

        Args:
            gamma_kappa: see :mod:`sobolev.contraction`; of the return alone it is gamma.

        Returns:
            ``gamma_kappa`` where it is below 1, else None.
        """
        return gamma_kappa if gamma_kappa < 1 else None
