"""Actors: policies.

An entry of the registry is a factory ``(spec, **hyperparameters) -> Actor`` (see :mod:`sobolev.types`).
"""

from sobolev.actors.base import registry
from sobolev.actors.deterministic import make_deterministic
from sobolev.actors.squashed_gaussian import make_squashed_gaussian

__all__ = ["make_deterministic", "make_squashed_gaussian", "registry"]
