"""The registries of environments and of noises.

An environment is a factory of a ``brax.envs.base.Env``; a noise is a factory of a wrapper ``(env, ...) -> env``.
"""

from collections.abc import Callable
from typing import Any

from brax.envs.base import Env

from sobolev.registry import Registry

registry: Registry[Callable[..., Env]] = Registry("environment")
noises: Registry[Callable[..., Any]] = Registry("noise")
