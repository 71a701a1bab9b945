"""The training loop on the device: environment, replay and updates in one program between two evaluations.

An environment on the host takes the same functions one by one, see :mod:`sobolev.training.host_loop`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env

from sobolev.agent import Agent, AgentState, example_batch, first_of
from sobolev.environments import episodes as episodes_of
from sobolev.training import faults
from sobolev.training import replay as replay_buffer
from sobolev.training.faults import Fault, NonFinite
from sobolev.training.replay import SINGLE, Replay, Window
from sobolev.types import Array, Key, Params, Scalars, Transition


class TrainingState(NamedTuple):
    """Everything that changes during training: a checkpoint is this and nothing else.

    Fields:
        agent: parameters, targets, optimizer states.
        replay: the transitions.
        episodes: the running ones: :class:`sobolev.environments.episodes.Episodes` on the device, or a
            :class:`sobolev.environments.host.Recording` of those on the host.
        key: of actions and batches.
        env_steps: the environment steps so far.
        totals: the scalars of the updates since the last evaluation.
        fault: what was not finite.
    """

    agent: AgentState
    replay: Replay
    episodes: Any
    key: Key
    env_steps: Array
    totals: "Totals"
    fault: Fault


class LoopConfig(NamedTuple):
    """The loop's static numbers.

    Fields:
        num_envs: environments side by side; one iteration steps each once.
        updates: agent updates per iteration.
        batch_size: transitions per update.
        episode_length: time limit of an episode, in steps.
        restart_probability: of an episode's restart after any of its steps, before the time limit.
        warmup_steps: environment steps with uniform actions before the first update.
        warmup_updates: updates on what the warm-up recorded.
        replay_capacity: transitions kept.
        window: what a sampled transition spans, and how many of them in a row are sampled.
        non_finite: what follows an update that is not finite: "halt", no further one, or "skip", the next.
    """

    num_envs: int
    updates: int
    batch_size: int
    episode_length: int
    restart_probability: float
    warmup_steps: int
    warmup_updates: int
    replay_capacity: int
    window: Window = SINGLE
    non_finite: NonFinite = "halt"


class Totals(NamedTuple):
    """Scalars of updates, added up over those that reported them; the others say nan.

    Fields:
        sums: of each scalar.
        counts: how many reported it.
    """

    sums: Scalars
    counts: Scalars

    @classmethod
    def of(cls, names: Iterable[str]) -> "Totals":
        """Nothing yet, of scalars of these names."""
        zeros = {name: jnp.zeros(()) for name in names}
        return cls(zeros, dict(zeros))

    def plus(self, scalars: Scalars) -> "Totals":
        """With the scalars ``[updates]`` of an iteration."""
        sums = jax.tree.map(lambda total, x: total + jnp.nansum(x), self.sums, scalars)
        counts = jax.tree.map(lambda total, x: total + jnp.sum(~jnp.isnan(x)), self.counts, scalars)
        return Totals(sums, counts)

    def means(self) -> dict[str, np.ndarray]:
        """Each scalar's mean, on the host; nan where none reported it."""
        sums, counts = jax.device_get((self.sums, self.counts))
        with np.errstate(invalid="ignore"):
            return {name: np.divide(sums[name], counts[name]) for name in sums}


class Phase(NamedTuple):
    """What an iteration does.

    Fields:
        play: step the environments.
        explore: with the exploring policy, not with uniform actions.
        fit: update the agent.
    """

    play: bool | Array
    explore: bool | Array
    fit: bool | Array


RECORD = Phase(play=True, explore=False, fit=False)
FIT = Phase(play=False, explore=True, fit=True)
LEARN = Phase(play=True, explore=True, fit=True)


def init(env: Env, agent: Agent, config: LoopConfig, key: Key) -> TrainingState:
    """The state before the first environment step."""
    key, key_agent, key_episodes = jax.random.split(key, 3)
    state = init_learner(agent, config, key, key_agent)
    return state._replace(episodes=episodes_of.start(env, key_episodes, config.num_envs))


def init_learner(agent: Agent, config: LoopConfig, key: Key, key_agent: Key) -> TrainingState:
    """The state without episodes."""
    batch = example_batch(agent.parts.spec, config.batch_size, config.window.length)
    agent_state, example = agent.init(key_agent), jax.tree.map(lambda x: x[0], first_of(batch))
    replay = replay_buffer.init(example, config.replay_capacity)
    scalars = jax.eval_shape(agent.update, agent_state, batch)[1]
    totals = Totals.of(name for name in scalars if name != "fault")
    return TrainingState(agent_state, replay, (), key, jnp.zeros((), jnp.int32), totals, faults.none(batch))


def fit_normalizers(agent: Agent, config: LoopConfig, state: TrainingState) -> TrainingState:
    """Fits the normalizers of the agent's parts to what the warm-up recorded."""
    count = config.warmup_steps - config.window._replace(length=1).reach
    recorded = replay_buffer.fold(state.replay, jnp.arange(count), config.window)
    return state._replace(agent=agent.fit_normalizers(state.agent, recorded))


class Choice(NamedTuple):
    """What each of E environments does next.

    Fields:
        a: its action, ``[E, A]``.
        restart: whether its episode restarts after this step, ``[E]``.
    """

    a: Array
    restart: Array


def choose(
    agent: Agent, config: LoopConfig, params: Params, key: Key, s: Array, explore: bool | Array
) -> tuple[Key, Choice]:
    """What comes next at observations ``[E, S]``, by the exploring policy or uniform actions; and the next key."""
    key, key_act = jax.random.split(key)
    restart = jnp.zeros(s.shape[0], bool)
    if config.restart_probability > 0:
        key, key_restart = jax.random.split(key)
        restart = jax.random.bernoulli(key_restart, config.restart_probability, restart.shape)

    def choose_one(key: Key, s: Array) -> Array:
        key_uniform, key_explore = jax.random.split(key)
        uniform = jax.random.uniform(key_uniform, (agent.parts.spec.action_size,), minval=-1.0, maxval=1.0)
        return jnp.where(explore, agent.explore(params, key_explore, s), uniform)

    return key, Choice(jax.vmap(choose_one)(jax.random.split(key_act, s.shape[0]), s), restart)


def record(state: TrainingState, transitions: Transition, last: Array) -> TrainingState:
    """The state with transitions ``[E]`` in its replay buffer."""
    replay = replay_buffer.add(state.replay, transitions, last)
    fault = faults.seen_in_transitions(state.fault, transitions, state.env_steps, state.agent.step)
    return state._replace(replay=replay, env_steps=state.env_steps + last.shape[0], fault=fault)


def _play(env: Env, agent: Agent, config: LoopConfig, explore: bool | Array, state: TrainingState) -> TrainingState:
    """One step of every environment, recorded."""
    key, choice = choose(agent, config, state.agent.params.actor, state.key, state.episodes.state.obs, explore)
    episodes, transitions, last = episodes_of.step(env, state.episodes, choice.a, config.episode_length, choice.restart)
    return record(state, transitions, last)._replace(episodes=episodes, key=key)


def fit(agent: Agent, config: LoopConfig, state: TrainingState) -> TrainingState:
    """The updates of one iteration; those that are not finite leave the agent as it was, see :mod:`.faults`."""
    key, key_batch = jax.random.split(state.key)
    shape = (config.updates, config.batch_size)
    sample = replay_buffer.sample if config.window.length == 1 else replay_buffer.sample_trajectories
    batches = sample(state.replay, key_batch, shape, config.window)
    update = faults.guarded(agent.update, config.non_finite, state.env_steps)
    (agent_state, fault), scalars = jax.lax.scan(update, (state.agent, state.fault), batches)
    return state._replace(agent=agent_state, key=key, totals=state.totals.plus(scalars), fault=fault)


def advance(
    env: Env, agent: Agent, config: LoopConfig, state: TrainingState, iterations: Array, phase: Phase
) -> TrainingState:
    """``iterations`` times what the phase says. Both are traced, so one compiled program serves the whole run."""

    def unchanged(state: TrainingState) -> TrainingState:
        return state

    def iteration(_: int, state: TrainingState) -> TrainingState:
        state = jax.lax.cond(phase.play, partial(_play, env, agent, config, phase.explore), unchanged, state)
        return jax.lax.cond(phase.fit, partial(fit, agent, config), unchanged, state)

    return jax.lax.fori_loop(0, iterations, iteration, state)


def warm_up(
    config: LoopConfig,
    state: TrainingState,
    fit_normalizers: Callable[[TrainingState], TrainingState],
    advance: Callable[[TrainingState, Array, Phase], TrainingState],
) -> TrainingState:
    """Records uniform actions, fits the normalizers of the agent's parts to them, and makes the first updates.

    ``fit_normalizers`` and ``advance`` are the functions above with all but the named arguments bound, compiled or not.
    """
    state = advance(state, jnp.int32(config.warmup_steps // config.num_envs), RECORD)
    return advance(fit_normalizers(state), jnp.int32(-(-config.warmup_updates // config.updates)), FIT)
