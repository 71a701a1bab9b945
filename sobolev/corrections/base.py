"""The contract of a correction, and the registry of corrections."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from sobolev.registry import Registry
from sobolev.types import Array


class Correction(ABC):
    """The contract of every entry of the registry: a frozen dataclass that owns its numbers."""

    @abstractmethod
    def __call__(self, samples: Array) -> Array:
        """The target samples ``[M, D]`` from ``samples[K, N, D]`` of K critics, the return in column 0."""


registry: Registry[Callable[..., Correction]] = Registry("correction")
