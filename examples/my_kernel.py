"""A kernel: the logarithmic one, for distributions that may lack a mean."""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from sobolev import metrics
from sobolev.types import Array


@metrics.kernels.registry.register("logarithmic")
@dataclass(frozen=True)
class Logarithmic(metrics.Kernel):
    """``k(x, y) = -log(1 + |x - y|² / scale²)``."""

    scale: float = 1.0
    characteristic: ClassVar[bool] = True

    def __call__(self, x: Array, y: Array) -> Array:
        """``k(x, y)`` of two points ``[D]``, ``[]``."""
        return -self.gap(x, y)

    def gap(self, x: Array, y: Array) -> Array:
        """``(k(x, x) + k(y, y)) / 2 - k(x, y)``, without the rounding errors of this difference."""
        return jnp.log1p(jnp.sum((x - y) ** 2) / self.scale**2)
