"""The training loop on the device: environment, replay and updates in one program between two evaluations."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env

from agents import replay as replay_buffer
from agents.agent import Agent
from agents.agent_state import AgentState, Scalars
from agents.environments import episodes as episodes_of
from agents.environments.episodes import Episodes
from agents.replay import Replay, Window
from sobolev.types import Array, Key, Transition


class TrainingState(NamedTuple):
    """Everything that changes during training: a checkpoint is this and nothing else."""

    agent: AgentState
    replay: Replay
    episodes: Episodes
    key: Key
    env_steps: Array


class Schedule(NamedTuple):
    """The loop's static numbers.

    Fields:
        num_envs: environments side by side; one iteration steps each once.
        updates: agent updates per iteration.
        batch_size: transitions per update.
        episode_length: time limit.
        warmup_steps: environment steps with uniform actions before the first update.
        warmup_updates: updates on what the warm-up recorded.
        replay_capacity: transitions kept.
        n_step: environment steps folded into one transition.
        gamma: discount of their rewards.
    """

    num_envs: int
    updates: int
    batch_size: int
    episode_length: int
    warmup_steps: int
    warmup_updates: int
    replay_capacity: int
    n_step: int
    gamma: float

    @property
    def window(self) -> Window:
        """What a sampled transition spans."""
        return Window(self.n_step, self.num_envs, self.gamma)


def init(env: Env, agent: Agent, schedule: Schedule, key: Key) -> TrainingState:
    """The state before the first environment step."""
    key, key_agent, key_episodes = jax.random.split(key, 3)
    episodes = episodes_of.start(env, key_episodes, schedule.num_envs)
    s = episodes.state.obs[0]
    example = Transition(s, jnp.zeros(env.action_size), jnp.zeros(()), jnp.zeros(()), s)
    replay = replay_buffer.init(example, schedule.replay_capacity)
    return TrainingState(agent.init(key_agent), replay, episodes, key, jnp.zeros((), jnp.int32))


def _step(
    env: Env, schedule: Schedule, state: TrainingState, choose: Callable[[Key, Array], Array]
) -> tuple[TrainingState, Key]:
    """One step of every environment, recorded; also returns a fresh key."""
    key, key_act, key_rest = jax.random.split(state.key, 3)
    a = jax.vmap(choose)(jax.random.split(key_act, schedule.num_envs), state.episodes.state.obs)
    episodes, transitions, last = episodes_of.step(env, state.episodes, a, schedule.episode_length)
    state = state._replace(
        replay=replay_buffer.add(state.replay, transitions, last),
        episodes=episodes,
        key=key,
        env_steps=state.env_steps + schedule.num_envs,
    )
    return state, key_rest


def warm_up(env: Env, agent: Agent, schedule: Schedule, state: TrainingState) -> TrainingState:
    """Records uniform actions, fits the scales of the agent's parts to them, and makes the first updates."""

    def uniform(key: Key, s: Array) -> Array:
        del s
        return jax.random.uniform(key, (env.action_size,), minval=-1.0, maxval=1.0)

    def record(state: TrainingState, _: None) -> tuple[TrainingState, None]:
        return _step(env, schedule, state, uniform)[0], None

    iterations = schedule.warmup_steps // schedule.num_envs
    state, _ = jax.lax.scan(record, state, None, length=iterations)
    recorded = replay_buffer.fold(
        state.replay, jnp.arange(iterations * schedule.num_envs - schedule.window.reach), schedule.window
    )
    state = state._replace(agent=agent.prepare(state.agent, recorded))

    def fit(state: TrainingState, _: None) -> tuple[TrainingState, None]:
        key, key_batch = jax.random.split(state.key)
        batch = replay_buffer.sample(state.replay, key_batch, (schedule.batch_size,), schedule.window)
        return state._replace(agent=agent.update(state.agent, batch)[0], key=key), None

    return jax.lax.scan(fit, state, None, length=schedule.warmup_updates)[0]


def learn(
    env: Env, agent: Agent, schedule: Schedule, state: TrainingState, iterations: Array
) -> tuple[TrainingState, Scalars]:
    """``iterations`` times: one step of every environment, then the updates; the number is data, not compiled in.

    Returns:
        The state, and each scalar of the updates averaged over those that reported it (the others say nan).
    """

    def iteration(state: TrainingState) -> tuple[TrainingState, Scalars]:
        def explore(key: Key, s: Array) -> Array:
            return agent.explore(state.agent.params.actor, key, s)

        state, key_batch = _step(env, schedule, state, explore)
        batches = replay_buffer.sample(
            state.replay, key_batch, (schedule.updates, schedule.batch_size), schedule.window
        )
        agent_state, scalars = jax.lax.scan(agent.update, state.agent, batches)
        return state._replace(agent=agent_state), scalars

    def accumulate(_: int, carry: tuple) -> tuple:
        state, sums, counts = carry
        state, scalars = iteration(state)
        sums = jax.tree.map(lambda total, x: total + jnp.nansum(x), sums, scalars)
        counts = jax.tree.map(lambda total, x: total + jnp.sum(~jnp.isnan(x)), counts, scalars)
        return state, sums, counts

    names = jax.eval_shape(iteration, state)[1]
    zeros = jax.tree.map(lambda x: jnp.zeros(()), names)
    state, sums, counts = jax.lax.fori_loop(0, iterations, accumulate, (state, zeros, zeros))
    return state, jax.tree.map(lambda total, count: total / count, sums, counts)
