"""The registry of critics, and what several of them share."""

from collections.abc import Callable

import jax

from sobolev.registry import Registry
from sobolev.types import Critic, Key, Noise

registry: Registry[Callable[..., Critic]] = Registry("critic")


def draw_noises(critic: Critic, key: Key, num: int) -> Noise:
    """The noises ``[num]`` of a set of a critic's samples: its own ``noises``, or independent draws of ``noise``."""
    if critic.noises is not None:
        return critic.noises(key, num)
    return jax.vmap(critic.noise)(jax.random.split(key, num))
