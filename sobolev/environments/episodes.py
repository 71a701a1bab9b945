"""Many episodes side by side, restarted as they end.

Brax's own auto-reset loses the last observation of an episode and starts the next from a cached state. Here a
transition keeps the true observation that followed, ``discount`` is 0 at a termination alone, and each episode starts
from a fresh state.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from sobolev.control_flow import update_where
from sobolev.types import Array, Key, Transition


class Episodes(NamedTuple):
    """``[E]`` running episodes: their environment states, the steps taken, and the key of the starts to come."""

    state: State
    steps: Array
    key: Key


def start(env: Env, key: Key, count: int) -> Episodes:
    """``count`` episodes, each from its own start."""
    key, key_reset = jax.random.split(key)
    return Episodes(jax.vmap(env.reset)(jax.random.split(key_reset, count)), jnp.zeros(count, jnp.int32), key)


def step(env: Env, episodes: Episodes, a: Array, length: int) -> tuple[Episodes, Transition, Array]:
    """One step of each, with actions ``a[E, A]``; those that end, by themselves or at ``length`` steps, start anew.

    Returns:
        The episodes, the transitions ``[E]``, and which of them were their episode's last, ``[E]``.
    """
    before, after = episodes.state, jax.vmap(env.step)(episodes.state, a)
    terminated = after.done > 0
    steps = episodes.steps + 1
    over = terminated | (steps >= length)
    transitions = Transition(before.obs, a, after.reward, 1.0 - terminated.astype(after.reward.dtype), after.obs)
    key, key_reset = jax.random.split(episodes.key)

    def restarted(state: State) -> State:
        del state
        return jax.vmap(env.reset)(jax.random.split(key_reset, over.shape[0]))

    # A reset costs as much as a step: it runs only when some episode is over.
    state = update_where(over, restarted, after)
    return Episodes(state, jnp.where(over, 0, steps), key), transitions, over
