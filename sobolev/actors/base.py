"""The registry of actors."""

from collections.abc import Callable

from sobolev.registry import Registry
from sobolev.types import Actor

registry: Registry[Callable[..., Actor]] = Registry("actor")
