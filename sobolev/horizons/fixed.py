"""The same number of transitions for every target sample.

    one_step   y = r + gamma Z(s', pi(s')), one Bellman backup
    fixed      y = r_0 + gamma r_1 + … + gamma^H Z(s_H, pi(s_H)), H of them

With gradient "none" and imagined transitions, "fixed" is the value expansion of Feinberg et al., "Model-based value
estimation for efficient model-free reinforcement learning" (2018); with gradients it is differentiated through all H.
"""

from dataclasses import dataclass

from sobolev.checks import check_count
from sobolev.horizons.base import Horizon, Source, registry


@registry.register("one_step")
@dataclass(frozen=True)
class OneStep(Horizon):
    """One transition, then the critic's value.

    Example:
        >>> OneStep().steps
        1
    """

    steps = 1

    @property
    def weights(self) -> tuple[float, ...]:
        """All on one transition."""
        return (1.0,)


@registry.register("fixed")
@dataclass(frozen=True)
class Fixed(Horizon):
    """So many transitions, then the critic's value.

    Args:
        steps: H.
        source: see :mod:`sobolev.horizons.base`.
        cut: of source "replay", see :class:`Horizon`; None for none.

    Raises:
        ValueError: a number out of its range, an unknown source, or a cut of another source than "replay".

    Example:
        >>> Fixed(steps=3).weights
        (0.0, 0.0, 1.0)
    """

    steps: int = 4
    source: Source = "imagination"
    cut: float | None = None

    def __post_init__(self) -> None:
        check_count(1, steps=self.steps)
        self.check_source()

    @property
    def weights(self) -> tuple[float, ...]:
        """All on H."""
        return (*(0.0 for _ in range(self.steps - 1)), 1.0)
