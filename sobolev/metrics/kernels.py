"""Translation-invariant kernels on R^D.

A kernel is called on one pair of points, ``kernel(x[D], y[D]) -> []``; :func:`gram` lifts it to sets of points. Beside
its value every kernel knows its *gap*

    gap(x, y) = (k(x, x) + k(y, y)) / 2 - k(x, y)  >=  0,

the half squared distance of the feature maps of x and y. The maximum mean discrepancy is a difference of mean gaps, and
a gap that is computed directly keeps the digits that ``k(x, x) - k(x, y)`` loses: in float32 the multiquadric of two
points at distance 1e-6 equals that of two equal points.

``scaling(c)`` is the law l(c) with ``MMD(cX, cY) <= l(c) MMD(X, Y)`` for 0 <= c <= 1 and all laws with finite mean, or
None where there is none below 1; it decides at what rate a sliced metric contracts.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from sobolev.numerics import safe_power, safe_sqrt, squared_distance
from sobolev.registry import Registry
from sobolev.types import Array


class Kernel(ABC):
    """The contract of every entry of the registry: a frozen dataclass that owns its numbers.

    A kernel needs its value alone; the rest has defaults.
    """

    characteristic: ClassVar[bool] = False
    """Whether MMD = 0 only between equal distributions (with finite mean)."""

    @abstractmethod
    def __call__(self, x: Array, y: Array) -> Array:
        """``k(x, y)`` for ``x[D]``, ``y[D]``; a scalar."""

    def gap(self, x: Array, y: Array) -> Array:
        """``(k(x, x) + k(y, y)) / 2 - k(x, y)``, a scalar with a finite gradient at ``x = y``.

        By default it is what the formula says; a kernel that can compute it without cancellation does so.
        """
        return 0.5 * (self(x, x) + self(y, y)) - self(x, y)

    def scaling(self, c: float) -> float | None:
        """``l(c)`` with ``MMD(cX, cY) <= l(c) MMD(X, Y)``, or None where the kernel has none at this c."""
        del c
        return None

    @property
    def gap_is_distance(self) -> bool:
        """Whether ``gap(x, y) = |x - y|``: on the line its MMD² is then computed by sorting."""
        return False


registry: Registry[Callable[..., Kernel]] = Registry("kernel")


def gram(kernel: Callable[[Array, Array], Array], x: Array, y: Array) -> Array:
    """``kernel(x_i, y_j)`` for ``x[N, D]`` and ``y[M, D]``, as ``[N, M]``.

    Example:
        >>> import jax.numpy as jnp
        >>> gram(Energy(), jnp.array([[0.0], [3.0]]), jnp.array([[1.0]])).tolist()
        [[-1.0], [-2.0]]
    """
    return jax.vmap(lambda x_i: jax.vmap(lambda y_j: kernel(x_i, y_j))(y))(x)


def _one_minus_exp(x: Array) -> Array:
    return jnp.where(x > -0.5, -jnp.expm1(x), 1.0 - jnp.exp(x))


def _positive(**parameters: float) -> None:
    for name, value in parameters.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value!r}")


@registry.register("multiquadric")
@dataclass(frozen=True)
class Multiquadric(Kernel):
    """``k(x, y) = -sqrt(1 + h² |x - y|²)``, the kernel of the papers (h = 100; V24 A.8).

    Conditionally positive definite and characteristic on laws with finite mean. ``scaling(c) = sqrt(c)`` for c <= 1;
    where h |x - y| is much larger than 1 it is h times the energy kernel.

    Example:
        >>> import jax.numpy as jnp
        >>> float(Multiquadric(h=2.0).gap(jnp.array([0.0]), jnp.array([0.0])))
        0.0
    """

    h: float = 100.0
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive(h=self.h)

    def __call__(self, x: Array, y: Array) -> Array:
        return -jnp.sqrt(1.0 + self.h**2 * squared_distance(x, y))

    def gap(self, x: Array, y: Array) -> Array:
        scaled = self.h**2 * squared_distance(x, y)
        return scaled / (1.0 + jnp.sqrt(1.0 + scaled))

    def scaling(self, c: float) -> float | None:
        return math.sqrt(c) if c <= 1 else None


@registry.register("energy")
@dataclass(frozen=True)
class Energy(Kernel):
    """``k(x, y) = -|x - y|^beta`` with 0 < beta < 2: its MMD² is Székely's energy distance.

    Homogeneous and free of a bandwidth: ``MMD(cX, cY) = c^(beta/2) MMD(X, Y)`` for every c >= 0. Characteristic on laws
    with a finite moment of order beta.
    """

    beta: float = 1.0
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.beta < 2:
            raise ValueError(f"beta must lie strictly between 0 and 2, got {self.beta!r}: at 2 only means are compared")

    def __call__(self, x: Array, y: Array) -> Array:
        return -self.gap(x, y)

    def gap(self, x: Array, y: Array) -> Array:
        return safe_power(squared_distance(x, y), self.beta / 2)

    def scaling(self, c: float) -> float | None:
        return c ** (self.beta / 2)

    @property
    def gap_is_distance(self) -> bool:
        return self.beta == 1.0


@registry.register("rbf")
@dataclass(frozen=True)
class RBF(Kernel):
    """``k(x, y) = sum_b exp(-|x - y|² / (2 b²))``, a mixture of Gaussians over bandwidths b (V24 A.7 has these seven).

    Characteristic, but no scaling law: a Bellman backup shrinks distances against fixed bandwidths.
    """

    bandwidths: tuple[float, ...] = (0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 100.0)
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.bandwidths:
            raise ValueError("bandwidths must hold at least one number, got ()")
        for bandwidth in self.bandwidths:
            _positive(bandwidths=bandwidth)

    def _exponents(self, x: Array, y: Array) -> Array:
        bandwidths = jnp.asarray(self.bandwidths, dtype=jnp.result_type(x))
        return -squared_distance(x, y) / (2.0 * bandwidths**2)

    def __call__(self, x: Array, y: Array) -> Array:
        return jnp.sum(jnp.exp(self._exponents(x, y)))

    def gap(self, x: Array, y: Array) -> Array:
        return jnp.sum(_one_minus_exp(self._exponents(x, y)))


@registry.register("rational_quadratic")
@dataclass(frozen=True)
class RationalQuadratic(Kernel):
    """``k(x, y) = (1 + |x - y|² / (2 alpha))^(-alpha)`` (V24 A.7 evaluates with alpha = 1). Characteristic."""

    alpha: float = 1.0
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive(alpha=self.alpha)

    def _logarithm(self, x: Array, y: Array) -> Array:
        return -self.alpha * jnp.log1p(squared_distance(x, y) / (2.0 * self.alpha))

    def __call__(self, x: Array, y: Array) -> Array:
        return jnp.exp(self._logarithm(x, y))

    def gap(self, x: Array, y: Array) -> Array:
        return _one_minus_exp(self._logarithm(x, y))


@registry.register("laplace")
@dataclass(frozen=True)
class Laplace(Kernel):
    """``k(x, y) = exp(-|x - y| / scale)`` with the Euclidean norm. Characteristic."""

    scale: float = 1.0
    characteristic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _positive(scale=self.scale)

    def _exponent(self, x: Array, y: Array) -> Array:
        return -safe_sqrt(squared_distance(x, y)) / self.scale

    def __call__(self, x: Array, y: Array) -> Array:
        return jnp.exp(self._exponent(x, y))

    def gap(self, x: Array, y: Array) -> Array:
        return _one_minus_exp(self._exponent(x, y))
