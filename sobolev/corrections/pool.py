"""No correction: the samples of all critics in one set."""

from dataclasses import dataclass

from sobolev.corrections.base import Correction, registry
from sobolev.types import Array


@registry.register("none")
@dataclass(frozen=True)
class Pool(Correction):
    """All critics' samples: ``[K, N, D] -> [K N, D]``.

    Example:
        >>> import jax.numpy as jnp
        >>> Pool()(jnp.zeros((2, 3, 5))).shape
        (6, 5)
    """

    def __call__(self, samples: Array) -> Array:
        return samples.reshape(-1, samples.shape[-1])
