"""Brax's own environments, any registered name on any backend."""

from brax import envs
from brax.envs.base import Env

from agents.environments.registry import registry
from sobolev.registry import unknown_name

BACKENDS = ("generalized", "positional", "spring", "mjx")


@registry.register("brax")
def make_brax(name: str = "reacher", backend: str = "generalized") -> Env:
    """A Brax environment, without Brax's own wrappers (see :mod:`agents.environments.episodes`).

    Args:
        name: as registered with ``brax.envs``: reacher, hopper, halfcheetah, walker2d, ant, humanoid, …
        backend: the physics, one of ``BACKENDS``.

    Raises:
        ValueError: an unknown name or backend.
    """
    # Brax keeps its names in a private table and offers no way to list them.
    names = tuple(envs._envs)
    if name not in names:
        raise unknown_name("Brax environment", name, names)
    if backend not in BACKENDS:
        raise unknown_name("Brax backend", backend, BACKENDS)
    return envs.get_environment(name, backend=backend)
