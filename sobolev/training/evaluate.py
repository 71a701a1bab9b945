"""Evaluation: the policy without exploration, over whole episodes, from the same starts each time."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env

from sobolev.agent import Agent
from sobolev.agent.diagnostics import POINTS
from sobolev.environments import HostEnv
from sobolev.training import replay as replay_buffer
from sobolev.training.loop import LoopConfig, TrainingState
from sobolev.types import Array, Key, Scalars

EVALUATION_SEED = 0
"""Every run, seed and method is evaluated on the same episodes."""


class Evaluation(NamedTuple):
    """Undiscounted return and length of each episode, ``[episodes]``."""

    returns: Array
    lengths: Array


def evaluate(env: Env, policy: Callable[[Key, Array], Array], key: Key, episodes: int, length: int) -> Evaluation:
    """Runs episodes side by side, each until it terminates or has lasted ``length`` steps.

    Args:
        env: the environment, its noise included.
        policy: ``(key, observations[E, S]) -> actions[E, A]``, of all episodes at once.
        key: decides starts and noise; the same key gives the same episodes for the same policy.
        episodes: how many, E.
        length: at most this many steps each.

    Returns:
        The undiscounted return and the length of each episode.

    Raises:
        ValueError: an environment on the host.

    See Also:
        :func:`sobolev.load_policy`, for a policy from a run.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sobolev.environments import PointMass
        >>> still = lambda key, s: jnp.zeros((s.shape[0], 2))
        >>> evaluate(PointMass(), still, jax.random.key(0), episodes=3, length=4).lengths.tolist()
        [4.0, 4.0, 4.0]
    """
    if isinstance(env, HostEnv):
        raise ValueError(f"evaluate takes environments on the device, got {env.name}: sobolev.environments.host.play")
    key_reset, key_act = jax.random.split(key)
    state = jax.vmap(env.reset)(jax.random.split(key_reset, episodes))

    def one_step(carry: tuple, key: Key) -> tuple[tuple, None]:
        state, alive, total, steps = carry
        state = jax.vmap(env.step)(state, policy(key, state.obs))
        return (state, alive * (1.0 - state.done), total + alive * state.reward, steps + alive), None

    zeros = jnp.zeros(episodes)
    carry = (state, jnp.ones(episodes), zeros, zeros)
    (_, _, returns, lengths), _ = jax.lax.scan(one_step, carry, jax.random.split(key_act, length))
    return Evaluation(returns, lengths)


def diagnose(agent: Agent, config: LoopConfig, state: TrainingState) -> Scalars:
    """The agent's diagnostics at recorded transitions, see :mod:`sobolev.agent.diagnostics`."""
    key_batch, key_diagnose = (jax.random.key(EVALUATION_SEED + i) for i in (1, 2))
    batch = replay_buffer.sample(state.replay, key_batch, (POINTS,), config.window)
    return agent.diagnose(state.agent, key_diagnose, batch)
