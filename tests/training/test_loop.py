"""The loop on the point mass: what it counts, records and compiles; and evaluation."""

import dataclasses
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from brax.envs.base import Env, State, Wrapper

from sobolev.training import loop
from sobolev.agent.agent import Agent, make_agent
from sobolev.agent.config import AgentConfig
from sobolev.agent.state import AgentState, AgentParams, Targets
from sobolev.environments.point_mass import PointMass
from sobolev.training.evaluate import evaluate
from sobolev.training.loop import Schedule, TrainingState
from sobolev.training.train import TrainConfig
from sobolev import actors, gradient_scales, critics, world_models
from sobolev.metrics import registry as metrics
from sobolev.types import Array, Key, Params, Spec, Transition

SCHEDULE = Schedule(
    num_envs=2,
    updates=2,
    batch_size=4,
    episode_length=5,
    warmup_steps=8,
    warmup_updates=4,
    replay_capacity=22,
    n_step=1,
    gamma=0.9,
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
    prepare: Any
    advance: Any

    def warm(self, seed: int = 0) -> TrainingState:
        """The state after the warm-up."""
        return loop.warm_up(SCHEDULE, self.init(jax.random.key(seed)), self.fit_normalizer, self.advance)

    def learn(self, state: TrainingState, iterations: int) -> tuple[TrainingState, dict[str, Array]]:
        """Playing and updating by turns."""
        return self.advance(state, jnp.int32(iterations), loop.LEARN)


def programs_of(agent: Agent) -> Programs:
    env = Counted(PointMass(num_locations=1))
    return Programs(
        env,
        jax.jit(partial(loop.init, env, agent, SCHEDULE)),
        jax.jit(partial(loop.fit_normalizer, agent, SCHEDULE)),
        jax.jit(partial(loop.advance, env, agent, SCHEDULE)),
    )


def idle_agent() -> Agent:
    """Learns nothing, acts by a constant, and reports its step, the batch, and on odd steps nan."""

    def init(key: Key) -> AgentState:
        params = AgentParams(jnp.zeros(()), jnp.zeros(2), jnp.zeros(()))
        return AgentState(params, Targets(jnp.zeros(()), jnp.zeros(2)), AgentParams((), (), ()), (), key, jnp.int32(0))

    def fit_normalizer(state: AgentState, transitions: Transition) -> AgentState:
        return state._replace(params=state.params._replace(world_model=jnp.float32(transitions.r.shape[0])))

    def update(state: AgentState, batch: Transition) -> tuple[AgentState, dict[str, Array]]:
        step = state.step.astype(jnp.float32)
        scalars = {"step": step, "even": jnp.where(state.step % 2 == 0, step, jnp.nan), "never": jnp.nan * step}
        return state._replace(step=state.step + 1), scalars

    def act(params: Params, key: Key, s: Array) -> Array:
        return jnp.full(2, 2.0)

    return Agent(init, fit_normalizer, act, act, update, lambda state, key, batch: {})


@cache
def idle() -> Programs:
    return programs_of(idle_agent())


def real_config() -> AgentConfig:
    return AgentConfig(
        metric=metrics.make("mmd"),
        world_model=partial(world_models.registry.get("cvae"), hidden_sizes=(4,), latent_size=2),
        critic=partial(critics.registry.get("generative"), hidden_sizes=(4,), noise_size=2),
        actor=partial(actors.registry.get("deterministic"), hidden_sizes=(4,)),
        gradient="action",
        gradient_scale=gradient_scales.Balanced(),
        noise_source="inference",
        continuation="data",
        overestimation="truncate",
        drop=1,
        num_critics=2,
        num_samples=3,
        batch_size=SCHEDULE.batch_size,
        gamma=0.9,
        n_step=1,
        polyak=0.1,
        actor_polyak=0.1,
        actor_value="mean",
        target_noise=0.0,
        policy_delay=2,
        actor_start=4,
        critic_optimizer=optax.radam(1e-2),
        actor_optimizer=optax.radam(1e-2),
        world_model_optimizer=optax.adam(1e-2),
    )


@cache
def real() -> Programs:
    return programs_of(make_agent(real_config(), Spec(4, 2)))


def host(tree: Any) -> list[np.ndarray]:
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(tree)
    ]


def assert_same(x: Any, y: Any) -> None:
    for a, b in zip(host(x), host(y), strict=True):
        np.testing.assert_array_equal(a, b)


def test_init_has_taken_no_step() -> None:
    state = idle().init(jax.random.key(0))
    assert (int(state.env_steps), int(state.replay.size), int(state.agent.step)) == (0, 0, 0)
    assert state.replay.data.s.shape == (SCHEDULE.replay_capacity, 4)
    assert state.replay.data.a.shape == (SCHEDULE.replay_capacity, 2)
    assert state.episodes.state.obs.shape == (SCHEDULE.num_envs, 4)


def test_warm_up_counts_records_and_prepares() -> None:
    state = idle().warm()
    assert int(state.env_steps) == int(state.replay.size) == SCHEDULE.warmup_steps
    assert int(state.agent.step) == SCHEDULE.warmup_updates
    assert float(state.agent.params.world_model) == SCHEDULE.warmup_steps  # what prepare was given
    a = np.asarray(state.replay.data.a[: SCHEDULE.warmup_steps])
    assert np.all(np.abs(a) <= 1)
    assert len(np.unique(a)) == a.size
    np.testing.assert_array_equal(state.replay.data.a[SCHEDULE.warmup_steps :], 0.0)


def test_parts_are_prepared_from_whole_windows_alone() -> None:
    programs, schedule = idle(), SCHEDULE._replace(n_step=3)
    state, _ = programs.advance(programs.init(jax.random.key(0)), jnp.int32(4), loop.RECORD)
    prepared = loop.fit_normalizer(idle_agent(), schedule, state)
    assert float(prepared.agent.params.world_model) == 8 - 2 * 2  # the last two steps of both environments begin none


@pytest.mark.parametrize("iterations", [1, 4])
def test_learning_counts(iterations: int) -> None:
    start = idle().warm()
    state, _ = idle().learn(start, iterations)
    steps = SCHEDULE.warmup_steps + iterations * SCHEDULE.num_envs
    assert int(state.env_steps) == int(state.replay.size) == steps
    assert int(state.agent.step) == SCHEDULE.warmup_updates + iterations * SCHEDULE.updates


def test_scalars_are_means_over_the_updates_that_reported() -> None:
    _, scalars = idle().learn(idle().warm(), 3)
    steps = range(4, 10)
    assert float(scalars["step"]) == pytest.approx(np.mean(steps))
    assert float(scalars["even"]) == pytest.approx(np.mean([step for step in steps if step % 2 == 0]))
    assert np.isnan(float(scalars["never"]))


def test_replay_holds_what_was_played() -> None:
    state, _ = idle().learn(idle().warm(), 7)
    assert int(state.replay.size) == SCHEDULE.replay_capacity == int(state.env_steps)
    data, env, count = state.replay.data, PointMass(num_locations=1), SCHEDULE.num_envs
    clipped = jnp.clip(data.a, -1.0, 1.0)
    s_next, r, _ = jax.vmap(env.simulate, in_axes=(0, 0, None))(data.s, clipped, jnp.int32(0))
    np.testing.assert_allclose(data.s_next, s_next, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(data.r, r, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(data.a[SCHEDULE.warmup_steps :], 2.0)
    np.testing.assert_array_equal(data.discount, 1.0)
    chained = np.all(np.asarray(data.s_next[:-count]) == np.asarray(data.s[count:]), axis=1).reshape(-1, count)
    ends = (np.arange(len(chained)) + 1) % SCHEDULE.episode_length == 0
    np.testing.assert_array_equal(chained, np.repeat(~ends[:, None], count, axis=1))
    np.testing.assert_array_equal(state.episodes.steps, [11 % 5] * count)


def test_two_halves_are_one_whole_bit_for_bit() -> None:
    learn, start = real().learn, real().warm()
    once, _ = learn(start, 6)
    half, _ = learn(start, 3)
    twice, _ = learn(half, 3)
    assert_same(once, twice)
    assert any(np.any(x != y) for x, y in zip(host(half.agent.params), host(once.agent.params), strict=True))


def test_same_seed_same_course() -> None:
    first, again, other = (real().warm(seed) for seed in (0, 0, 1))
    assert_same(first, again)
    assert np.any(np.asarray(first.replay.data.s) != np.asarray(other.replay.data.s))


def test_number_of_iterations_is_data_and_tracing_is_bounded() -> None:
    programs = programs_of(idle_agent())
    state = programs.warm()
    assert 1 <= programs.env.calls <= 4
    for iterations in (2, 5):
        state, _ = programs.learn(state, iterations)
    assert programs.env.calls <= 8
    calls = programs.env.calls
    programs.learn(state, 50)
    assert programs.env.calls == calls
    assert programs.advance._cache_size() == 1


def test_parts_are_fitted_to_the_warm_up() -> None:
    state = real().warm()
    s = np.asarray(state.replay.data.s[: SCHEDULE.warmup_steps])
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
    def act(params: Array, key: Key, s: Array) -> Array:
        return params * (s[1:] + 1)

    score = jax.jit(lambda params, key: evaluate(Falling(), act, params, key, episodes=40, length=4))
    result = score(jnp.float32(0.5), jax.random.key(0))
    lengths = np.asarray(result.lengths)
    assert set(lengths.tolist()) == {1.0, 2.0, 3.0, 4.0}
    assert np.sum(lengths == 4) > np.sum(lengths == 3)  # the time limit cuts three kinds of episodes
    np.testing.assert_allclose(result.returns, 0.5 * lengths * (lengths + 1) / 2)
    np.testing.assert_array_equal(score(jnp.float32(-1.0), jax.random.key(0)).lengths, lengths)
    assert np.any(np.asarray(score(jnp.float32(0.5), jax.random.key(1)).lengths) != lengths)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"total_steps": 0}, "train.total_steps must be at least 1, got 0"),
        ({"checkpoint_every": -1}, "train.checkpoint_every must not be negative, got -1"),
        ({"updates_per_step": 0.3}, "must be a whole number from 1 on, got 0.3 times 4"),
        ({"warmup_steps": 6}, "train.warmup_steps must be a multiple of train.num_envs, got 6 and 4"),
        ({"eval_every": 10}, "train.eval_every must be a multiple of train.num_envs, got 10 and 4"),
        ({"warmup_steps": 200}, "train.warmup_steps must not exceed train.total_steps"),
        ({"warmup_updates": 501}, "multiple of the updates per step of all environments, got 501 and 4"),
        ({"replay_capacity": 8}, "got 16, 100 and 8"),
        ({"warmup_steps": 4, "num_envs": 2}, "must be at least agent.n_step times train.num_envs, got 4, 3 and 2"),
    ],
)
def test_wrong_schedules_are_refused(wrong: dict[str, Any], message: str) -> None:
    numbers = {"total_steps": 100, "num_envs": 4, "warmup_steps": 16, "eval_every": 20}
    with pytest.raises(ValueError, match=message):
        TrainConfig(PointMass(), dataclasses.replace(real_config(), n_step=3), **{**numbers, **wrong})  # type: ignore[arg-type]
