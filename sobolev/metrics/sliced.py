"""Slicing: from a distance between distributions on the line to one between distributions on R^D, by projections.

    sliced      mean over |theta| = 1 of distance(theta·P, theta·Q)

where theta·P is the distribution of <theta, x> with x ~ P, and ``distance(x[N, 1], y[M, 1]) -> []`` is any function of
two samples. The mean slice can be small although one slice is large, and no contraction rate holds for it in general.
:mod:`sobolev.metrics.max_sliced` takes the largest slice instead.

Sources: Bonneel et al., "Sliced and Radon Wasserstein barycenters of measures" (2015); V26 for the kernel on slices.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from sobolev.checks import check_at_least
from sobolev.metrics.base import Metric, float_samples, registry
from sobolev.metrics.kernels import Kernel, Multiquadric, check_kernel
from sobolev.metrics.mmd import Estimator, check_estimator, mmd2
from sobolev.metrics.wasserstein import check_order, wasserstein
from sobolev.numerics import unit_vector
from sobolev.types import Array

Distance = Callable[[Array, Array], Array]
"""A distance of two samples on the line: ``(x[N, 1], y[M, 1]) -> []``."""


def check_num_directions(num_directions: int) -> None:
    """Checks that there is a direction to project on.

    Args:
        num_directions: of a mean over directions.

    Raises:
        ValueError: unless ``num_directions >= 1``.

    Example:
        >>> check_num_directions(0)
        Traceback (most recent call last):
            ...
        ValueError: num_directions must be at least 1, got 0
    """
    check_at_least(1, num_directions=num_directions)


def project(x: Array, direction: Array) -> Array:
    """The projections of points on a direction.

    Args:
        x: ``[N, D]``.
        direction: ``[D]``.

    Returns:
        ``<direction, x_i>``, ``[N, 1]``.

    Example:
        >>> import jax.numpy as jnp
        >>> project(jnp.array([[3.0, 4.0], [1.0, 0.0]]), jnp.array([0.0, 1.0])).tolist()
        [[4.0], [0.0]]
    """
    # By default GPUs keep three digits of a product, and a slice is a difference of products.
    return jnp.matmul(x, direction, precision=jax.lax.Precision.HIGHEST)[:, None]


def slice_along(direction: Array, x: Array, y: Array, distance: Distance) -> Array:
    """A distance of the projections of two samples on one direction.

    Args:
        direction: ``[D]``.
        x: ``[N, D]``.
        y: ``[M, D]``.
        distance: ``(x[N, 1], y[M, 1]) -> []``.

    Returns:
        A scalar in the units of ``distance``.

    Example:
        >>> import jax.numpy as jnp
        >>> from sobolev.metrics import wasserstein
        >>> x, y = jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2))
        >>> float(slice_along(jnp.array([1.0, 0.0]), x, y, wasserstein))
        3.0
    """
    return distance(project(x, direction), project(y, direction))


def uniform_directions(key: Array, size: int, count: int, dtype: jnp.dtype) -> Array:
    """Directions that are uniform on the sphere.

    Args:
        key: for the directions.
        size: D.
        count: how many.
        dtype: of the result.

    Returns:
        Unit vectors, ``[count, size]``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> directions = uniform_directions(jax.random.key(0), 3, 5, jnp.dtype("float32"))
        >>> directions.shape, [round(float(jnp.linalg.norm(direction)), 3) for direction in directions]
        ((5, 3), [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    return unit_vector(jax.random.normal(key, (count, size), dtype=dtype))


def sliced(key: Array, x: Array, y: Array, distance: Distance, num_directions: int = 128) -> Array:
    """The mean of a distance over projections on uniform random directions; with D = 1 the distance itself.

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

    See Also:
        :func:`sobolev.metrics.max_sliced` for the largest slice.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def mean_gap(x, y):
        ...     return jnp.mean(x - y) ** 2
        >>> x, y = jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2))
        >>> slices = sliced(jax.random.key(0), x, y, mean_gap, num_directions=10_000)
        >>> bool(jnp.isclose(slices, 25 / 2, rtol=0.05))  # |x|² / D
        True
    """
    x, y = float_samples(x, y)
    check_num_directions(num_directions)
    if x.shape[1] == 1:
        return distance(x, y)
    directions = uniform_directions(key, x.shape[1], num_directions, x.dtype)
    return jnp.mean(jax.vmap(lambda direction: slice_along(direction, x, y, distance))(directions))


def mmd2_of(kernel: Kernel | None, estimator: Estimator) -> Distance:
    """:func:`sobolev.metrics.mmd2` as a function of the two samples alone.

    Args:
        kernel: as for ``mmd2``.
        estimator: as for ``mmd2``.

    Returns:
        ``(x[N, 1], y[M, 1]) -> []``.

    Raises:
        ValueError: an unknown estimator.

    Example:
        >>> import jax.numpy as jnp
        >>> from sobolev.metrics import Energy
        >>> float(mmd2_of(Energy(), "v")(jnp.zeros((1, 1)), jnp.ones((1, 1))))
        2.0
    """
    check_estimator(estimator)
    return lambda x, y: mmd2(x, y, kernel, estimator)


def wasserstein_of(p: float) -> Distance:
    """:func:`sobolev.metrics.wasserstein` as a function of the two samples alone.

    Args:
        p: order, at least 1.

    Returns:
        ``(x[N, 1], y[M, 1]) -> []``.

    Raises:
        ValueError: ``p < 1``.

    Example:
        >>> import jax.numpy as jnp
        >>> float(wasserstein_of(2.0)(jnp.zeros((1, 1)), jnp.full((1, 1), 3.0)))
        9.0
    """
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
    """Squared sliced MMD: the mean over directions of :func:`sobolev.metrics.mmd2` of the projections.

    Args:
        key: for the directions.
        x: ``[N, D]``.
        y: ``[M, D]``; N and M may differ.
        kernel: on the line; the multiquadric with h = 100 by default.
        estimator: ``"u"`` (unbiased for the distributions) or ``"v"``.
        num_directions: how many, at least 1.

    Returns:
        A scalar in the kernel's units, with a finite gradient everywhere.

    Raises:
        ValueError: as ``mmd2``, or ``num_directions < 1``.

    See Also:
        :class:`SlicedMMD`, the same as a metric; :func:`sobolev.metrics.msmmd2` for the largest slice.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sobolev.metrics import Energy
        >>> x, y = jnp.zeros((2, 2)), jnp.array([[3.0, 4.0], [3.0, 4.0]])
        >>> slices = sliced_mmd2(jax.random.key(0), x, y, Energy(), num_directions=10_000)
        >>> bool(jnp.isclose(slices, 2 * 5.0 * 2 / jnp.pi, rtol=0.05))  # the mean of |cos| on a circle is 2 / pi
        True
    """
    return sliced(key, x, y, mmd2_of(kernel, estimator), num_directions)


def sliced_wasserstein(key: Array, x: Array, y: Array, p: float = 1.0, num_directions: int = 128) -> Array:
    """Sliced ``W_p^p``: the mean over directions of the projections' ``W_p^p``, no root taken.

    Args:
        key: for the directions.
        x: ``[N, D]``.
        y: ``[M, D]``; N and M may differ.
        p: order, at least 1.
        num_directions: how many, at least 1.

    Returns:
        A scalar in units of x to the power p.

    Raises:
        ValueError: wrong shapes, ``p < 1``, or ``num_directions < 1``.

    See Also:
        :class:`SlicedWasserstein`, the same as a metric; :func:`sobolev.metrics.max_sliced_wasserstein` for the largest
        slice.

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
    """:func:`sliced_mmd2` of return and gradients, as a training loss.

    It declares no contraction rate: under the energy kernel it is a multiple of the MMD² on R^D, which a backup can
    expand by any factor.

    Args:
        kernel: as for the function.
        estimator: as for the function.
        num_directions: as for the function; each key has its own directions.

    Raises:
        ValueError: an unknown estimator, or ``num_directions < 1``.

    See Also:
        :func:`sliced_mmd2` for what it computes; :class:`sobolev.metrics.MSMMD` for the largest slice.

    Example:
        >>> import jax
        >>> x, y = jax.random.normal(jax.random.key(0), (2, 6, 3))
        >>> metric = jax.jit(SlicedMMD(num_directions=16))
        >>> bool(metric(jax.random.key(1), x, y + 5.0) > metric(jax.random.key(1), x, y))
        True
    """

    kernel: Kernel = field(default_factory=Multiquadric)
    estimator: Estimator = "u"
    num_directions: int = 128

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_estimator(self.estimator)
        check_num_directions(self.num_directions)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        del levels
        return sliced_mmd2(key, x, y, self.kernel, self.estimator, self.num_directions)


@registry.register("sliced_wasserstein")
@dataclass(frozen=True)
class SlicedWasserstein(Metric):
    """:func:`sliced_wasserstein` of return and gradients, as a training loss.

    It declares no contraction rate: where both distributions have the same wide spread of the gradient, it hides a
    difference of the returns in most slices. A backup that removes the spread uncovers the difference.

    Args:
        p: as for the function.
        num_directions: as for the function; each key has its own directions.

    Raises:
        ValueError: ``p < 1``, or ``num_directions < 1``.

    See Also:
        :func:`sliced_wasserstein` for what it computes; :class:`sobolev.metrics.MaxSlicedWasserstein` for the largest
        slice.

    Example:
        >>> import jax
        >>> x, y = jax.random.normal(jax.random.key(0), (2, 6, 3))
        >>> metric = jax.jit(SlicedWasserstein(p=2.0, num_directions=16))
        >>> bool(metric(jax.random.key(1), x, y + 5.0) > metric(jax.random.key(1), x, y))
        True
    """

    p: float = 1.0
    num_directions: int = 128

    def __post_init__(self) -> None:
        check_order(self.p)
        check_num_directions(self.num_directions)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        del levels
        return sliced_wasserstein(key, x, y, self.p, self.num_directions)
