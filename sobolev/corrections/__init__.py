"""Corrections against overestimation: one set of target samples from those of several target critics.

A correction is a frozen dataclass, called as ``correction(samples[K, N, D]) -> [M, D]`` for the N joint samples of each
of K target critics at one transition. It selects whole samples, so that each return keeps its gradient.

Example:
    >>> import jax.numpy as jnp
    >>> from sobolev import corrections
    >>> samples = jnp.array([[[5.0, 0.1], [0.0, 0.2]], [[2.0, 0.3], [3.0, 0.4]]])  # K = 2, N = 2, D = 2
    >>> corrections.registry.make("truncate", drop=1)(samples)[:, 0].tolist()
    [0.0, 2.0, 3.0]
"""

from sobolev.corrections.base import Correction, registry
from sobolev.corrections.minimum import DoubleMin, Min
from sobolev.corrections.pool import Pool
from sobolev.corrections.truncation import Truncate, TruncateEach

__all__ = ["Correction", "DoubleMin", "Min", "Pool", "Truncate", "TruncateEach", "registry"]
