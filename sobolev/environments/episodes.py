"""Many episodes in parallel, restarted as they end.

Brax's own auto-reset drops the last observation of an episode and starts the next from a cached state. Here a
transition keeps the true observation that followed, ``discount`` is 0 at a termination alone, and each episode starts
from a new draw of the first state.

Example:
    >>> import jax, jax.numpy as jnp
    >>> from sobolev.environments import PointMass, episodes
    >>> env = PointMass()
    >>> running = episodes.start(env, jax.random.key(0), count=3)
    >>> running, transitions, last = episodes.step(env, running, jnp.zeros((3, 2)), length=1)
    >>> last.tolist(), transitions.discount.tolist()  # a time limit is no termination
    ([True, True, True], [1.0, 1.0, 1.0])
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from sobolev.control_flow import update_where
from sobolev.types import Array, Key, Transition


class Episodes(NamedTuple):
    """``[E]`` running episodes.

    Fields:
        state: their environment states.
        steps: the steps taken in each, ``[E]``.
        key: of the starts to come, one for all episodes.
    """

    state: State
    steps: Array
    key: Key


def start(env: Env, key: Key, count: int) -> Episodes:
    """Starts episodes, each from its own draw of the first state.

    Args:
        env: the environment.
        key: of all first states.
        count: number of episodes E.

    Returns:
        The episodes.
    """
    key, key_reset = jax.random.split(key)
    return Episodes(jax.vmap(env.reset)(jax.random.split(key_reset, count)), jnp.zeros(count, jnp.int32), key)


def step(
    env: Env, episodes: Episodes, a: Array, length: int, restart: Array | bool = False
) -> tuple[Episodes, Transition, Array]:
    """One step of each episode; those that terminate, reach the time limit or are told to restart.

    Args:
        env: the environment.
        episodes: the episodes.
        a: actions ``[E, A]``.
        length: the time limit, in steps.
        restart: whether an episode restarts in any case, ``[E]``; as at a time limit, it does not terminate.

    Returns:
        The episodes, the transitions ``[E]``, and which of them were their episode's last, ``[E]``.
    """
    before, after = episodes.state, jax.vmap(env.step)(episodes.state, a)
    terminated = after.done > 0
    steps = episodes.steps + 1
    over = terminated | (steps >= length) | restart
    transitions = Transition(before.obs, a, after.reward, 1.0 - terminated.astype(after.reward.dtype), after.obs)
    key, key_reset = jax.random.split(episodes.key)

    def restarted(state: State) -> State:
        del state
        return jax.vmap(env.reset)(jax.random.split(key_reset, over.shape[0]))

    # A reset costs as much as a step: it runs only where some episode is over.
    state = update_where(over, restarted, after)
    return Episodes(state, jnp.where(over, 0, steps), key), transitions, over
