"""Evaluation: the policy without exploration, over whole episodes, from the same starts each time."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env

from sobolev.agent import Agent
from sobolev.agent.diagnostics import POINTS
from sobolev.checks import check_count
from sobolev.environments import Environment, HostEnv
from sobolev.environments.host import play, seed_of
from sobolev.training import replay as replay_buffer
from sobolev.training.job import assess_options, full_precision
from sobolev.training.loop import LoopConfig, TrainingState
from sobolev.types import Array, Key, Params, Scalars

EVALUATION_SEED = 0
"""Every run, seed and method is evaluated on the same episodes."""

FRESH_SEED = EVALUATION_SEED + 3
"""Of episodes that no evaluation during training has seen, so that a checkpoint can be chosen by those."""


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


def make_evaluator(
    env: Environment, agent: Agent, *, episodes: int, length: int, seed: int = FRESH_SEED
) -> Callable[[Params], Evaluation]:
    """The evaluation of an agent's policy on fixed episodes, compiled once for all parameters.

    Args:
        env: on the device or on the host, its noise included.
        agent: whose ``act`` is evaluated.
        episodes: how many, E.
        length: at most this many steps each.
        seed: of the episodes' starts and noise.

    Returns:
        ``(params) -> Evaluation``, arrays of numpy ``[E]``; params are those of the actor.

    Raises:
        ValueError: fewer than one episode or step.

    Example:
        >>> from sobolev.agent import AgentConfig, make_agent
        >>> from sobolev.environments import PointMass
        >>> from sobolev.types import Spec
        >>> agent = make_agent(AgentConfig(), Spec(state_size=4, action_size=2))
        >>> evaluator = make_evaluator(PointMass(), agent, episodes=3, length=4)
        >>> evaluator(agent.init(jax.random.key(0)).params.actor).lengths.tolist()
        [4.0, 4.0, 4.0]
    """
    check_count(1, episodes=episodes)
    check_count(1, length=length)
    key, options = jax.random.key(seed), assess_options() if jax.default_backend() == "cpu" else None

    def act(params: Params, key: Key, s: Array) -> Array:
        return jax.vmap(agent.act, in_axes=(None, 0, 0))(params, jax.random.split(key, s.shape[0]), s)

    if not isinstance(env, HostEnv):
        on_device = jax.jit(
            lambda params: evaluate(env, partial(act, params), key, episodes, length), compiler_options=options
        )
        return lambda params: jax.tree.map(np.asarray, _precisely(on_device, params))
    act_at = jax.jit(lambda params, step, s: act(params, jax.random.fold_in(key, step), s), compiler_options=options)
    seeds = [seed_of(seed, episode) for episode in range(episodes)]
    return partial(_evaluate_on_host, env, partial(_precisely, act_at), seeds, length)


def _precisely(function: Callable[..., Any], *args: Any) -> Any:
    with full_precision():
        return function(*args)


def _evaluate_on_host(
    env: HostEnv, act_at: Callable[..., Array], seeds: list[int], length: int, params: Params
) -> Evaluation:
    instances = [env.instance() for _ in seeds]
    try:
        found: tuple[Any, ...] = play(instances, lambda step, s: np.asarray(act_at(params, step, s)), seeds, length)
        return Evaluation(*found)
    finally:
        for instance in instances:
            instance.close()


def diagnose(agent: Agent, config: LoopConfig, state: TrainingState) -> Scalars:
    """The agent's diagnostics at recorded transitions, see :mod:`sobolev.agent.diagnostics`."""
    key_batch, key_diagnose = (jax.random.key(EVALUATION_SEED + i) for i in (1, 2))
    batch = replay_buffer.sample(state.replay, key_batch, (POINTS,), config.window)
    return agent.diagnose(state.agent, key_diagnose, batch)
