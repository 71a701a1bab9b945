"""Slicing: from a distance between laws on the line to one between laws on R^D, through projections.

    sliced      mean over |theta| = 1 of distance(theta·P, theta·Q),   theta·P the law of <theta, x> with x ~ P

``distance(x[N, 1], y[M, 1]) -> []`` is any function of two samples. The mean slice can be small although one slice is
large, and under it no contraction rate holds in general: :mod:`sobolev.metrics.max_sliced` takes the largest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from sobolev.metrics.base import Metric, check_samples, registry
from sobolev.metrics.kernels import Kernel, Multiquadric
from sobolev.metrics.mmd import Estimator, check_estimator, mmd2
from sobolev.metrics.wasserstein import check_order, wasserstein
from sobolev.numerics import unit_vector
from sobolev.types import Array

Distance = Callable[[Array, Array], Array]
"""A distance of two samples on the line: ``(x[N, 1], y[M, 1]) -> []``."""


def check_num_directions(num_directions: int) -> None:
    """Raises a ValueError unless there is a direction to slice along."""
    if num_directions < 1:
        raise ValueError(f"num_directions must be at least 1, got {num_directions}")


def project(x: Array, direction: Array) -> Array:
    """``<direction, x_i>`` for ``x[N, D]`` and ``direction[D]``, as ``[N, 1]``."""
    # In full precision, for on GPUs the default one keeps three digits, and a slice lives on differences.
    return jnp.matmul(x, direction, precision=jax.lax.Precision.HIGHEST)[:, None]


def slice_along(direction: Array, x: Array, y: Array, distance: Distance) -> Array:
    """``distance`` of the projections of ``x[N, D]`` and ``y[M, D]`` on ``direction[D]``."""
    return distance(project(x, direction), project(y, direction))


def uniform_directions(key: Array, size: int, count: int, dtype: jnp.dtype) -> Array:
    """Unit vectors ``[count, size]``, uniform on the sphere."""
    return unit_vector(jax.random.normal(key, (count, size), dtype=dtype))


def sliced(key: Array, x: Array, y: Array, distance: Distance, num_directions: int = 128) -> Array:
    """The mean of ``distance`` over projections on uniform random directions; with D = 1 ``distance`` itself.

    Args:
        key: for the directions.
        x: ``[N, D]``.
        y: ``[M, D]``; N and M may differ.
        distance: ``(x[N, 1], y[M, 1]) -> []``.
        num_directions: how many, at least 1.

    Returns:
        A scalar in the units of ``distance``, unbiased for the mean over the sphere.

    Raises:
        ValueError: wrong shapes, or ``num_directions < 1``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def mean_gap(x, y):
        ...     return jnp.mean(x - y) ** 2
        >>> x, y = jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2))
        >>> slices = sliced(jax.random.key(0), x, y, mean_gap, num_directions=10_000)
        >>> bool(jnp.isclose(slices, 25 / 2, rtol=0.05))  # |x|² / D
        True
    """
    check_samples(x, y)
    check_num_directions(num_directions)
    if x.shape[1] == 1:
        return distance(x, y)
    directions = uniform_directions(key, x.shape[1], num_directions, x.dtype)
    return jnp.mean(jax.vmap(lambda direction: slice_along(direction, x, y, distance))(directions))


def mmd2_of(kernel: Kernel | None, estimator: Estimator) -> Distance:
    """``mmd2`` with its parameters bound."""
    check_estimator(estimator)
    return lambda x, y: mmd2(x, y, kernel, estimator)


def wasserstein_of(p: float) -> Distance:
    """``wasserstein`` with its order bound."""
    check_order(p)
    return lambda x, y: wasserstein(x, y, p)


def sliced_mmd2(
    key: Array,
    x: Array,
    y: Array,
    kernel: Kernel | None = None,
    estimator: Estimator = "u",
    num_directions: int = 128,
) -> Array:
    """Squared sliced MMD of ``x[N, D]`` and ``y[M, D]``: ``sliced`` of ``mmd2``; under "u" unbiased for the laws'."""
    return sliced(key, x, y, mmd2_of(kernel, estimator), num_directions)


def sliced_wasserstein(key: Array, x: Array, y: Array, p: float = 1.0, num_directions: int = 128) -> Array:
    """Sliced ``W_p^p`` of ``x[N, D]`` and ``y[M, D]``: the mean over directions, no root taken (Bonneel et al., 2015).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jnp.array([[3.0], [1.0]])
        >>> float(sliced_wasserstein(jax.random.key(0), x, jnp.zeros((3, 1)), p=2.0))  # (3² + 1²) / 2
        5.0
    """
    return sliced(key, x, y, wasserstein_of(p), num_directions)


@registry.register("sliced_mmd")
@dataclass(frozen=True)
class SlicedMMD(Metric):
    """Sliced MMD² on the joint samples of return and gradients, as a training loss.

    It declares no contraction rate: under the energy kernel it is a multiple of the MMD² on R^D, which a backup can
    expand by any factor.

    Args:
        kernel: the base kernel on R, see :mod:`sobolev.metrics.kernels`.
        estimator: ``"u"`` (unbiased) or ``"v"``.
        num_directions: uniform random directions, fresh ones for each key.
    """

    kernel: Kernel = field(default_factory=Multiquadric)
    estimator: Estimator = "u"
    num_directions: int = 128

    def __post_init__(self) -> None:
        check_estimator(self.estimator)
        check_num_directions(self.num_directions)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """``sliced_mmd2`` of ``x[N, D]`` and ``y[M, D]``; ``levels`` are not used."""
        del levels
        return sliced_mmd2(key, x, y, self.kernel, self.estimator, self.num_directions)


@registry.register("sliced_wasserstein")
@dataclass(frozen=True)
class SlicedWasserstein(Metric):
    """Sliced W_p^p on the joint samples of return and gradients, as a training loss.

    It declares no contraction rate: a spread of the gradient that both laws share masks a difference of the returns'
    laws in most slices before a backup, and no longer in a backup that removes it.

    Args:
        p: order, at least 1.
        num_directions: uniform random directions, fresh ones for each key.
    """

    p: float = 1.0
    num_directions: int = 128

    def __post_init__(self) -> None:
        check_order(self.p)
        check_num_directions(self.num_directions)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """``sliced_wasserstein`` of ``x[N, D]`` and ``y[M, D]``; ``levels`` are not used."""
        del levels
        return sliced_wasserstein(key, x, y, self.p, self.num_directions)
