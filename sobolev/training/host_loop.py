"""The training loop for environments on the host: Python steps them while the device learns.

Where :mod:`sobolev.training.loop` has one program between two evaluations, this loop has one for each thing that is
done: choose actions, learn, record. An iteration takes its actions from the policy as the iteration before has left it;
then it starts the updates, steps the environments while they run, and records. So updates draw on all transitions but
those of their own iteration.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Lowered

from sobolev.environments.host import HostEnv, HostEpisodes, Instance, Recording, play, seed_of
from sobolev.training import loop
from sobolev.training.evaluate import EVALUATION_SEED, Evaluation, diagnose
from sobolev.training.job import RUN_ONCE, Job, Program, assess_options
from sobolev.training.loop import Choice, Phase, TrainingState
from sobolev.types import Array, Key, Params, Scalars, Transition


def trace(job: Job, env: HostEnv) -> Iterator[tuple[str, Lowered]]:
    """Each compiled program with its name, traced when it is asked for, so that the one before can compile meanwhile.

    Args:
        job: from :func:`sobolev.training.build`.
        env: its environment.
    """
    config, agent, axis = job.config, job.agent, job.seed_axis

    def init(key: Key) -> TrainingState:
        """Whose ``episodes`` are the key of those to come."""
        key, key_agent, key_episodes = jax.random.split(key, 3)
        state = loop.init_learner(agent, config.loop, key, key_agent)
        return state._replace(episodes=jax.random.key_data(key_episodes))

    def choose(of_seed: tuple[Params, Key, Array], explore: Array) -> tuple[Key, Choice]:
        return loop.choose(agent, config.loop, *of_seed, explore)

    def record(of_seed: tuple[TrainingState, Transition, Array]) -> TrainingState:
        return loop.record(*of_seed)

    def act(of_seed: tuple[Params, Array], step: Array) -> Array:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(EVALUATION_SEED), step), config.eval_episodes)
        return jax.vmap(agent.act, in_axes=(None, 0, 0))(of_seed[0], keys, of_seed[1])

    first = job.jit(init, RUN_ONCE).lower(axis.keys(range(axis.size)))
    yield "init", first
    shapes = first.out_info._replace(episodes=())
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=axis.sharding), shapes)
    yield "fit_normalizers", job.jit(partial(loop.fit_normalizers, agent, config.loop), RUN_ONCE, (0,)).lower(states)

    def given(*sizes: int, dtype: Any = np.float32) -> Any:
        return jax.ShapeDtypeStruct((axis.size, *sizes), dtype, sharding=axis.sharding)

    params, count = states.agent.params.actor, config.num_envs
    s, a = given(count, env.observation_size), given(count, env.action_size)
    rows = Transition(s, a, given(count), given(count), s)
    yield "choose", job.jit(choose, config.cpu_compiler_options).lower((params, states.key, s), True)
    # Only the states are donated, not the rows, which no result could take the place of.
    recorded, options = axis.map(record), RUN_ONCE if jax.default_backend() == "cpu" else None
    record_all = jax.jit(
        lambda states, *rows: recorded((states, *rows)),
        compiler_options=options,
        donate_argnums=(0,),
        out_shardings=axis.sharding,
    )
    yield "record", record_all.lower(states, rows, given(count, dtype=bool))
    learn = partial(loop.fit, agent, config.loop)
    yield "learn", job.jit(learn, config.cpu_compiler_options, (0,)).lower(states)
    in_evaluation = given(config.eval_episodes, env.observation_size)
    yield "act", job.jit(act, assess_options()).lower((params, in_evaluation), jnp.int32(0))
    yield "diagnose", job.jit(partial(diagnose, agent, config.loop), assess_options()).lower(states)


@dataclass(frozen=True)
class HostProgram:
    """A function of Python that calls compiled programs; a :class:`sobolev.training.job.Program`.

    Args:
        function: what it does.
        parts: the compiled programs that it calls.
        out_info: the shapes of what it returns.
    """

    function: Callable[..., Any]
    parts: tuple[Program, ...]
    out_info: Any

    def wait(self) -> None:
        for part in self.parts:
            part.wait()

    @property
    def temporary_bytes(self) -> int:
        return max(part.temporary_bytes for part in self.parts)

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


def assemble(job: Job, env: HostEnv, compiled: Mapping[str, Program]) -> dict[str, HostProgram]:
    """The programs of :class:`sobolev.training.programs.Programs`, of those that :func:`trace` gave.

    Args:
        job: from :func:`sobolev.training.build`.
        env: its environment.
        compiled: by name.
    """
    host = _Host(job, env, compiled)
    states = compiled["init"].out_info
    states = states._replace(episodes=_shapes_of_recordings(job, env, states.episodes))
    of_episodes: Any = jax.ShapeDtypeStruct((job.seed_axis.size, job.config.eval_episodes), np.float32)
    outputs = {
        "init": states,
        "fit_normalizers": states,
        "advance": states,
        "assess": (Evaluation(of_episodes, of_episodes), compiled["diagnose"].out_info),
    }
    parts = {
        "init": ("init",),
        "fit_normalizers": ("fit_normalizers",),
        "advance": ("choose", "record", "learn"),
        "assess": ("act", "diagnose"),
    }
    return {
        name: HostProgram(getattr(host, name), tuple(compiled[part] for part in parts[name]), outputs[name])
        for name in outputs
    }


def _shapes_of_recordings(job: Job, env: HostEnv, keys: Any) -> Recording:
    def shape(*sizes: int, dtype: Any = np.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((job.seed_axis.size, job.config.num_envs, *sizes), dtype)

    actions = shape(job.config.loop.episode_length, env.action_size, dtype=np.float32)
    return Recording(keys, shape(), shape(), actions, shape(env.observation_size, dtype=np.float32))


class _Host:
    """The environments of all seeds, and what is done with them.

    Each method takes and gives whole training states. The environments are where the state that was given last has its
    episodes; for another state they are brought to where it has them.
    """

    def __init__(self, job: Job, env: HostEnv, compiled: Mapping[str, Program]) -> None:
        self._config, self._env, self._compiled, self._seeds = job.config, env, compiled, job.seed_axis.size
        self._episodes: list[HostEpisodes] = []
        self._recording: Recording | None = None
        self._evaluation: list[Instance] = []

    def init(self, keys: Array) -> TrainingState:
        """The state before the first environment step."""
        state = self._compiled["init"](keys)
        self._make(np.asarray(state.episodes))
        return state._replace(episodes=self._record())

    def _make(self, keys: np.ndarray) -> None:
        config = self._config
        for each in self._episodes:
            each.close()
        self._episodes = [HostEpisodes(self._env, config.num_envs, config.loop.episode_length, key) for key in keys]

    def _record(self) -> Recording:
        self._recording = jax.tree.map(lambda *leaves: np.stack(leaves), *(each.record() for each in self._episodes))
        return self._recording

    def _restore(self, state: TrainingState) -> TrainingState:
        """Brings the environments to where the state has its episodes, unless they are there.

        Returns:
            The state; where an episode was given up, its newest transition is its last.
        """
        if state.episodes is self._recording:
            return state
        recording = jax.tree.map(np.asarray, state.episodes)
        self._make(recording.key)
        of_seeds = (jax.tree.map(lambda x, i=i: x[i], recording) for i in range(self._seeds))
        restored = enumerate(zip(self._episodes, of_seeds, strict=True))
        lost = [(seed, place) for seed, (each, of_seed) in restored for place in each.restore(of_seed)]
        if not lost:
            return state
        warnings.warn(
            f"{self._env.name} does not repeat an episode from its seed and actions: {len(lost)} of "
            f"{self._seeds * self._config.num_envs} running episodes were given up, and others started",
            stacklevel=2,
        )
        seeds, places = np.array(lost).T
        replay, last = state.replay, np.array(state.replay.last)
        last[seeds, (np.asarray(replay.position)[seeds] - self._config.num_envs + places) % last.shape[1]] = True
        return state._replace(replay=replay._replace(last=jax.device_put(last, replay.last.sharding)))

    def fit_normalizers(self, state: TrainingState) -> TrainingState:
        """Fits the normalizers of the agent's parts to what the warm-up recorded."""
        return self._compiled["fit_normalizers"](state._replace(episodes=()))._replace(episodes=state.episodes)

    def advance(self, state: TrainingState, iterations: Array, phase: Phase) -> TrainingState:
        """``iterations`` times what the phase says, as :func:`sobolev.training.loop.advance` does on the device."""
        state = self._restore(state)._replace(episodes=())
        for _ in range(int(iterations)):
            if phase.play:
                s = np.stack([each.observations for each in self._episodes])
                key, choice = self._compiled["choose"](
                    (state.agent.params.actor, state.key, s), np.bool_(phase.explore)
                )
                choice = jax.tree.map(np.asarray, choice)  # waits for the updates of the iteration before
                state = state._replace(key=key)
            if phase.fit:
                state = self._compiled["learn"](state)
            if phase.play:
                rows, last = self._step(choice)
                state = self._compiled["record"](state, rows, last)
        return state._replace(episodes=self._record())

    def _step(self, choice: Choice) -> tuple[Transition, np.ndarray]:
        """One step of every environment, ``[seeds, E]``."""
        of_seeds = [each.step(*of_seed) for each, *of_seed in zip(self._episodes, *choice, strict=True)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *of_seeds)

    def assess(self, state: TrainingState) -> tuple[Evaluation, Scalars]:
        """The scores of the policies, all on the same episodes, and the diagnostics of the agents."""
        count = self._config.eval_episodes
        if not self._evaluation:
            self._evaluation = [self._env.instance() for _ in range(self._seeds * count)]
        seeds = [seed_of(EVALUATION_SEED, episode) for episode in range(count)]

        def policy(step: int, observations: np.ndarray) -> np.ndarray:
            of_seeds = observations.reshape(self._seeds, count, -1)
            a = self._compiled["act"]((state.agent.params.actor, of_seeds), np.int32(step))
            return np.asarray(a).reshape(self._seeds * count, -1)

        scores = play(self._evaluation, policy, seeds * self._seeds, self._config.episode_length)
        score = Evaluation(*(jnp.array(x.reshape(self._seeds, count)) for x in scores))
        return score, self._compiled["diagnose"](state._replace(episodes=()))
