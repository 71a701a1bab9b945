"""Evaluation: the policy without exploration, over whole episodes, from the same starts each time."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env

from sobolev.types import Array, Key, Params

Act = Callable[[Params, Key, Array], Array]


class Evaluation(NamedTuple):
    """Undiscounted return and length of each episode, ``[episodes]``."""

    returns: Array
    lengths: Array


def evaluate(env: Env, act: Act, params: Params, key: Key, episodes: int, length: int) -> Evaluation:
    """Runs ``episodes`` episodes side by side, each until it terminates or has lasted ``length`` steps.

    Args:
        env: the environment, its noise included.
        act: the policy ``(params, key, s) -> a``.
        params: its parameters.
        key: decides starts and noise; the same key gives the same episodes for the same policy.
        episodes: how many.
        length: at most this many steps each.
    """
    key_reset, key_act = jax.random.split(key)
    state = jax.vmap(env.reset)(jax.random.split(key_reset, episodes))

    def one_step(carry: tuple, key: Key) -> tuple[tuple, None]:
        state, alive, total, steps = carry
        a = jax.vmap(act, in_axes=(None, 0, 0))(params, jax.random.split(key, episodes), state.obs)
        state = jax.vmap(env.step)(state, a)
        return (state, alive * (1.0 - state.done), total + alive * state.reward, steps + alive), None

    zeros = jnp.zeros(episodes)
    carry = (state, jnp.ones(episodes), zeros, zeros)
    (_, _, returns, lengths), _ = jax.lax.scan(one_step, carry, jax.random.split(key_act, length))
    return Evaluation(returns, lengths)
