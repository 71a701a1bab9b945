"""The loop on the point mass: what it counts, records and compiles; and evaluation."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State, Wrapper

from sobolev.agent import Agent, AgentParams, AgentState, OptStates, Targets, make_agent
from sobolev.environments import PointMass
from sobolev.training import evaluate, loop
from sobolev.training.loop import LoopConfig, TrainingState
from sobolev.training.replay import Window
from sobolev.types import Array, Key, Params, Spec, Transition
from tests.helpers import assert_same, host, tiny_agent

CONFIG = LoopConfig(
    num_envs=2,
    updates=2,
    batch_size=4,
    episode_length=5,
    restart_probability=0.0,
    warmup_steps=8,
    warmup_updates=4,
    replay_capacity=22,
    window=Window(stride=2, gamma=0.9),
)


class Counted(Wrapper):
    """Counts how often Python runs through ``step``: once per trace."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.calls = 0

    def step(self, state: State, action: Array) -> State:
        self.calls += 1
        return self.env.step(state, action)


class Programs(NamedTuple):
    env: Counted
    init: Any
    fit_normalizers: Any
    advance: Any

    def warm(self, seed: int = 0) -> TrainingState:
        """The state after the warm-up."""
        return loop.warm_up(CONFIG, self.init(jax.random.key(seed)), self.fit_normalizers, self.advance)

    def learn(self, state: TrainingState, iterations: int) -> TrainingState:
        """Playing and updating by turns."""
        return self.advance(state, jnp.int32(iterations), loop.LEARN)


def programs_of(agent: Agent) -> Programs:
    env = Counted(PointMass(num_locations=1))
    return Programs(
        env,
        jax.jit(partial(loop.init, env, agent, CONFIG)),
        jax.jit(partial(loop.fit_normalizers, agent, CONFIG)),
        jax.jit(partial(loop.advance, env, agent, CONFIG)),
    )


def idle_agent() -> Agent:
    """Learns nothing, acts by a constant, and reports its step, the batch, and on odd steps nan."""

    def init(key: Key) -> AgentState:
        params, targets = AgentParams(jnp.zeros(()), jnp.zeros(2), jnp.zeros(())), Targets(jnp.zeros(()), jnp.zeros(2))
        return AgentState(params, targets, OptStates((), (), ()), (), jnp.ones(()), key, jnp.int32(0))

    def fit_normalizers(state: AgentState, transitions: Transition) -> AgentState:
        return state._replace(params=state.params._replace(world_model=jnp.float32(transitions.r.shape[0])))

    def update(state: AgentState, batch: Transition) -> tuple[AgentState, dict[str, Array]]:
        step = state.step.astype(jnp.float32)
        scalars = {"step": step, "even": jnp.where(state.step % 2 == 0, step, jnp.nan), "never": jnp.nan * step}
        return state._replace(step=state.step + 1), {**scalars, "fault": jnp.int32(0)}

    def act(params: Params, key: Key, s: Array) -> Array:
        return jnp.full(2, 2.0)

    return real_agent()._replace(
        init=init, fit_normalizers=fit_normalizers, act=act, explore=act, update=update, diagnose=lambda *_: {}
    )


@cache
def idle() -> Programs:
    return programs_of(idle_agent())


@cache
def real_agent() -> Agent:
    return make_agent(tiny_agent(batch_size=CONFIG.batch_size, policy_delay=2, actor_start=4), Spec(4, 2))


@cache
def real() -> Programs:
    return programs_of(real_agent())


def test_init_has_taken_no_step() -> None:
    state = idle().init(jax.random.key(0))
    assert (int(state.env_steps), int(state.replay.size), int(state.agent.step)) == (0, 0, 0)
    assert state.replay.data.s.shape == (CONFIG.replay_capacity, 4)
    assert state.replay.data.a.shape == (CONFIG.replay_capacity, 2)
    assert state.episodes.state.obs.shape == (CONFIG.num_envs, 4)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_episodes_restart_with_their_probability(probability: float) -> None:
    config, agent, s = CONFIG._replace(restart_probability=probability), idle_agent(), jnp.zeros((4_000, 4))
    choose = jax.jit(lambda key: loop.choose(agent, config, jnp.zeros(2), key, s, False))
    key, choice = choose(jax.random.key(0))
    deviation = np.sqrt(probability * (1 - probability) / len(s))
    np.testing.assert_allclose(choice.restart.mean(), probability, atol=5 * deviation)
    _, later = choose(key)
    assert np.any(later.restart != choice.restart) == (0 < probability < 1)


def test_restarts_reach_the_episodes_and_the_replay() -> None:
    programs, config = idle(), CONFIG._replace(restart_probability=0.5, episode_length=1_000)
    state = programs.init(jax.random.key(0))
    advance = jax.jit(partial(loop.advance, programs.env, idle_agent(), config))
    state = advance(state, jnp.int32(10), loop.RECORD)
    last = np.asarray(state.replay.last[:20])
    assert 3 <= last.sum() <= 17
    np.testing.assert_array_equal(state.replay.data.discount[:20], np.ones(20))
    assert np.all(np.asarray(state.episodes.steps) < 10)


def test_warm_up_rounds_its_updates_up_to_whole_iterations() -> None:
    programs = idle()
    config = CONFIG._replace(warmup_updates=3)
    state = loop.warm_up(config, programs.init(jax.random.key(0)), programs.fit_normalizers, programs.advance)
    assert int(state.agent.step) == 4


def test_warm_up_counts_records_and_fits() -> None:
    state = idle().warm()
    assert int(state.env_steps) == int(state.replay.size) == CONFIG.warmup_steps
    assert int(state.agent.step) == CONFIG.warmup_updates
    assert float(state.agent.params.world_model) == CONFIG.warmup_steps  # what fit_normalizers was given
    a = np.asarray(state.replay.data.a[: CONFIG.warmup_steps])
    assert np.all(np.abs(a) <= 1)
    assert len(np.unique(a)) == a.size
    np.testing.assert_array_equal(state.replay.data.a[CONFIG.warmup_steps :], 0.0)


@pytest.mark.parametrize("length", [1, 2])
def test_normalizers_are_fitted_to_whole_windows_alone(length: int) -> None:
    """To every transition, of however many in a row trajectories are made."""
    programs, config = idle(), CONFIG._replace(window=Window(n_step=3, stride=2, length=length))
    state = programs.advance(programs.init(jax.random.key(0)), jnp.int32(4), loop.RECORD)
    fitted = loop.fit_normalizers(idle_agent(), config, state)
    assert float(fitted.agent.params.world_model) == 8 - 2 * 2  # the last two steps of both environments begin none


def test_a_horizon_along_the_record_is_given_trajectories() -> None:
    """Of three transitions in a row of one environment; those behind the end of an episode are not valid."""
    seen: list[Any] = []

    def update(state: AgentState, batch: Any) -> tuple[AgentState, dict[str, Array]]:
        seen.append(batch.valid.shape)
        gaps = jnp.sum(jnp.abs(batch.steps.s[:, 1:] - batch.steps.s_next[:, :-1]), axis=2)
        chained = jnp.max(jnp.where(batch.valid[:, 1:], gaps, 0.0))
        state, scalars = idle_agent().update(state, batch.first)
        return state, {**scalars, "chained": chained, "share": jnp.mean(batch.valid[:, 2])}

    agent, env = idle_agent()._replace(update=update), idle().env
    config = CONFIG._replace(window=CONFIG.window._replace(length=3), batch_size=64)
    state = jax.jit(partial(loop.init, env, agent, config))(jax.random.key(0))
    advance = jax.jit(partial(loop.advance, env, agent, config))
    scalars = advance(advance(state, jnp.int32(8), loop.RECORD), jnp.int32(1), loop.FIT).totals.means()
    assert set(seen) == {(64, 3)}
    assert float(scalars["chained"]) == 0.0
    assert 0.2 < float(scalars["share"]) < 0.9  # of six starts, those at steps 0, 1, 2 and 5 of an episode of 5


@pytest.mark.parametrize("iterations", [1, 4])
def test_learning_counts(iterations: int) -> None:
    start = idle().warm()
    state = idle().learn(start, iterations)
    steps = CONFIG.warmup_steps + iterations * CONFIG.num_envs
    assert int(state.env_steps) == int(state.replay.size) == steps
    assert int(state.agent.step) == CONFIG.warmup_updates + iterations * CONFIG.updates


def test_scalars_are_means_over_the_updates_that_reported() -> None:
    warm = idle().warm()
    fresh = warm._replace(totals=jax.tree.map(jnp.zeros_like, warm.totals))
    scalars = idle().learn(fresh, 3).totals.means()
    steps = range(4, 10)
    assert float(scalars["step"]) == pytest.approx(np.mean(steps))
    assert float(scalars["even"]) == pytest.approx(np.mean([step for step in steps if step % 2 == 0]))
    assert np.isnan(float(scalars["never"]))


def test_replay_holds_what_was_played() -> None:
    state = idle().learn(idle().warm(), 7)
    assert int(state.replay.size) == CONFIG.replay_capacity == int(state.env_steps)
    data, env, count = state.replay.data, PointMass(num_locations=1), CONFIG.num_envs
    clipped = jnp.clip(data.a, -1.0, 1.0)
    s_next, r, _ = jax.vmap(env.simulate, in_axes=(0, 0, None))(data.s, clipped, jnp.int32(0))
    np.testing.assert_allclose(data.s_next, s_next, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(data.r, r, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(data.a[CONFIG.warmup_steps :], 2.0)
    np.testing.assert_array_equal(data.discount, 1.0)
    chained = np.all(np.asarray(data.s_next[:-count]) == np.asarray(data.s[count:]), axis=1).reshape(-1, count)
    ends = (np.arange(len(chained)) + 1) % CONFIG.episode_length == 0
    np.testing.assert_array_equal(chained, np.repeat(~ends[:, None], count, axis=1))
    np.testing.assert_array_equal(state.episodes.steps, [11 % 5] * count)


def test_two_halves_are_one_whole_bit_for_bit() -> None:
    learn, start = real().learn, real().warm()
    once = learn(start, 6)
    half = learn(start, 3)
    twice = learn(half, 3)
    assert_same(once, twice)
    assert any(np.any(x != y) for (_, x), (_, y) in zip(host(half.agent.params), host(once.agent.params), strict=True))


def test_same_seed_same_course() -> None:
    first, again, other = (real().warm(seed) for seed in (0, 0, 1))
    assert_same(first, again)
    assert np.any(np.asarray(first.replay.data.s) != np.asarray(other.replay.data.s))


def test_number_of_iterations_is_data_and_tracing_is_bounded() -> None:
    programs = programs_of(idle_agent())
    state = programs.warm()
    assert 1 <= programs.env.calls <= 4
    for iterations in (2, 5):
        state = programs.learn(state, iterations)
    assert programs.env.calls <= 8
    calls = programs.env.calls
    programs.learn(state, 50)
    assert programs.env.calls == calls
    assert programs.advance._cache_size() == 1


def test_parts_are_fitted_to_the_warm_up() -> None:
    state = real().warm()
    s = np.asarray(state.replay.data.s[: CONFIG.warmup_steps])
    np.testing.assert_allclose(state.agent.params.actor["state"].mean, s.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state.agent.params.actor["state"].std, s.std(axis=0), rtol=1e-4)


class Falling(Env):
    """Pays its action, and ends after as many steps as its random start says: 1 to 6."""

    def reset(self, rng: Array) -> State:
        lasts = jax.random.randint(rng, (), 1, 7).astype(jnp.float32)
        return State(None, jnp.array([lasts, 0.0]), jnp.zeros(()), jnp.zeros(()), {}, {})

    def step(self, state: State, action: Array) -> State:
        obs = state.obs + jnp.array([0.0, 1.0])
        return state.replace(obs=obs, reward=action[0], done=(obs[1] >= obs[0]).astype(jnp.float32))

    @property
    def observation_size(self) -> int:
        return 2

    @property
    def action_size(self) -> int:
        return 1

    @property
    def backend(self) -> str:
        return "none"


def test_evaluation_sums_rewards_to_the_end() -> None:
    def score(scale: Array, key: Key) -> Any:
        return evaluate(Falling(), lambda key, s: scale * (s[:, 1:] + 1), key, episodes=40, length=4)

    scored = jax.jit(score)
    result = scored(jnp.float32(0.5), jax.random.key(0))
    lengths = np.asarray(result.lengths)
    assert set(lengths.tolist()) == {1.0, 2.0, 3.0, 4.0}
    assert np.sum(lengths == 4) > np.sum(lengths == 3)  # the time limit cuts three kinds of episodes
    np.testing.assert_allclose(result.returns, 0.5 * lengths * (lengths + 1) / 2)
    np.testing.assert_array_equal(scored(jnp.float32(-1.0), jax.random.key(0)).lengths, lengths)
    assert np.any(np.asarray(scored(jnp.float32(0.5), jax.random.key(1)).lengths) != lengths)
