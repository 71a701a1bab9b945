"""The registry of critics, and what several of them share."""

from collections.abc import Callable

import jax

from sobolev.registry import Registry
from sobolev.types import Critic, Key, Noise

registry: Registry[Callable[..., Critic]] = Registry("critic")


def draw_noises(critic: Critic, key: Key, num: int) -> Noise:
    """The noises of a set of samples that represents a critic's distribution.

    Args:
        critic: the critic.
        key: for draws.
        num: number of samples N.

    Returns:
        ``critic.noises(key, num)``, or independent draws of ``critic.noise`` where there is none; ``[N]``.

    Raises:
        ValueError: by ``critic.noises``, a number of samples that it cannot give.

    Example:
        >>> import jax
        >>> from sobolev import critics
        >>> from sobolev.types import Spec
        >>> critic = critics.make_fixed_quantile(Spec(state_size=3, action_size=2), num_quantiles=4)
        >>> draw_noises(critic, jax.random.key(0), num=4).tolist()
        [0.125, 0.375, 0.625, 0.875]
    """
    if critic.noises is not None:
        return critic.noises(key, num)
    return jax.vmap(critic.noise)(jax.random.split(key, num))
