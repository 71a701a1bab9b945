"""The registry of environments; an entry is a factory of a ``brax.envs.base.Env``.

What the library asks of an environment:

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

from brax.envs.base import Env

from sobolev.registry import Registry

registry: Registry[Callable[..., Env]] = Registry("environment")
