"""Horizons: how many transitions a target looks ahead before it takes the critic's value, and where they come from.

A horizon is a frozen dataclass with the probability of each number of transitions. Each target sample draws its own
number, so that the target's distribution is the mixture of those of one, two, … backups; an average of their returns
would have another distribution.

Example:
    >>> from sobolev import horizons
    >>> [round(weight, 3) for weight in horizons.registry.make("geometric", steps=4, decay=0.5).weights]
    [0.5, 0.25, 0.125, 0.125]
"""

from sobolev.horizons.base import Horizon, Source, registry
from sobolev.horizons.fixed import Fixed, OneStep
from sobolev.horizons.geometric import Geometric

__all__ = ["Fixed", "Geometric", "Horizon", "OneStep", "Source", "registry"]
