"""Critics: laws of the return, as functions of state, action and noise.

An entry of the registry is a factory ``(spec, **hyperparameters) -> Critic`` (see :mod:`sobolev.types`).
"""

from sobolev.critics.base import draw_noises, registry
from sobolev.critics.generative import make_generative

__all__ = ["draw_noises", "make_generative", "registry"]
