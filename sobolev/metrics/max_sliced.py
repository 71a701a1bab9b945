"""Max-slicing: the largest slice of a distance between distributions on the line, for distributions on R^D.

    max-sliced  sup over |theta| = 1 of distance(theta·P, theta·Q)

where theta·P is the distribution of <theta, x> with x ~ P, and ``distance(x[N, 1], y[M, 1]) -> []`` is any
differentiable function of two samples.

The largest slice contracts where the base distance d does. Let d be translation invariant, with ``d(cP, cQ) <= l(c)
d(P, Q)`` for an increasing l, and such that mixing distributions does not enlarge it. Then the complete Sobolev Bellman
operator contracts max-sliced d by l(gamma kappa) where gamma kappa < 1 (V26, theorem 2; docs/theory.md, section 4),
because a slice of a backup is a slice of what it was applied to,

    <theta, b + A x> = const + c <theta', x>,   c = |A^T theta| <= gamma kappa,

and the backup over all noises is a mixture. So l(c) = sqrt(c) for the MMD of the multiquadric and of the energy kernel,
and l(c) = c for W_p. Under the mean over directions theta' is no longer uniform, and no rate holds in general.

Sources: V26 for MSMMD; Deshpande et al., "Max-sliced Wasserstein distance and its use for GANs" (CVPR 2019).
"""

from abc import abstractmethod
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from sobolev.metrics.base import Metric, as_floats, float_samples, registry
from sobolev.metrics.directions import DirectionSearch
from sobolev.metrics.kernels import Kernel, Multiquadric, check_kernel
from sobolev.metrics.mmd import Estimator, check_estimator
from sobolev.metrics.sliced import Distance, mmd2_of, slice_along, wasserstein_of
from sobolev.metrics.wasserstein import check_order
from sobolev.types import Array

_DEFAULT_SEARCH = DirectionSearch()


def max_sliced(key: Array, x: Array, y: Array, distance: Distance, search: DirectionSearch = _DEFAULT_SEARCH) -> Array:
    """A distance of the projections on the direction that a search finds; with D = 1 the distance itself.

    The supremum over the samples at hand is biased upwards against that over the distributions. The gradient is that of
    the slice at the direction found.

    Args:
        key: for the search.
        x: ``[N, D]``.
        y: ``[M, D]``; N and M may differ.
        distance: ``(x[N, 1], y[M, 1]) -> []``, differentiable almost everywhere.
        search: see :class:`sobolev.metrics.DirectionSearch`.

    Returns:
        A scalar in the units of ``distance``.

    Raises:
        ValueError: wrong shapes.

    See Also:
        :func:`sobolev.metrics.sliced` for the mean over directions; :func:`mean_max_sliced` for a batch of states.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def mean_gap(x, y):
        ...     return jnp.mean(x - y) ** 2
        >>> x, y = jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2))
        >>> largest = jax.jit(max_sliced, static_argnames="distance")
        >>> round(float(largest(jax.random.key(0), x, y, distance=mean_gap)), 3)  # |x|²
        25.0
    """
    x, y = float_samples(x, y)
    return slice_along(search(key, x, y, distance), x, y, distance)


def mean_max_sliced(
    keys: Array,
    x: Array,
    y: Array,
    distance: Distance,
    search: DirectionSearch = _DEFAULT_SEARCH,
    cross_fit: bool = True,
) -> Array:
    """The mean over states of a distance along nearly worst directions, each state's own or another state's.

    A direction that is chosen on the samples that it then scores prefers noise: with few samples the mean over states
    of the supremum is smallest for predictions that spread less than the targets, although every fixed slice is
    unbiased. With ``cross_fit`` state b is scored along the direction that is worst for state b - 1 (for the first, the
    last), which is independent of b's samples. Then predictions of the right distribution are stationary wherever they
    are so for each slice (docs/theory.md, section 13). The mean is then no longer max-sliced, and no theorem on
    max-slicing applies to it.

    Source: Chernozhukov et al., "Double/debiased machine learning" (2018), for cross-fitting.

    Args:
        keys: ``[B]``.
        x: ``[B, N, D]``.
        y: ``[B, M, D]``; N and M may differ.
        distance: ``(x[N, 1], y[M, 1]) -> []``, differentiable almost everywhere.
        search: see :class:`sobolev.metrics.DirectionSearch`.
        cross_fit: score each state along another's direction; a single state has only its own.

    Returns:
        A scalar in the units of ``distance``.

    Raises:
        ValueError: wrong shapes.

    See Also:
        :func:`max_sliced` for one state.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def mean_gap(x, y):
        ...     return jnp.mean(x - y) ** 2
        >>> x, keys = jnp.array([[[3.0, 0.0]], [[0.0, 4.0]]]), jax.random.split(jax.random.key(0))
        >>> mean = jax.jit(mean_max_sliced, static_argnames=("distance", "cross_fit"))
        >>> [float(mean(keys, x, 0 * x, distance=mean_gap, cross_fit=cross_fit)) for cross_fit in (False, True)]
        [12.5, 0.0]
    """
    x, y = as_floats(x, "x"), as_floats(y, "y")
    directions = jax.vmap(lambda key, x, y: search(key, x, y, distance))(keys, x, y)
    if cross_fit:
        directions = jnp.roll(directions, 1, axis=0)
    return jnp.mean(jax.vmap(lambda direction, x, y: slice_along(direction, x, y, distance))(directions, x, y))


def msmmd2(
    key: Array,
    x: Array,
    y: Array,
    kernel: Kernel | None = None,
    estimator: Estimator = "u",
    search: DirectionSearch = _DEFAULT_SEARCH,
) -> Array:
    """Squared max-sliced MMD: the largest :func:`sobolev.metrics.mmd2` of the projections (V26).

    Args:
        key: for the search.
        x: ``[N, D]``.
        y: ``[M, D]``; N and M may differ.
        kernel: on the line; the multiquadric with h = 100 by default.
        estimator: ``"u"`` (unbiased for each slice) or ``"v"``.
        search: see :class:`sobolev.metrics.DirectionSearch`.

    Returns:
        A scalar in the kernel's units, no root taken, with a finite gradient everywhere.

    Raises:
        ValueError: as ``mmd2``.

    See Also:
        :class:`MSMMD`, the same as a metric; :func:`sobolev.metrics.sliced_mmd2` for the mean over directions.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sobolev.metrics import Energy
        >>> x, y = jnp.zeros((2, 2)), jnp.array([[3.0, 4.0], [3.0, 4.0]])
        >>> metric = jax.jit(msmmd2, static_argnames="kernel")
        >>> round(float(metric(jax.random.key(0), x, y, kernel=Energy())), 3)  # 2 |x - y| along the shift
        10.0
    """
    return max_sliced(key, x, y, mmd2_of(kernel, estimator), search)


def max_sliced_wasserstein(
    key: Array, x: Array, y: Array, p: float = 1.0, search: DirectionSearch = _DEFAULT_SEARCH
) -> Array:
    """Max-sliced ``W_p^p``: the largest ``W_p^p`` of the projections, no root taken (Deshpande et al., CVPR 2019).

    Args:
        key: for the search.
        x: ``[N, D]``.
        y: ``[M, D]``; N and M may differ.
        p: order, at least 1.
        search: see :class:`sobolev.metrics.DirectionSearch`.

    Returns:
        A scalar in units of x to the power p.

    Raises:
        ValueError: wrong shapes, or ``p < 1``.

    See Also:
        :class:`MaxSlicedWasserstein`, the same as a metric; :func:`sobolev.metrics.sliced_wasserstein` for the mean
        over directions.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x, y = jnp.zeros((3, 2)), jnp.full((2, 2), 2.0**-0.5)
        >>> round(float(jax.jit(max_sliced_wasserstein)(jax.random.key(0), x, y)), 3)
        1.0
    """
    return max_sliced(key, x, y, wasserstein_of(p), search)


class _MaxSliced(Metric):
    """The max-sliced metric of a distance on the line; over a batch of states, :func:`mean_max_sliced`."""

    search: DirectionSearch
    cross_fit: bool

    @abstractmethod
    def _distance(self) -> Distance:
        """The base distance with its parameters bound."""

    def direction(self, key: Array, x: Array, y: Array) -> Array:
        """The unit vector ``[D]`` along which the search finds ``x[N, D]`` and ``y[M, D]`` farthest apart."""
        return self.search(key, x, y, self._distance())

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        del levels
        return max_sliced(key, x, y, self._distance(), self.search)

    def over_states(self, keys: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """:func:`mean_max_sliced` over B states.

        Args:
            keys: ``[B]``.
            x: ``[B, N, D]``.
            y: ``[B, M, D]``.
            levels: ignored.

        Returns:
            A scalar in the units of the metric.

        Raises:
            ValueError: as the metric itself.
        """
        del levels
        return mean_max_sliced(keys, x, y, self._distance(), self.search, self.cross_fit)


@registry.register("msmmd")
@dataclass(frozen=True)
class MSMMD(_MaxSliced):
    """:func:`msmmd2` of return and gradients, as a training loss (V26).

    Over a batch of states it is :func:`mean_max_sliced`, which says what ``cross_fit`` does.

    Args:
        kernel: as for the function.
        estimator: as for the function.
        search: finds the direction of each state.
        cross_fit: score each state of a batch along another's direction, against the bias of the supremum.

    Raises:
        ValueError: an unknown estimator.

    See Also:
        :func:`msmmd2` for what it computes; :class:`sobolev.metrics.MMD`, which needs no directions.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sobolev.metrics import Energy
        >>> metric = MSMMD(kernel=Energy(), search=DirectionSearch(num_directions=16))
        >>> x, y = jnp.zeros((2, 2)), jnp.array([[3.0, 4.0], [3.0, 4.0]])
        >>> round(float(jax.jit(metric)(jax.random.key(0), x, y)), 3), metric.contraction_rate(0.81)
        (10.0, 0.9)
    """

    kernel: Kernel = field(default_factory=Multiquadric)
    estimator: Estimator = "u"
    search: DirectionSearch = _DEFAULT_SEARCH
    cross_fit: bool = True

    def __post_init__(self) -> None:
        check_kernel(self.kernel)
        check_estimator(self.estimator)

    def _distance(self) -> Distance:
        return mmd2_of(self.kernel, self.estimator)

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        """The rate of MSMMD (not of its square) under the complete operator.

        It is that of the supremum, hence not of ``over_states`` with ``cross_fit``.

        Args:
            gamma_kappa: see :mod:`sobolev.contraction`.

        Returns:
            The kernel's ``scaling(gamma_kappa)`` where gamma kappa < 1, else None.
        """
        return self.kernel.scaling(gamma_kappa) if gamma_kappa < 1 else None


@registry.register("max_sliced_wasserstein")
@dataclass(frozen=True)
class MaxSlicedWasserstein(_MaxSliced):
    """:func:`max_sliced_wasserstein` of return and gradients, as a training loss.

    Over a batch of states it is :func:`mean_max_sliced`, which says what ``cross_fit`` does.

    Args:
        p: as for the function.
        search: finds the direction of each state.
        cross_fit: score each state of a batch along another's direction, against the bias of the supremum.

    Raises:
        ValueError: ``p < 1``.

    See Also:
        :func:`max_sliced_wasserstein` for what it computes; :class:`MSMMD`, whose slices are unbiased.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> metric = MaxSlicedWasserstein(p=2.0)
        >>> x, y = jnp.zeros((3, 2)), jnp.full((2, 2), 2.0**0.5)
        >>> round(float(jax.jit(metric)(jax.random.key(0), x, y)), 3), metric.contraction_rate(0.81)  # 2²
        (4.0, 0.81)
    """

    p: float = 1.0
    search: DirectionSearch = _DEFAULT_SEARCH
    cross_fit: bool = True

    def __post_init__(self) -> None:
        check_order(self.p)

    def _distance(self) -> Distance:
        return wasserstein_of(self.p)

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        """The rate of max-sliced W_p (not of its power) under the complete operator.

        It is that of the supremum, hence not of ``over_states`` with ``cross_fit``.

        Args:
            gamma_kappa: see :mod:`sobolev.contraction`.

        Returns:
            ``gamma_kappa`` where it is below 1, else None.
        """
        return gamma_kappa if gamma_kappa < 1 else None
