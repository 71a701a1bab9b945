"""The registry of critics."""

from collections.abc import Callable

from sobolev.registry import Registry
from sobolev.types import Critic

registry: Registry[Callable[..., Critic]] = Registry("critic")
