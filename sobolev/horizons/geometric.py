"""Horizons with geometric weights, the mixture of n-step targets of TD(lambda):

    w_h = (1 - lambda) lambda^(h-1) for h < H, the rest, lambda^(H-1), on H

TD(lambda) averages the targets (Sutton, "Learning to predict by the methods of temporal differences", 1988). Of a
distribution each sample has the horizon h with probability w_h.
"""

from dataclasses import dataclass

from sobolev.checks import check_count
from sobolev.horizons.base import Horizon, Source, registry


@registry.register("geometric")
@dataclass(frozen=True)
class Geometric(Horizon):
    """From one transition up to H, each further one with probability ``decay``.

    Args:
        steps: H.
        decay: lambda, in [0, 1]: 0 for one transition, 1 for always H.
        source: see :mod:`sobolev.horizons.base`.
        cut: of source "replay", see :class:`Horizon`; None for none.

    Raises:
        ValueError: a number out of its range, an unknown source, or a cut of another source than "replay".

    Example:
        >>> Geometric(steps=3, decay=0.5).weights
        (0.5, 0.25, 0.25)
    """

    steps: int = 4
    decay: float = 0.8
    source: Source = "imagination"
    cut: float | None = None

    def __post_init__(self) -> None:
        check_count(1, steps=self.steps)
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay must be in [0, 1], got {self.decay!r}")
        self.check_source()

    @property
    def weights(self) -> tuple[float, ...]:
        """(1 - lambda) lambda^(h-1), and lambda^(H-1) at last."""
        last = self.steps - 1
        return (*((1.0 - self.decay) * self.decay**h for h in range(last)), float(self.decay) ** last)
