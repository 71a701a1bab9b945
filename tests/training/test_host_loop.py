"""Training on environments that Python steps, against a loop in plain Python; its checkpoints, seeds and evaluation."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium.spaces import Box

from sobolev import corrections, critics, metrics, world_models
from sobolev.agent import Agent
from sobolev.environments import HostEnv
from sobolev.environments.host import seed_of
from sobolev.training import Job, Run, TrainConfig, build, host_loop, loop, train
from sobolev.training.evaluate import EVALUATION_SEED
from sobolev.training.job import full_precision
from sobolev.training.loop import TrainingState
from sobolev.training.programs import Compiling, Programs
from sobolev.types import Transition
from tests.helpers import assert_close, assert_same, tiny_agent

Make = Callable[..., TrainConfig]
LOW, HIGH = np.array([-3.0, 0.0], np.float32), np.array([1.0, 5.0], np.float32)
TIMES = ("train/updates_per_second", "train/env_steps_per_second", "time/learn_seconds", "time/evaluate_seconds")


class Walk(gymnasium.Env):
    """A noisy walk of two coordinates; it lasts 3 to 9 steps, by its start, and then it terminates or is truncated."""

    action_space = Box(LOW, HIGH)
    observation_space = Box(-np.inf, np.inf, (4,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count, self.start, self.place = 0, self.np_random.uniform(), self.np_random.normal(size=2)
        self.steps = 3 + int(7 * self.start)
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        self.place = 0.8 * self.place + 0.1 * action + 0.1 * self.np_random.normal(size=2)
        over, terminates = self.count == self.steps, self.start > 0.4
        return self.observe(), self.reward(action), over and terminates, over and not terminates, {}

    def observe(self) -> np.ndarray:
        return np.array([self.start, self.count, *self.place])

    def reward(self, action: np.ndarray) -> float:
        return float(action[0] - np.sum(self.place**2))


class Unmoved(Walk):
    """Pays what no action changes."""

    def reward(self, action: np.ndarray) -> float:
        return self.count + self.start


class Drifting(Walk):
    """Not a function of its seed."""

    def observe(self) -> np.ndarray:
        return super().observe() + np.array([0.0, 0.0, 0.0, np.random.default_rng().uniform(0, 0.1)])


def on_host(tiny: Make, **changes: Any) -> TrainConfig:
    """A job whose agent, the fastest to compile, stands for all of them."""
    agent = tiny_agent(
        metric=metrics.Huber(),
        world_model=world_models.make_recorded,
        critic=partial(critics.make_deterministic, hidden_sizes=(4,)),
        gradient="none",
        overestimation=corrections.Min(),
        num_samples=1,
        critic_optimizer=optax.sgd(1e-3),
        actor_optimizer=optax.sgd(1e-3),
    )
    return tiny(**{"environment": HostEnv(Walk), "agent": agent, **changes})


class Course(NamedTuple):
    """Compiled programs, which other environments of these sizes and other time limits can share."""

    job: Job
    compiled: dict[str, Compiling]

    def of(self, make: Callable[[], gymnasium.Env] = Walk, **changes: Any) -> tuple[Job, Programs]:
        env = HostEnv(make)
        job = self.job._replace(config=replace(self.job.config, environment=env, **changes), env=env)
        return job, Programs(**host_loop.assemble(job, env, self.compiled))


@pytest.fixture(scope="module")
def course(tiny: Make) -> Callable[[float], Course]:
    """``course(updates_per_step)``"""

    @cache
    def make(updates_per_step: float) -> Course:
        with ThreadPoolExecutor(1) as pool, full_precision():
            job = build(on_host(tiny, updates_per_step=updates_per_step))
            return Course(job, {name: Compiling(x, pool) for name, x in host_loop.trace(job, job.env)})

    return make


def warm(job: Job, programs: Programs, seed: int = 0) -> TrainingState:
    """The state after the warm-up."""
    state = programs.init(job.seed_axis.keys([seed]))
    return loop.warm_up(job.config.loop, state, programs.fit_normalizers, programs.advance)


def learned(programs: Programs, state: TrainingState, iterations: int) -> TrainingState:
    return programs.advance(state, jnp.int32(iterations), loop.LEARN)


def only_seed(tree: Any) -> Any:
    return jax.tree.map(lambda x: x[0], tree)


def copied(state: TrainingState) -> TrainingState:
    """For a program that consumes its state; the environments stay where they are."""
    return jax.tree.map(jnp.copy, state._replace(episodes=()))._replace(episodes=state.episodes)


jitted = cache(jax.jit)  # each function once


class Plain:
    """The course of one seed in plain Python: lists of rows, one update after another."""

    def __init__(self, job: Job, agent: Agent, make: Callable[[], gymnasium.Env], seed: int) -> None:
        self.config, self.agent = job.config, agent
        self.key, key_agent, key_episodes = jax.random.split(jax.random.key(seed), 3)
        self.state = jitted(agent.init)(key_agent)
        self.entropy = np.asarray(jax.random.key_data(key_episodes)).tolist()
        self.envs = [make() for _ in range(self.config.num_envs)]
        self.numbers, self.ages = [-1] * len(self.envs), [0] * len(self.envs)
        self.observations = [self.start(place) for place in range(len(self.envs))]
        self.rows: list[tuple[Any, ...]] = []

    def start(self, place: int) -> np.ndarray:
        self.numbers[place] += 1
        self.ages[place] = 0
        sequence = np.random.SeedSequence([4, *self.entropy, place, self.numbers[place]])
        return self.envs[place].reset(seed=int(sequence.generate_state(1)[0]) // 2)[0]

    def choose(self, explore: bool) -> list[np.ndarray]:
        self.key, key_act = jax.random.split(self.key)
        found, explored = [], jitted(self.agent.explore)
        for key, s in zip(jax.random.split(key_act, len(self.envs)), self.observations, strict=True):
            key_uniform, key_explore = jax.random.split(key)
            uniform = jax.random.uniform(key_uniform, (2,), minval=-1.0, maxval=1.0)
            actor = self.state.params.actor
            found.append(np.asarray(explored(actor, key_explore, jnp.float32(s)) if explore else uniform))
        return found

    def step(self, actions: list[np.ndarray]) -> None:
        for place, a in enumerate(actions):
            action = (LOW + (np.clip(a, -1, 1) + 1) / 2 * (HIGH - LOW)).astype(np.float32)
            s_next, r, terminated, truncated, _ = self.envs[place].step(action)
            self.ages[place] += 1
            last = terminated or truncated or self.ages[place] == self.config.episode_length
            self.rows.append((self.observations[place], a, r, 0.0 if terminated else 1.0, s_next, last))
            self.observations[place] = self.start(place) if last else s_next

    def transitions(self, rows: Any) -> Transition:
        """The rows of these numbers, stacked."""
        fields = zip(*(self.rows[row][:-1] for row in rows), strict=True)
        return Transition(*(jnp.asarray(np.stack(field), jnp.float32) for field in fields))

    def fit(self) -> None:
        self.key, key_batch = jax.random.split(self.key)
        updates, size = self.config.loop.updates, self.config.agent.batch_size
        for rows in np.asarray(jax.random.randint(key_batch, (updates, size), 0, len(self.rows))):
            self.state, _ = jitted(self.agent.update)(self.state, self.transitions(rows))

    def run(self, iterations: int) -> None:
        config = self.config
        for _ in range(config.warmup_steps // config.num_envs):
            self.step(self.choose(explore=False))
        self.state = self.agent.fit_normalizers(self.state, self.transitions(range(config.warmup_steps)))
        for _ in range(config.warmup_updates // config.loop.updates):
            self.fit()
        for _ in range(iterations):
            actions = self.choose(explore=True)
            self.fit()  # on all rows but those of this iteration
            self.step(actions)


@pytest.mark.parametrize(
    ("updates_per_step", "episode_length"),
    [(1.0, 7), (2.0, 7), (1.0, 2), (1.0, 100)],
    ids=["one update", "two updates", "shorter episodes", "no limit but the environment's"],
)
def test_replay_and_agent_are_those_of_a_plain_loop(
    course: Callable[[float], Course], updates_per_step: float, episode_length: int
) -> None:
    job, programs = course(updates_per_step).of(episode_length=episode_length)
    with full_precision():
        state = only_seed(learned(programs, warm(job, programs, seed=5), 13))
        plain = Plain(job, course(1.0).job.agent, Walk, seed=5)  # the same agent, compiled once
        plain.run(13)
    assert int(state.env_steps) == int(state.replay.size) == len(plain.rows) == 8 + 13 * 2
    assert int(state.agent.step) == int(plain.state.step) == 4 + 13 * 2 * updates_per_step
    data = jax.tree.map(lambda x: x[: len(plain.rows)], state.replay.data)
    assert_close(data, plain.transitions(range(len(plain.rows))), rtol=1e-4, atol=1e-4)
    last = np.array([row[-1] for row in plain.rows])
    np.testing.assert_array_equal(state.replay.last[: len(last)], last)
    assert_close(state.agent.params, plain.state.params, rtol=1e-3, atol=1e-4)
    ends = set(np.asarray(data.discount)[last].tolist())
    assert ends == ({1.0} if episode_length == 2 else {0.0, 1.0})
    assert data.s_next[last, 1].max() == {7: 7, 2: 2, 100: 9}[episode_length]
    np.testing.assert_array_equal(state.episodes.steps, plain.ages)
    np.testing.assert_array_equal(state.episodes.counts, plain.numbers)


def test_two_halves_are_one_whole_bit_for_bit(course: Callable[[float], Course]) -> None:
    job, programs = course(1.0).of()
    once = learned(programs, warm(job, programs), 12)
    half = learned(programs, warm(job, programs), 5)
    assert np.any(half.episodes.steps > 0)
    stored = jax.tree.map(jnp.copy, half)
    assert_same(learned(course(1.0).of()[1], stored, 7), once)  # as from a checkpoint, by environments made anew
    assert_same(learned(programs, half, 7), once)


def test_a_state_of_before_takes_the_environments_back(course: Callable[[float], Course]) -> None:
    job, programs = course(1.0).of()
    state = warm(job, programs)
    kept = jax.tree.map(jnp.copy, state)
    once = learned(programs, state, 6)
    assert_same(learned(programs, kept, 6), once)


def test_later_calls_compile_nothing(course: Callable[[float], Course], caplog: pytest.LogCaptureFixture) -> None:
    job, programs = course(1.0).of()

    def compilations(act: Callable[[], Any]) -> list[str]:
        caplog.clear()
        with jax.log_compiles(), caplog.at_level(logging.WARNING):
            jax.block_until_ready(act())
        return [record.getMessage() for record in caplog.records if record.getMessage().startswith("Compiling")]

    state = learned(programs, warm(job, programs), 2)
    programs.assess(state)
    assert compilations(lambda: jax.jit(lambda x: x + 17)(jnp.ones(19)))
    assert not compilations(lambda: learned(programs, copied(state), 4))
    assert not compilations(lambda: programs.assess(state))


def test_evaluation_is_of_the_same_episodes_each_time(course: Callable[[float], Course]) -> None:
    job, programs = course(1.0).of(Unmoved)
    state = warm(job, programs)
    first, again = programs.assess(state)[0], programs.assess(state)[0]
    later = programs.assess(learned(programs, state, 9))[0]
    other = programs.assess(warm(job, programs, seed=1))[0]
    expected = []
    for seed in [seed_of(EVALUATION_SEED, episode) for episode in range(3)]:
        env = Unmoved()
        env.reset(seed=int(seed))
        steps = min(env.steps, 7)
        expected.append((steps * (steps + 1) / 2 + steps * env.start, steps))
    for score in (first, again, later, other):
        np.testing.assert_allclose(score.returns[0], [total for total, _ in expected], rtol=1e-6)
        np.testing.assert_array_equal(score.lengths[0], [steps for _, steps in expected])


def test_evaluation_acts_by_the_policy(course: Callable[[float], Course]) -> None:
    """Whose actions are the actor's without exploration: the returns are those of a plain loop."""
    job, programs = course(1.0).of()
    state = learned(programs, warm(job, programs), 9)
    returns = []
    for seed in [seed_of(EVALUATION_SEED, episode) for episode in range(3)]:
        env, total, over, step = Walk(), 0.0, False, 0
        s, _ = env.reset(seed=int(seed))
        while not over and step < 7:
            a = np.asarray(job.agent.act(only_seed(state.agent.params.actor), jax.random.key(0), jnp.float32(s)))
            s, r, terminated, truncated, _ = env.step(LOW + (a + 1) / 2 * (HIGH - LOW))
            total, over, step = total + r, terminated or truncated, step + 1
        returns.append(total)
    np.testing.assert_allclose(programs.assess(state)[0].returns[0], returns, rtol=1e-4, atol=1e-4)


def test_evaluation_does_not_disturb_training(course: Callable[[float], Course]) -> None:
    job, programs = course(1.0).of()
    once = learned(programs, learned(programs, warm(job, programs), 4), 4)
    state = learned(programs, warm(job, programs), 4)
    programs.assess(state)
    assert_same(learned(programs, state, 4), once)


def test_environment_that_does_not_repeat_is_gone_on_with_by_other_episodes(course: Callable[[float], Course]) -> None:
    job, programs = course(1.0).of(Drifting)
    state = warm(job, programs)
    running = int(np.sum(state.episodes.steps > 0))
    with pytest.warns(UserWarning, match=rf"^Drifting does not repeat .*: {running} of 2 running episodes were given"):
        after = learned(course(1.0).of(Drifting)[1], jax.tree.map(jnp.copy, state), 5)
    assert int(after.env_steps[0]) == 8 + 5 * 2


def test_episodes_that_are_given_up_end_in_the_replay(course: Callable[[float], Course]) -> None:
    job, programs = course(1.0).of()
    state = warm(job, programs)
    steps = np.asarray(state.episodes.steps[0])
    assert np.all(steps > 0)
    observations = state.episodes.observations + np.array([[[0.0], [1.0]]], np.float32)  # the second place's alone
    tampered = state._replace(episodes=state.episodes._replace(observations=observations))
    with pytest.warns(UserWarning, match=r"^Walk does not repeat .*: 1 of 2 running episodes were given up"):
        after = only_seed(learned(programs, tampered, 1))
    np.testing.assert_array_equal(after.replay.last[6:8], [False, True])
    np.testing.assert_array_equal(after.replay.data.s[8:10, 1], [steps[0], 0])
    np.testing.assert_array_equal(after.replay.data.s[8], after.replay.data.s_next[6])


# Whole runs.


class CutError(Exception):
    """Stands for what breaks a run off."""


def cut(row: dict[str, float]) -> None:
    if row["env_steps"] == 30:
        raise CutError


def without_times(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """What of the rows the machine does not decide."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def finished(tiny: Make, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of three seeds."""
    return train(on_host(tiny, num_seeds=3, seed=4, restart_after=10), tmp_path_factory.mktemp("run"))


def test_resumed_seeds_end_where_unbroken_ones_do(finished: Run, tiny: Make, tmp_path: Path) -> None:
    config = on_host(tiny, num_seeds=3, seed=4, restart_after=10)
    with pytest.raises(CutError):
        train(config, tmp_path, callbacks=[cut])
    with np.load(tmp_path / "checkpoints" / "20.npz") as stored:
        assert np.all(np.sum(stored[".episodes.steps"] > 0, axis=1) > 0)
        assert np.any(stored[".episodes.counts"] > 0)
    resumed = train(config, tmp_path, resume=True)
    assert without_times(resumed.rows) == without_times(finished.rows)
    last = "checkpoints/40.npz"
    with np.load(finished.run_dir / last) as one, np.load(tmp_path / last) as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_rows_are_one_per_seed_and_evaluation(finished: Run) -> None:
    steps = [8, 10, 20, 30, 40]
    assert [(row["env_steps"], row["seed"]) for row in finished.rows] == [(t, s) for t in steps for s in (4, 5, 6)]
    assert [row["updates"] for row in finished.rows[::3]] == [4, 6, 16, 26, 36]
    assert len({row["eval/return"] for row in finished.rows if row["env_steps"] == 40}) == 3


def test_groups_of_seeds_are_the_seeds_of_one_program(finished: Run, tiny: Make, tmp_path: Path) -> None:
    rows = train(on_host(tiny, num_seeds=3, seed=4, restart_after=10, seeds_at_once=1), tmp_path).rows
    assert [row["seed"] for row in rows] == [4] * 5 + [5] * 5 + [6] * 5
    expected = {(row["seed"], row["env_steps"]): row for row in without_times(finished.rows)}
    for row in without_times(rows):
        other = expected[row["seed"], row["env_steps"]]
        assert row.keys() == other.keys()
        for name, value in row.items():
            assert other[name] == pytest.approx(value, rel=2e-3, abs=1e-4), (row["seed"], row["env_steps"], name)
