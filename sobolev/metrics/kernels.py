"""Translation-invariant kernels on R^D.

A kernel is called on one pair of points, ``kernel(x[D], y[D]) -> []``; :func:`gram` lifts it to sets of points. Every
kernel has, besides its value, a *gap*

    gap(x, y) = (k(x, x) + k(y, y)) / 2 - k(x, y)  >=  0,

half the squared distance between the feature maps of x and y. The maximum mean discrepancy is a difference of mean
gaps, and a gap that is computed directly keeps the digits that ``k(x, x) - k(x, y)`` loses: in float32 the multiquadric
of two points at distance 1e-6 equals that of two equal points.

The *scaling* of a kernel is the function l with ``MMD(cX, cY) <= l(c) MMD(X, Y)`` for 0 <= c <= 1 and all distributions
with finite mean. ``scaling(c)`` is l(c), or None where the kernel has no such bound below 1. A max-sliced MMD contracts
at the rate l(gamma kappa), see :mod:`sobolev.metrics.max_sliced`.

Sources: V24 A.7 and A.8 (the kernels and their numbers); Székely and Rizzo, "Energy statistics" (2013), for the energy
kernel. docs/metrics.md says which kernel to take.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import jax
import jax.numpy as jnp

from sobolev.checks import check_positive
from sobolev.numerics import safe_power, safe_sqrt, squared_distance, squared_distances
from sobolev.registry import Registry
from sobolev.types import Array


class Kernel(ABC):
    """The contract of every entry of the registry: a frozen dataclass that owns its numbers.

    A kernel defines ``__call__``; the rest has defaults. ``characteristic`` says whether MMD = 0 only between equal
    distributions (with finite mean).

    Example:
        >>> from dataclasses import dataclass
        >>> from sobolev.metrics import mmd2
        >>> @dataclass(frozen=True)
        ... class Linear(Kernel):
        ...     def __call__(self, x, y):
        ...         return jnp.dot(x, y)
        >>> x, y = jnp.array([[1.0], [2.0]]), jnp.array([[4.0], [7.0]])
        >>> float(Linear().gap(x[0], y[0])), float(mmd2(x, y, Linear(), "v"))  # (1 - 4)² / 2, (1.5 - 5.5)²
        (4.5, 16.0)
    """

    characteristic: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, x: Array, y: Array) -> Array:
        """The kernel's value.

        Args:
            x: ``[D]``.
            y: ``[D]``.

        Returns:
            ``k(x, y)``, a scalar.
        """

    def gap(self, x: Array, y: Array) -> Array:
        """``(k(x, x) + k(y, y)) / 2 - k(x, y)``.

        By default computed by this formula. A kernel that can avoid the cancellation overrides it, and so must one
        whose value has no finite gradient at ``x = y``.

        Args:
            x: ``[D]``.
            y: ``[D]``.

        Returns:
            A scalar, 0 at ``x = y``, with a finite gradient there.
        """
        return 0.5 * (self(x, x) + self(y, y)) - self(x, y)

    def gaps(self, x: Array, y: Array) -> Array:
        """The gaps of all pairs of two sets of points; by default ``gram(self.gap, x, y)``.

        Args:
            x: ``[N, D]``.
            y: ``[M, D]``.

        Returns:
            ``gap(x_i, y_j)``, ``[N, M]``.
        """
        return gram(self.gap, x, y)

    def scaling(self, c: float) -> float | None:
        """``l(c)`` with ``MMD(cX, cY) <= l(c) MMD(X, Y)``; by default None.

        Args:
            c: the factor of both samples, not negative.

        Returns:
            A number, or None where the kernel has no such bound at this c.
        """
        del c
        return None

    @property
    def gap_is_distance(self) -> bool:
        """Whether ``gap(x, y) = |x - y|``: MMD² on the line is then computed by sorting. By default False."""
        return False


class RadialKernel(Kernel):
    """A kernel of the distance alone, given as a function of its square, element by element.

    Its gaps between two sets of points come from :func:`sobolev.numerics.squared_distances`, which is much faster than
    pair by pair.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Cauchy(RadialKernel):
        ...     def at(self, squared_distance):
        ...         return 1.0 / (1.0 + squared_distance)
        ...     def gap_at(self, squared_distance):  # 1 - at, without cancellation
        ...         return squared_distance / (1.0 + squared_distance)
        >>> kernel, x, y = Cauchy(), jnp.array([[0.0], [1.0]]), jnp.array([[0.0]])
        >>> float(kernel(x[1], y[0])), kernel.gaps(x, y).tolist()
        (0.5, [[0.0], [0.5]])
    """

    @abstractmethod
    def at(self, squared_distance: Array) -> Array:
        """``k(x, y)``.

        Args:
            squared_distance: ``|x - y|²``, of any shape.

        Returns:
            An array of that shape.
        """

    @abstractmethod
    def gap_at(self, squared_distance: Array) -> Array:
        """``k(x, x) - k(x, y)``, computed without cancellation.

        Args:
            squared_distance: ``|x - y|²``, of any shape.

        Returns:
            An array of that shape, 0 with a finite gradient where the distance is 0.
        """

    def __call__(self, x: Array, y: Array) -> Array:
        return self.at(squared_distance(x, y))

    def gap(self, x: Array, y: Array) -> Array:
        return self.gap_at(squared_distance(x, y))

    def gaps(self, x: Array, y: Array) -> Array:
        return self.gap_at(squared_distances(x, y))


registry: Registry[Callable[..., Kernel]] = Registry("kernel")


def check_kernel(kernel: object) -> None:
    """Checks that a kernel is one, and not its name or its class.

    Args:
        kernel: should be a :class:`Kernel`.

    Raises:
        TypeError: unless it is.

    Example:
        >>> check_kernel("energy")
        Traceback (most recent call last):
            ...
        TypeError: kernel must be an object such as Energy(), got 'energy': kernels.registry.make('energy') makes one
    """
    if isinstance(kernel, Kernel):
        return
    remedy = ""
    if isinstance(kernel, str) and kernel in registry.names():
        remedy = f": kernels.registry.make({kernel!r}) makes one"
    elif isinstance(kernel, type) and issubclass(kernel, Kernel):
        remedy = f", a class: {kernel.__name__}() makes one"
    raise TypeError(f"kernel must be an object such as Energy(), got {kernel!r}{remedy}")


def gram(kernel: Callable[[Array, Array], Array], x: Array, y: Array) -> Array:
    """The matrix of a kernel's values, or of its gaps, between two sets of points.

    Args:
        kernel: ``(x[D], y[D]) -> []``.
        x: ``[N, D]``.
        y: ``[M, D]``.

    Returns:
        ``kernel(x_i, y_j)``, ``[N, M]``.

    Example:
        >>> import jax.numpy as jnp
        >>> gram(Energy(), jnp.array([[0.0], [3.0]]), jnp.array([[1.0]])).tolist()
        [[-1.0], [-2.0]]
        >>> gram(Energy().gap, jnp.array([[0.0], [3.0]]), jnp.array([[1.0]])).tolist()
        [[1.0], [2.0]]
    """
    return jax.vmap(lambda x_i: jax.vmap(lambda y_j: kernel(x_i, y_j))(y))(x)


def _one_minus_exp(x: Array) -> Array:
    return jnp.where(x > -0.5, -jnp.expm1(x), 1.0 - jnp.exp(x))


def _sum(terms: Iterable[Array]) -> Array:
    return reduce(jnp.add, terms)


@registry.register("multiquadric")
@dataclass(frozen=True)
class Multiquadric(RadialKernel):
    """``k(x, y) = -sqrt(1 + h² |x - y|²)``, the kernel of the papers (V24 A.8 has h = 100).

    Conditionally positive definite, and characteristic among distributions with finite mean. Where h |x - y| is much
    larger than 1 it is h times the energy kernel. ``scaling(c) = sqrt(c)`` for c <= 1.

    Args:
        h: inverse of the distance below which the kernel is smooth, positive.

    Raises:
        ValueError: ``h <= 0``.

    Example:
        >>> import jax.numpy as jnp
        >>> kernel = Multiquadric(h=3.0**0.5)
        >>> round(float(kernel.gap(jnp.array([0.0]), jnp.array([1.0]))), 6)  # sqrt(1 + 3) - 1
        1.0
        >>> kernel.scaling(0.25), kernel.scaling(2.0)
        (0.5, None)
    """

    h: float = 100.0
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(h=self.h)

    # In 1/h, so that h² |x - y|² does not overflow where its root is far from it.

    def at(self, squared_distance: Array) -> Array:
        return -self.h * jnp.sqrt(1.0 / self.h**2 + squared_distance)

    def gap_at(self, squared_distance: Array) -> Array:
        return self.h * squared_distance / (1.0 / self.h + jnp.sqrt(1.0 / self.h**2 + squared_distance))

    def scaling(self, c: float) -> float | None:
        return math.sqrt(c) if c <= 1 else None


@registry.register("energy")
@dataclass(frozen=True)
class Energy(RadialKernel):
    """``k(x, y) = -|x - y|^beta``: its MMD² is Székely's energy distance.

    Homogeneous, without a bandwidth: ``MMD(cX, cY) = c^(beta/2) MMD(X, Y)`` for every c >= 0. Characteristic among
    distributions with a finite moment of order beta. The default is the one whose MMD² on the line is found by sorting.

    Args:
        beta: strictly between 0 and 2.

    Raises:
        ValueError: beta out of its range.

    Example:
        >>> import jax.numpy as jnp
        >>> float(Energy().gap(jnp.array([0.0, 0.0]), jnp.array([3.0, 4.0])))
        5.0
        >>> Energy().scaling(0.25), Energy().gap_is_distance, Energy(beta=1.5).gap_is_distance
        (0.5, True, False)
    """

    beta: float = 1.0
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.beta < 2:
            raise ValueError(f"beta must lie strictly between 0 and 2, got {self.beta!r}: at 2 only means are compared")

    def at(self, squared_distance: Array) -> Array:
        return -self.gap_at(squared_distance)

    def gap_at(self, squared_distance: Array) -> Array:
        return safe_sqrt(squared_distance) if self.beta == 1 else safe_power(squared_distance, self.beta / 2)

    def scaling(self, c: float) -> float | None:
        return c ** (self.beta / 2)

    @property
    def gap_is_distance(self) -> bool:
        return self.beta == 1.0


@registry.register("rbf")
@dataclass(frozen=True)
class RBF(RadialKernel):
    """``k(x, y) = sum_b exp(-|x - y|² / (2 b²))``, a mixture of Gaussians.

    Characteristic, but without scaling: a Bellman backup shrinks distances, and the bandwidths are fixed.

    Args:
        bandwidths: the b, in units of x, positive; by default the seven of V24 A.7.

    Raises:
        ValueError: no bandwidth, or one that is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(RBF(bandwidths=(2.0,))(jnp.array([0.0]), jnp.array([2.0]))), 4)  # exp(-1/2)
        0.6065
    """

    bandwidths: tuple[float, ...] = (0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 100.0)
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.bandwidths:
            raise ValueError("bandwidths must hold at least one number, got ()")
        for bandwidth in self.bandwidths:
            check_positive(bandwidths=bandwidth)

    def at(self, squared_distance: Array) -> Array:
        return _sum(jnp.exp(-squared_distance / (2.0 * bandwidth**2)) for bandwidth in self.bandwidths)

    def gap_at(self, squared_distance: Array) -> Array:
        return _sum(_one_minus_exp(-squared_distance / (2.0 * bandwidth**2)) for bandwidth in self.bandwidths)


@registry.register("rational_quadratic")
@dataclass(frozen=True)
class RationalQuadratic(RadialKernel):
    """``k(x, y) = (1 + |x - y|² / (2 alpha))^(-alpha)``, a mixture of Gaussians over all bandwidths.

    Characteristic, without scaling. V24 A.7 evaluates with alpha = 1.

    Args:
        alpha: how fast the kernel falls off at large distances, positive; RBF is the limit of a large alpha.

    Raises:
        ValueError: ``alpha <= 0``.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(RationalQuadratic()(jnp.array([0.0]), jnp.array([2.0]))), 4)  # 1 / (1 + 4 / 2)
        0.3333
    """

    alpha: float = 1.0
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(alpha=self.alpha)

    def _logarithm(self, squared_distance: Array) -> Array:
        return -self.alpha * jnp.log1p(squared_distance / (2.0 * self.alpha))

    def at(self, squared_distance: Array) -> Array:
        return jnp.exp(self._logarithm(squared_distance))

    def gap_at(self, squared_distance: Array) -> Array:
        return _one_minus_exp(self._logarithm(squared_distance))


@registry.register("laplace")
@dataclass(frozen=True)
class Laplace(RadialKernel):
    """``k(x, y) = exp(-|x - y| / scale)`` with the Euclidean norm. Characteristic, without scaling.

    Args:
        scale: the distance at which the kernel has fallen to 1/e, in units of x, positive.

    Raises:
        ValueError: ``scale <= 0``.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(Laplace(scale=5.0)(jnp.array([0.0, 0.0]), jnp.array([3.0, 4.0]))), 4)  # exp(-1)
        0.3679
    """

    scale: float = 1.0
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(scale=self.scale)

    def at(self, squared_distance: Array) -> Array:
        return jnp.exp(-safe_sqrt(squared_distance) / self.scale)

    def gap_at(self, squared_distance: Array) -> Array:
        return _one_minus_exp(-safe_sqrt(squared_distance) / self.scale)
