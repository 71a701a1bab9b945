"""The contract of a correction, and the registry of corrections."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from sobolev.registry import Registry
from sobolev.types import Array


class Correction(ABC):
    """The contract of every entry of the registry: a frozen dataclass that owns its numbers.

    The result consists of rows of the samples. As a set it does not depend on the order of the critics, where their
    returns differ. Numbers that do not fit the samples' shape raise a ValueError.
    """

    @abstractmethod
    def __call__(self, samples: Array) -> Array:
        """The target samples at one transition.

        Args:
            samples: ``[K, N, D]``, those of K critics, the return in column 0.

        Returns:
            ``[M, D]``.
        """


registry: Registry[Callable[..., Correction]] = Registry("correction")
