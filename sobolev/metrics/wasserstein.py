"""Wasserstein distance of two laws on the line, exact.

    W_p^p(P, Q) = inf over couplings of E |x - y|^p = ∫_0^1 |F_P^-1(u) - F_Q^-1(u)|^p du

For samples both quantile functions are steps, of width 1/N and 1/M: the integral is a sum over the pieces between all
levels i/N and j/M, in each of which one sorted x meets one sorted y. Which, and over what width, depends on N and M
alone. Source: Peyré and Cuturi, "Computational Optimal Transport" (2019), section 2.6.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from sobolev.metrics.base import Metric, registry
from sobolev.numerics import safe_power
from sobolev.types import Array


def check_order(p: float) -> None:
    """Raises a ValueError unless ``p >= 1``: below, sorting is not the best coupling."""
    if not p >= 1:
        raise ValueError(f"p must be at least 1, got {p!r}")


def quantile_coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of n and of m sorted samples meet in the best coupling, and with what mass; n + m - gcd(n, m) pieces.

    Example:
        >>> rows, columns, masses = quantile_coupling(2, 3)
        >>> rows.tolist(), columns.tolist(), (6 * masses).round().tolist()
        ([0, 0, 1, 1], [0, 1, 1, 2], [2.0, 1.0, 1.0, 2.0])
    """
    levels = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)  # in units of 1 / (n m): whole numbers
    return levels[:-1] // m, levels[:-1] // n, np.diff(levels) / (n * m)


def _on_the_line(x: Array, name: str) -> Array:
    shape = jnp.shape(x)
    if len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(f"{name} must be [N] or [N, 1] and not empty, got shape {shape}; vmap over states")
    if len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"wasserstein is exact on the line alone, got {shape[1]} features in {name}: take sliced_wasserstein or "
            "max_sliced_wasserstein, which compare projections"
        )
    return jnp.ravel(x)


def wasserstein(x: Array, y: Array, p: float = 1.0) -> Array:
    """``W_p^p`` of two samples on the line, by sorting.

    Args:
        x: samples of the first law, ``[N]`` or ``[N, 1]``.
        y: samples of the second law, ``[M]`` or ``[M, 1]``; N and M may differ.
        p: order, at least 1.

    Returns:
        A scalar in units of x to the power p; no root is taken. Its gradient is finite everywhere; at x = y it is 0.

    Raises:
        ValueError: more than one feature, wrong shapes, or ``p < 1``.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.array([4.0, 0.0]), jnp.array([1.0, 2.0, 6.0])
        >>> round(float(wasserstein(x, y)), 4)  # 0 meets 1 and half of 2, 4 the other half and 6: 2/6 + 2/6 + 2/6 + 4/6
        1.6667
    """
    check_order(p)
    x, y = _on_the_line(x, "x"), _on_the_line(y, "y")
    rows, columns, masses = quantile_coupling(len(x), len(y))
    costs = safe_power(jnp.abs(jnp.sort(x)[rows] - jnp.sort(y)[columns]), p)
    return jnp.sum(jnp.asarray(masses, dtype=costs.dtype) * costs)


@registry.register("wasserstein")
@dataclass(frozen=True)
class Wasserstein(Metric):
    """W_p^p of the return alone (D = 1), as a training loss.

    The biased form: fresh samples of equal laws are at a distance, of order N^(-1/2) for p = 1.

    Args:
        p: order, at least 1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> float(Wasserstein(p=2.0)(jax.random.key(0), jnp.zeros((2, 1)), jnp.full((3, 1), 2.0)))
        4.0
    """

    p: float = 1.0

    def __post_init__(self) -> None:
        check_order(self.p)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """``wasserstein(x[N, 1], y[M, 1])``; ``key`` and ``levels`` are not used."""
        del key, levels
        return wasserstein(x, y, self.p)

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        """``gamma kappa`` where it is below 1: the rate of W_p (not of its power) under a backup of the return."""
        return gamma_kappa if gamma_kappa < 1 else None
