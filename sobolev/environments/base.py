"""The registry of environments; an entry is a factory of a ``brax.envs.base.Env`` or of a :class:`HostEnv`.

The first kind is stepped on the device, the second by Python, see :mod:`sobolev.environments.host`. What the library
asks of the first:

- ``reset(key) -> State`` and ``step(state, a[A]) -> State``, with ``obs[S]``, ``reward[]`` and ``done[]``. Actions are
  in [-1, 1]. ``done`` is 1 at a termination alone (:mod:`sobolev.environments.episodes` has the time limits).
- What a step draws at random comes from keys in the state.
- It may have an attribute ``simulator``, a :class:`sobolev.types.Simulator` of its step; else that is missing or None.

Example:
    >>> from sobolev import environments
    >>> environments.registry.make("point_mass", num_locations=3).observation_size
    4
"""

from collections.abc import Callable
from typing import TypeAlias

from brax.envs.base import Env

from sobolev.environments.host import HostEnv
from sobolev.registry import Registry

Environment: TypeAlias = Env | HostEnv
"""What is trained on: stepped on the device, or on the host."""

registry: Registry[Callable[..., Environment]] = Registry("environment")
