"""A metric: the squared distance between the means of predictions and targets."""

from dataclasses import dataclass

import jax.numpy as jnp

from sobolev import metrics
from sobolev.types import Array, Key


@metrics.registry.register("mean_difference")
@dataclass(frozen=True)
class MeanDifference(metrics.Metric):
    """``weight · |mean(x) - mean(y)|²``."""

    weight: float = 1.0

    def __call__(self, key: Key, x: Array, y: Array, levels: Array | None = None) -> Array:
        """The loss at one state, ``[]``, of predictions ``x[N, D]`` against targets ``y[M, D]``."""
        return self.weight * jnp.sum((jnp.mean(x, axis=0) - jnp.mean(y, axis=0)) ** 2)
