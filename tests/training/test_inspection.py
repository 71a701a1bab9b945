"""What is told of one episode, against loops by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import critics, metrics
from sobolev.agent import Agent, AgentState, make_agent
from sobolev.environments import HostEnv, PointMass
from sobolev.metrics import MSMMD, DirectionSearch
from sobolev.training import inspection, slopes
from sobolev.training.slopes.on_device import redraw
from sobolev.types import Array, Params, Spec, Transition
from tests.helpers import tiny_agent
from tests.training.test_slopes import (
    GAIN,
    GAMMA,
    LONG,
    F,
    G,
    Guarded,
    LinearTask,
    counter,
    differences,
    exact_slopes,
    linear,
    linear_env,
)


def test_discounted_returns_are_sums_by_hand() -> None:
    rewards, horizon = np.random.default_rng(0).normal(size=11), 4
    expected = [sum(0.7**k * rewards[t + k] for k in range(horizon)) for t in range(8)]
    np.testing.assert_allclose(inspection.discounted_returns(rewards, 0.7, horizon), expected, rtol=1e-12)


def test_an_episode_on_the_device_is_that_of_a_loop() -> None:
    env = PointMass(num_locations=3)
    found = inspection.record_episode(env, lambda s: -0.5 * s[:, :2], length=4, beyond=3, seed=2)
    state = env.reset(jax.random.key(2))
    for t in range(7):
        a = np.clip(-0.5 * state.obs[:2], -1.0, 1.0)
        if t < 4:
            np.testing.assert_allclose(found.s[t], state.obs, rtol=1e-5)
            np.testing.assert_allclose(found.at([t]).obs[0], state.obs, rtol=1e-5)
            np.testing.assert_allclose(found.a[t], -0.5 * state.obs[:2], rtol=1e-5)
        state = env.step(state, a)
        np.testing.assert_allclose(found.rewards[t], state.reward, rtol=1e-4, atol=1e-6)
        if t < 4:
            np.testing.assert_allclose(found.s_next[t], state.obs, rtol=1e-5)
    assert found.rewards.shape == (7,)
    assert found.discount.tolist() == [1.0] * 4
    assert found.goes_on


def test_a_termination_ends_an_episode_and_nothing_follows() -> None:
    found = inspection.record_episode(counter(3.0), lambda s: 0.0 * s, length=9, beyond=2, seed=0)
    assert found.s.ravel().tolist() == [0.0, 1.0, 2.0]
    assert found.discount.tolist() == [1.0, 1.0, 0.0]
    assert found.rewards.tolist() == [0.0, 1.0, 2.0, 0.0, 0.0]
    assert found.places.reward.shape == (3,)


def test_an_episode_on_the_host_can_be_come_to_again() -> None:
    env = HostEnv(LinearTask)
    found = inspection.record_episode(env, linear, length=5, beyond=LONG - 1, seed=1)
    for s, a, s_next in zip(found.s, found.a, found.s_next, strict=True):
        np.testing.assert_allclose(a, GAIN @ s, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(s_next, F @ s + G @ np.clip(a, -1, 1), rtol=1e-4, atol=1e-6)
    assert found.rewards.shape == (5 + LONG - 1,)
    assert found.goes_on
    truth = slopes.slopes_at(env, linear, GAMMA, found.at([0, 3]), horizon=LONG)
    np.testing.assert_allclose(truth.s, found.s[[0, 3]], rtol=1e-6)
    np.testing.assert_allclose(truth.slope, exact_slopes(0.0, truth), rtol=2e-4, atol=2e-5)
    over = inspection.record_episode(HostEnv(Guarded), linear, length=40, beyond=3, seed=1)
    assert over.discount[-1] == 0.0
    assert np.all(over.rewards[len(over.s) :] == 0.0)


def test_slopes_on_the_device_are_those_at_the_given_states() -> None:
    env = linear_env(0.0)
    found = inspection.record_episode(env, linear, length=5, beyond=0, seed=1)
    truth = slopes.slopes_at(env, linear, GAMMA, found.at([1, 4]), horizon=LONG, num_draws=1)
    np.testing.assert_allclose(truth.s, found.s[[1, 4]], rtol=1e-6)
    np.testing.assert_allclose(truth.slope, exact_slopes(0.0, truth), rtol=2e-4, atol=2e-5)


def test_rollouts_are_those_of_a_loop_under_the_redrawn_noise() -> None:
    env, gamma, horizon, draws = PointMass(num_locations=3), 0.8, 6, 4
    episode = inspection.record_episode(env, lambda s: -0.5 * s[:, :2], length=5, beyond=0, seed=2)
    places, first = episode.at([0, 3]), jnp.array([[0.3, -0.4], [0.9, 0.1]])
    found = inspection.rollout_returns(
        env, lambda s: -0.5 * s[:, :2], gamma, places, first, horizon=horizon, num_draws=draws
    )
    assert found.shape == (2, draws)
    step, redrawn = jax.jit(env.step), [redraw(places, jnp.int32(draw)) for draw in range(draws)]
    for k in range(2):
        for draw in range(draws):
            state, a, total = jax.tree.map(lambda x, k=k: x[k], redrawn[draw]), first[k], 0.0
            for t in range(horizon):
                state = step(state, a)
                total, a = total + gamma**t * float(state.reward), -0.5 * state.obs[:2]
            assert float(found[k, draw]) == pytest.approx(total, rel=1e-4, abs=1e-5)
    assert np.all(np.std(found, axis=1) > 0)
    ends = inspection.record_episode(counter(3.0), lambda s: 0.0 * s, length=9, beyond=0, seed=0)
    alike = inspection.rollout_returns(
        counter(3.0), lambda s: 0.0 * s, 0.5, ends.at([0, 2]), jnp.zeros((2, 1)), horizon=7, num_draws=5
    )
    np.testing.assert_allclose(alike, [[0.5 + 0.25 * 2] * 5, [2.0] * 5])  # an end after 3 steps


def agent_with(metric: metrics.Metric, scale: float) -> tuple[Agent, AgentState]:
    config = tiny_agent(
        metric=metric,
        gradient="action",
        num_critics=2,
        num_samples=3,
        reward_scale=scale,
        critic=partial(critics.make_fixed_quantile, hidden_sizes=(4,), num_quantiles=3),
    )
    agent = make_agent(config, Spec(4, 2))
    return agent, agent.init(jax.random.key(0))


def value_of(agent: Agent, params: Params, s: Array, level: float, a: np.ndarray) -> float:
    return float(agent.parts.critic.value(params, s, jnp.float32(a), jnp.float32(level)))


def test_samples_of_the_critics_are_in_the_tasks_unit_with_their_gradients() -> None:
    agent, state = agent_with(MSMMD(), scale=2.0)
    s, a = jax.random.normal(jax.random.key(1), (2, 4)), 0.3 * jnp.ones((2, 2))
    found = inspection.critic_samples(agent, state, s, a, jax.random.key(2), num_samples=3)
    assert found.shape == (2, 2 * 3, 3)
    for k in range(2):
        for c in range(2):
            params = jax.tree.map(lambda x, c=c: x[c], state.params.critics)
            for i, level in enumerate((1 / 6, 3 / 6, 5 / 6)):
                row, value = found[k, 3 * c + i], partial(value_of, agent, params, s[k], level)
                np.testing.assert_allclose(row[0], value(a[k]) / 2.0, rtol=1e-4, atol=1e-6)
                by_differences = differences(value, a[k], 1e-2)
                np.testing.assert_allclose(row[1:], by_differences / 2.0, rtol=0.05, atol=2e-3)


def test_the_direction_of_a_max_sliced_metric_is_that_of_the_largest_slice() -> None:
    metric = MSMMD(search=DirectionSearch(num_directions=64))
    agent, state = agent_with(metric, scale=2.0)
    s = jax.random.normal(jax.random.key(1), (2, 4))
    transitions = Transition(s, 0.3 * jnp.ones((2, 2)), jnp.array([5.0, -3.0]), jnp.ones(2), s)
    found = inspection.slicing(agent, state, transitions, jax.random.key(3))
    assert found is not None
    np.testing.assert_allclose(np.linalg.norm(found.direction, axis=1), 1.0, rtol=1e-5)
    x = inspection.critic_samples(agent, state, transitions.s, transitions.a, jax.random.key(4), num_samples=3)[:, :3]
    for k in range(2):  # levels are fixed: the samples are those of any key
        along = partial(sliced, np.asarray(x[k] * 2.0 * found.scales), np.asarray(found.target[k] * 2.0 * found.scales))
        others = np.random.default_rng(0).normal(size=(300, 3))
        largest = max(along(u / np.linalg.norm(u)) for u in others)
        assert along(np.asarray(found.direction[k])) > 0.97 * largest
    assert inspection.slicing(*agent_with(metrics.MMD(), 1.0), transitions, jax.random.key(3)) is None


def sliced(x: np.ndarray, y: np.ndarray, direction: np.ndarray) -> float:
    """The unbiased squared MMD of the multiquadric of the projections, by double loops."""
    x, y = x @ direction, y @ direction

    def kernel(u: float, v: float) -> float:
        return -float(np.sqrt(1.0 + (100.0 * (u - v)) ** 2))

    def within(z: np.ndarray) -> float:
        n = len(z)
        return sum(kernel(z[i], z[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    return within(x) + within(y) - 2 * float(np.mean([kernel(u, v) for u in x for v in y]))
