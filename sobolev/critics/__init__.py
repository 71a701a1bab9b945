"""Critics: laws of the return, as functions of state, action and noise.

An entry of the registry is a factory ``(spec, **hyperparameters) -> Critic`` (see :mod:`sobolev.types`).
"""

from sobolev.critics.base import draw_noises, registry
from sobolev.critics.deterministic import make_deterministic
from sobolev.critics.generative import make_generative
from sobolev.critics.quantile import make_fixed_quantile, make_quantile

__all__ = ["draw_noises", "make_deterministic", "make_fixed_quantile", "make_generative", "make_quantile", "registry"]
