"""What the slope audit is about: true slopes, and the numbers by which they are taken."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sobolev.types import Array

BatchPolicy = Callable[[Any], Any]
"""The actions for many states, ``(s[E, S]) -> a[E, A]``, without randomness; see :func:`sobolev.load_policy`."""


class TrueSlopes(NamedTuple):
    """Action gradients of the environment's discounted return.

    Fields:
        s: the observed states, ``[K, S]``.
        a: the policy's actions there, moved inside by the step of the differences where they are nearer to a bound of
            [-1, 1], ``[K, A]``.
        slope: in units of return per unit of action, ``[K, A]``.
        error: its standard error over draws of the noise, ``[K, A]``; 0 where the environment draws nothing, nan where
            there is one draw.
    """

    s: Array
    a: Array
    slope: Array
    error: Array

    @property
    def relative_error(self) -> float:
        """The root of the mean square of the standard errors, in units of that of the slopes."""
        return float(np.sqrt(np.sum(np.square(self.error)) / np.sum(np.square(self.slope))))


class Plan(NamedTuple):
    """The numbers of :func:`true_slopes`."""

    gamma: float
    length: int
    num_states: int
    horizon: int
    step: float
    num_draws: int

    @property
    def times(self) -> np.ndarray:
        """The steps that are taken before each state."""
        return np.arange(self.num_states) * self.length // self.num_states
