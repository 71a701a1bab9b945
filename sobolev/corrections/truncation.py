"""Truncation: the samples of highest return are dropped (TQC; Kuznetsov et al., ICML 2020; V26).

"truncate" drops from the set of all critics' samples, "truncate_each" from each critic's samples.
"""

from dataclasses import dataclass

import jax

from sobolev.bellman import truncate
from sobolev.checks import check_at_least
from sobolev.corrections.base import Correction, registry
from sobolev.types import Array


@registry.register("truncate")
@dataclass(frozen=True)
class Truncate(Correction):
    """All critics' samples in one set, without the ``drop`` highest returns: ``[K, N, D] -> [K N - drop, D]``.

    Args:
        drop: how many, less than K N (TQC: 2 per critic of 25).

    Raises:
        ValueError: ``drop`` is negative, or leaves no sample.

    See Also:
        :func:`sobolev.bellman.truncate`, the same for one set of samples.

    Example:
        >>> import jax.numpy as jnp
        >>> Truncate(drop=2)(jnp.array([[[5.0], [0.0]], [[2.0], [3.0]]])).ravel().tolist()
        [0.0, 2.0]
    """

    drop: int = 1

    def __post_init__(self) -> None:
        check_at_least(0, drop=self.drop)

    def __call__(self, samples: Array) -> Array:
        return truncate(samples.reshape(-1, samples.shape[-1]), self.drop)


@registry.register("truncate_each")
@dataclass(frozen=True)
class TruncateEach(Correction):
    """Each critic's samples without its ``drop`` highest returns: ``[K, N, D] -> [K (N - drop), D]``.

    Args:
        drop: how many of each critic's, less than N.

    Raises:
        ValueError: ``drop`` is negative, or leaves no sample.

    Example:
        >>> import jax.numpy as jnp
        >>> TruncateEach(drop=1)(jnp.array([[[5.0], [0.0]], [[2.0], [3.0]]])).ravel().tolist()
        [0.0, 2.0]
    """

    drop: int = 1

    def __post_init__(self) -> None:
        check_at_least(0, drop=self.drop)

    def __call__(self, samples: Array) -> Array:
        return jax.vmap(lambda one: truncate(one, self.drop))(samples).reshape(-1, samples.shape[-1])
