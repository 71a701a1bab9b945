"""Critics: distributions of the return, as functions of state, action and noise.

An entry of the registry is a factory ``(spec, **hyperparameters) -> Critic`` (see :mod:`sobolev.types`).

Example:
    >>> import jax, jax.numpy as jnp
    >>> from sobolev import critics, joint
    >>> from sobolev.types import Spec
    >>> critic = critics.registry.make("generative", Spec(state_size=3, action_size=2), hidden_sizes=(8, 8))
    >>> params, noises = critic.init(jax.random.key(0)), critics.draw_noises(critic, jax.random.key(1), num=5)
    >>> joint.joint_samples(critic.value, params, jnp.zeros(3), jnp.zeros(2), noises).shape  # [N, 1 + A]
    (5, 3)
"""

from sobolev.critics.base import draw_noises, registry
from sobolev.critics.deterministic import make_deterministic
from sobolev.critics.generative import make_generative
from sobolev.critics.quantile import make_fixed_quantile, make_quantile

__all__ = ["draw_noises", "make_deterministic", "make_fixed_quantile", "make_generative", "make_quantile", "registry"]
