"""Actors: policies.

An entry of the registry is a factory ``(spec, **hyperparameters) -> Actor`` (see :mod:`sobolev.types`).

Example:
    >>> import jax, jax.numpy as jnp
    >>> from sobolev import actors
    >>> from sobolev.types import Spec
    >>> actor = actors.registry.make("deterministic", Spec(state_size=3, action_size=2), hidden_sizes=(8, 8))
    >>> actor.act(actor.init(jax.random.key(0)), jax.random.key(1), jnp.zeros(3)).shape
    (2,)
"""

from sobolev.actors.base import decide, registry
from sobolev.actors.deterministic import make_deterministic
from sobolev.actors.squashed_gaussian import make_squashed_gaussian

__all__ = ["decide", "make_deterministic", "make_squashed_gaussian", "registry"]
