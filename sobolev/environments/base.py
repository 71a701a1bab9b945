"""The registry of environments; an entry is a factory of a ``brax.envs.base.Env``."""

from collections.abc import Callable

from brax.envs.base import Env

from sobolev.registry import Registry

registry: Registry[Callable[..., Env]] = Registry("environment")
