"""A correction against overestimation: truncation of a share of the samples, however many there are."""

from dataclasses import dataclass

from sobolev import bellman, corrections
from sobolev.types import Array


@corrections.registry.register("truncate_share")
@dataclass(frozen=True)
class TruncateShare(corrections.Correction):
    """All critics' samples in one set, without the ``share`` of them that has the highest returns."""

    share: float = 0.1

    def __call__(self, samples: Array) -> Array:
        """``[M, D]`` from the samples ``[K, N, D]`` of K critics, the return in column 0."""
        pooled = samples.reshape(-1, samples.shape[-1])
        return bellman.truncate(pooled, drop=round(self.share * len(pooled)))
