"""The contract of a horizon, and the registry of horizons.

The first transition of a target is the recorded state and action under the noise of ``agent.noise_source``. The later
ones, s_{t+1} = g(s_t, a_t, n_t) for t >= 1, come from one of three sources:

    source         a_t               n_t
    "imagination"  pi(s_t)           drawn from the world model
    "inference"    pi(s_t)           that explains the recorded transition t: its luck under today's policy
    "replay"       pi(s_t) + e_t     the same; the values of s_t and of a_t are the recorded ones, e_t = a_t - pi(s_t)
                                     is held fixed, and the gradient follows the policy
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from sobolev.checks import check_positive
from sobolev.registry import Registry, unknown_name
from sobolev.types import Array, Key

Source = Literal["imagination", "inference", "replay"]


class Horizon(ABC):
    """The contract of every entry of the registry: a frozen dataclass that owns its numbers.

    Attributes:
        steps: H, the largest number of transitions.
        source: where the transitions after the first come from, see :mod:`sobolev.horizons.base`.
        cut: c, of source "replay": a transition with the offset e is looked at with probability exp(-|e|² / 2 c²) at
            the most, or the target ends before it; None for 1.
    """

    steps: int
    source: Source = "imagination"
    cut: float | None = None

    @property
    @abstractmethod
    def weights(self) -> tuple[float, ...]:
        """The probability of each number of transitions, from 1 to H; their sum is 1."""

    @property
    def recorded_steps(self) -> int:
        """Recorded transitions in a row that a target needs."""
        return 1 if self.source == "imagination" else self.steps

    def check_source(self) -> None:
        """Raises a ValueError unless ``source`` is known and ``cut`` fits it."""
        if self.source not in get_args(Source):
            raise unknown_name("source", self.source, get_args(Source))
        if self.cut is not None:
            check_positive(cut=self.cut)
            if self.source != "replay":
                raise ValueError(f"cut is for source 'replay', where actions have offsets; got source {self.source!r}")

    def trace(self, offset: Array) -> Array:
        """The probability of looking at a transition, given that one has come to it.

        Args:
            offset: ``[A]``, the recorded action less that of the policy.

        Returns:
            exp(-|offset|² / 2 c²), or 1 without a cut, ``[]``.
        """
        if self.cut is None:
            return jnp.ones((), offset.dtype)
        return jnp.exp(-0.5 * jnp.sum((offset / self.cut) ** 2))

    def draw(self, key: Key, traces: Array | float = 1.0) -> Array:
        """Which of the transitions after the first a target sample looks at.

        Args:
            key: of the draw.
            traces: ``[H - 1]``, by which the probability of going on to each is multiplied; 0 ends the target before.

        Returns:
            bool ``[H - 1]``: True, then False.

        Example:
            >>> import jax
            >>> from sobolev.horizons import Fixed
            >>> Fixed(steps=3).draw(jax.random.key(0)).tolist()
            [True, True]
        """
        beyond = np.cumsum(self.weights[:0:-1])[::-1]  # P(h > 1), …, P(h > H - 1): 1 without rounding where fixed
        return jax.random.uniform(key) < jnp.asarray(beyond) * jnp.cumprod(jnp.broadcast_to(traces, beyond.shape))


registry: Registry[Callable[..., Horizon]] = Registry("horizon")
