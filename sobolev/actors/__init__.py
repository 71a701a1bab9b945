"""Actors: policies.

An entry of the registry is a factory ``(spec, **hyperparameters) -> Actor`` (see :mod:`sobolev.types`).
"""

from sobolev.actors.base import registry
from sobolev.actors.deterministic import make_deterministic

__all__ = ["make_deterministic", "registry"]
