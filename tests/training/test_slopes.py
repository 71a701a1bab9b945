"""The slope audit against closed forms, sums by hand, and MuJoCo set to a state."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.wrappers import TimeLimit

import sobolev
from sobolev import actors, critics, metrics, world_models
from sobolev.agent import Agent, AgentState, make_agent, updates
from sobolev.environments import HostEnv, SimulatorEnv, exact, make_gymnasium
from sobolev.environments.exact import linear_quadratic
from sobolev.environments.exact.common import uniform_start
from sobolev.environments.exact.linear_quadratic import LinearQuadratic
from sobolev.policy import policy_path, save_policy
from sobolev.training import TrueSlopes, audit, slopes, true_slopes
from sobolev.types import Array, Simulator, Spec, Transition
from tests.helpers import tiny_agent

GAMMA, S, A = 0.8, 3, 2
RNG = np.random.default_rng(5)
F, G, E = 0.5 * np.eye(S) + 0.1 * RNG.normal(size=(S, S)), 0.3 * RNG.normal(size=(S, A)), 0.2 * RNG.normal(size=(S, S))
Q, R, N = -np.diag([1.0, 0.5, 2.0]), np.array([[-0.3, 0.05], [0.05, -0.2]]), 0.1 * RNG.normal(size=(S, A))
GAIN = 0.2 * RNG.normal(size=(A, S))
LONG = 60  # GAMMA^LONG is below 1e-5


def linear(s: Any) -> Any:
    """The policy ``a = GAIN s`` of many states."""
    return s @ GAIN.T.astype(np.float32)


def task(noise: float) -> LinearQuadratic:
    return LinearQuadratic(*(jnp.asarray(x, jnp.float32) for x in (F, G, noise * E, Q, R, N)))


def linear_env(noise: float) -> SimulatorEnv:
    return SimulatorEnv(linear_quadratic.simulator(task(noise)), uniform_start(S, 1.0), A)


def moments(noise: float, s: Any, a: Any) -> exact.linear.JointMoments:
    at = linear_quadratic.fixed_point(task(noise), jnp.asarray(GAIN, jnp.float32), GAMMA)
    return linear_quadratic.joint_moments(task(noise), GAMMA, at, jnp.asarray(s), jnp.asarray(a))


def exact_q(noise: float) -> slopes.ActionValue:
    return lambda s, a: moments(noise, s, a).mean[0]


def exact_slopes(noise: float, truth: TrueSlopes) -> np.ndarray:
    return np.stack([moments(noise, s, a).mean[1 : 1 + A] for s, a in zip(truth.s, truth.a, strict=True)])


@pytest.fixture(scope="module")
def truth() -> TrueSlopes:
    """Of the linear system without noise."""
    return true_slopes(linear_env(0.0), linear, GAMMA, length=7, num_states=5, horizon=LONG, num_draws=1)


@pytest.fixture(scope="module")
def noisy() -> TrueSlopes:
    """Of the linear system with noise, by many draws."""
    return true_slopes(linear_env(1.0), linear, GAMMA, length=7, num_states=5, horizon=LONG, num_draws=1_500, seed=3)


def test_slopes_are_those_of_the_closed_form(truth: TrueSlopes) -> None:
    np.testing.assert_allclose(truth.a, linear(truth.s), rtol=1e-5)
    np.testing.assert_allclose(truth.slope, exact_slopes(0.0, truth), rtol=2e-4, atol=2e-5)
    assert np.all(np.isnan(truth.error))  # of one draw
    assert len(np.unique(np.asarray(truth.s).round(5), axis=0)) == 5


def test_noise_is_averaged_and_its_error_told(noisy: TrueSlopes) -> None:
    spreads = [
        np.sqrt(np.diag(moments(1.0, s, a).covariance)[1 : 1 + A]) for s, a in zip(noisy.s, noisy.a, strict=True)
    ]
    # At fixed noise the slope has the spread of d_a Z: without common noise it would be that of the return, over h.
    np.testing.assert_allclose(noisy.error, np.array(spreads) / np.sqrt(1_500), rtol=0.1)
    deviations = (np.asarray(noisy.slope) - exact_slopes(1.0, noisy)) / np.asarray(noisy.error)
    assert np.max(np.abs(deviations)) < 4.5
    assert np.std(deviations) > 0.3
    expected = np.sqrt(np.sum(np.square(noisy.error)) / np.sum(np.square(noisy.slope)))
    assert noisy.relative_error == pytest.approx(expected, rel=1e-4)


def test_audit_of_the_exact_critic_and_of_a_wrong_one(truth: TrueSlopes) -> None:
    q = exact_q(0.0)
    right, wrong = audit(q, truth), audit(lambda s, a: -2.0 * q(s, a), truth)
    for field in right:
        np.testing.assert_allclose(field, 1.0, rtol=1e-3)
    for field, value in zip(wrong, (-1.0, 2.0, -1.0, -2.0), strict=True):
        np.testing.assert_allclose(field, value, rtol=1e-3)
    assert right.cosine.shape == right.size.shape == (5,)


def test_the_default_horizon_leaves_a_thousandth() -> None:
    env = exact.riccati.make_riccati(spread=1.0)
    found = true_slopes(env, lambda s: 0.0 * s, GAMMA, length=4, num_states=2)
    # The state stays where the action has put it: slope -2 step s (gamma + gamma² + ...), less gamma^T of the sum.
    np.testing.assert_allclose(found.slope, -0.5 * 2.0 * found.s * (GAMMA - GAMMA**31) / (1 - GAMMA), rtol=1e-4)
    assert GAMMA**31 < 1e-3 < GAMMA**30
    with pytest.raises(ValueError, match=r"gamma.*horizon.*1\.0"):
        true_slopes(env, lambda s: 0.0 * s, 1.0, length=4)


def test_actions_at_the_bounds_are_moved_inside() -> None:
    env = exact.riccati.make_riccati(cost=2.5)
    found = true_slopes(env, jnp.sign, 0.0, length=4, num_states=6, step=0.1)
    np.testing.assert_allclose(found.a, 0.9 * np.sign(found.s), rtol=1e-6)
    assert {-1.0, 1.0} == set(np.sign(np.asarray(found.s)).ravel())
    np.testing.assert_allclose(found.slope, -2 * 2.5 * found.a, rtol=1e-4)  # of -2.5 a² where it was taken


def counter(s_end: float) -> SimulatorEnv:
    """Counts its steps, moved on by actions too; over at ``s_end``. Pays the count."""

    def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        s_next = s + 1.0 + a
        return s_next, s[0], (s_next[0] < s_end).astype(s.dtype)

    simulator = Simulator(lambda key: jnp.zeros(0), lambda key, transition: jnp.zeros(0), simulate)
    return SimulatorEnv(simulator, lambda key: jnp.zeros(1), action_size=1)


def test_states_are_spread_over_the_episodes_and_a_termination_ends_the_sum() -> None:
    still = partial(jnp.multiply, 0.0)
    found = true_slopes(counter(100.0), still, 0.5, length=13, num_states=5, horizon=3, step=0.2)
    np.testing.assert_array_equal(np.ravel(found.s), [0, 2, 5, 7, 10])
    np.testing.assert_allclose(found.slope, 0.5 + 0.25, rtol=1e-5)
    found = true_slopes(counter(3.1), still, 0.5, length=13, num_states=5, horizon=4, step=0.2)
    np.testing.assert_array_equal(np.ravel(found.s), [0, 2, 1, 3, 2])  # an episode has the states 0, 1, 2, 3
    # From 2: above, 2 and the end; below, 2 + 2.8 / 2 and the end. From 3: the end on both sides.
    s = np.ravel(found.s)
    np.testing.assert_allclose(np.ravel(found.slope)[s == 2], -0.5 * 2.8 / 0.4, rtol=1e-4)
    np.testing.assert_allclose(np.ravel(found.slope)[s == 3], 0.0, atol=1e-6)
    # From 1: 1 + 2.2 / 2 and the end; 1 + 1.8 / 2 + 2.8 / 4.
    np.testing.assert_allclose(np.ravel(found.slope)[s == 1], (1.1 - 0.9 - 0.7) / 0.4, rtol=1e-4)


def test_a_policy_from_a_file_serves_and_the_function_can_be_traced(truth: TrueSlopes, tmp_path: Path) -> None:
    act = lambda params, key, s: jnp.asarray(params) @ s  # noqa: E731
    save_policy(policy_path(tmp_path, 0), act, GAIN.astype(np.float32), S)
    numbers: dict[str, Any] = {"length": 7, "num_states": 5, "horizon": LONG, "num_draws": 1}
    found = true_slopes(linear_env(0.0), sobolev.load_policy(tmp_path), GAMMA, **numbers)
    np.testing.assert_allclose(found.slope, truth.slope, rtol=1e-4, atol=1e-5)
    traced = jax.jit(lambda gain: true_slopes(linear_env(0.0), lambda s: s @ gain.T, GAMMA, **numbers, seed=1))
    other = traced(GAIN.astype(np.float32))
    assert not np.any(np.asarray(other.s) == np.asarray(truth.s))
    np.testing.assert_allclose(other.slope, exact_slopes(0.0, other), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"step": 1.0}, r"step must be in \(0, 1\), got 1\.0"),
        ({"num_states": 0}, "num_states must be at least 1, got 0"),
        ({"num_draws": 0}, "num_draws must be at least 1, got 0"),
        ({"horizon": 0}, "horizon must be at least 1, got 0"),
        ({"gamma": 1.5, "horizon": 3}, r"gamma must be in \[0, 1\], got 1\.5"),
    ],
)
def test_wrong_numbers_are_refused(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        true_slopes(linear_env(0.0), linear, **{"gamma": GAMMA, "length": 7} | numbers)


def test_a_critic_of_another_shape_is_refused(truth: TrueSlopes) -> None:
    with pytest.raises(ValueError, match=r"a number.*got shape \[1\]"):
        audit(lambda s, a: a[:1], truth)


def test_a_summary_leaves_out_what_is_not_defined() -> None:
    truth = jnp.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    estimate = jnp.array([[6.0, 8.0], [1.0, 1.0], [0.0, 3.0], [0.0, -2.0]])
    found = slopes.summarize(slopes.compare(truth, estimate))
    assert found.states == 3
    assert (found.cosine, found.size) == pytest.approx((0.0, 2.0))
    assert (found.cosine_low, found.cosine_high) == pytest.approx((-1.0, 1.0))
    assert (found.size_low, found.size_high) == pytest.approx((1.0, 3.0))
    assert found.regression == pytest.approx((18 + 32 - 4) / (25 + 1 + 4))
    assert found.overall_cosine == pytest.approx(46 / np.sqrt(30 * (100 + 2 + 9 + 4)))
    nothing = slopes.summarize(slopes.compare(jnp.zeros((2, 2)), truth[:2]))
    assert nothing.states == 0
    assert np.isnan(nothing.cosine)


# On the host.


class LinearTask(gymnasium.Env):
    """The linear system without noise, its actions in [-2, 2]."""

    action_space = Box(-2.0, 2.0, (A,), np.float64)
    observation_space = Box(-np.inf, np.inf, (S,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.s = self.np_random.uniform(-1.0, 1.0, S)
        return self.s.copy(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        a = action / 2.0
        reward = self.s @ Q @ self.s + a @ R @ a + 2.0 * self.s @ N @ a
        self.s = F @ self.s + G @ a
        return self.s.copy(), float(reward), self.over(), False, {}

    def over(self) -> bool:
        return False


class Guarded(LinearTask):
    """Over where the first coordinate is small."""

    def over(self) -> bool:
        return bool(self.s[0] < 0.1)


class Forgetful(LinearTask):
    """Not a function of its seed."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return super().reset()


def by_hand(env: LinearTask, s: Any, a: Any, horizon: int) -> float:
    """The discounted return from a state and an action."""
    env.s, total = np.asarray(s, np.float64), 0.0
    for t in range(horizon):
        observation, reward, over, _, _ = env.step(2.0 * np.asarray(a, np.float64))
        total += GAMMA**t * reward
        a = GAIN @ observation
        if over:
            break
    return total


def differences(value: Callable[[np.ndarray], float], a: Any, step: float) -> np.ndarray:
    shifts = step * np.eye(len(a))
    return np.array([(value(a + shift) - value(a - shift)) / (2 * step) for shift in shifts])


def test_slopes_on_the_host_are_those_of_the_closed_form() -> None:
    found = true_slopes(HostEnv(LinearTask), linear, GAMMA, length=7, num_states=5, horizon=LONG)
    np.testing.assert_allclose(found.slope, exact_slopes(0.0, found), rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(found.a, linear(found.s), rtol=1e-5)
    np.testing.assert_allclose(audit(exact_q(0.0), found).cosine, 1.0, rtol=1e-4)
    again = true_slopes(HostEnv(LinearTask), linear, GAMMA, length=7, num_states=5, horizon=LONG)
    np.testing.assert_array_equal(again.slope, found.slope)


def test_a_time_limit_of_the_task_itself_ends_the_sum() -> None:
    env = HostEnv(lambda: TimeLimit(LinearTask(), 4))
    found = true_slopes(env, linear, GAMMA, length=4, num_states=4, horizon=9, step=0.1)
    for steps, (s, a, slope) in enumerate(zip(*found[:3], strict=True)):
        value = partial(by_hand, LinearTask(), s, horizon=4 - steps)
        np.testing.assert_allclose(slope, differences(value, np.asarray(a), 0.1), rtol=1e-4, atol=1e-6)


def test_on_the_host_a_termination_ends_the_sum_and_another_episode_follows() -> None:
    found = true_slopes(HostEnv(Guarded), linear, GAMMA, length=12, num_states=6, horizon=LONG, step=0.1)
    unguarded = []
    for s, a, slope in zip(*found[:3], strict=True):
        value = partial(by_hand, Guarded(), s, horizon=LONG)
        np.testing.assert_allclose(slope, differences(value, np.asarray(a), 0.1), rtol=1e-4, atol=1e-6)
        unguarded.append(differences(partial(by_hand, LinearTask(), s, horizon=LONG), np.asarray(a), 0.1))
    assert np.max(np.abs(found.slope - np.array(unguarded))) > 0.01


def test_what_the_host_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Forgetful does not repeat an episode .*reset\(seed=\.\.\.\)"):
        true_slopes(HostEnv(Forgetful), linear, GAMMA, length=7, num_states=3)
    with pytest.raises(ValueError, match=r"num_draws must be 1.*got 2"):
        true_slopes(HostEnv(LinearTask), linear, GAMMA, length=7, num_draws=2)


def test_slopes_of_mujoco_are_those_of_the_simulator_set_to_the_state() -> None:
    gain = 0.1 * np.random.default_rng(0).normal(size=(17, 6)).astype(np.float32)
    found = true_slopes(
        make_gymnasium("HalfCheetah-v5"), lambda s: np.tanh(s @ gain), 0.9, length=30, num_states=3, horizon=4
    )
    env: Any = gymnasium.make("HalfCheetah-v5").unwrapped

    def value(s: np.ndarray, a: np.ndarray) -> float:
        env.reset(seed=0)
        env.set_state(np.concatenate([[0.0], s[:8]]), s[8:])
        total = 0.0
        for t in range(4):
            observation, reward, _, _, _ = env.step(np.asarray(a, np.float32))
            total += 0.9**t * reward
            a = np.tanh(observation.astype(np.float32) @ gain)
        return total

    expected = [
        differences(partial(value, np.asarray(s, float)), np.asarray(a), 0.05)
        for s, a in zip(found.s, found.a, strict=True)
    ]
    np.testing.assert_allclose(found.slope, expected, rtol=0.01, atol=0.01)
    assert np.min(np.linalg.norm(found.slope, axis=1)) > 0.5


# Of an agent.


@cache
def agent_of(actor_value: str) -> tuple[Agent, AgentState]:
    """An agent whose critics have one value, and whose world model is the linear system itself."""
    config = tiny_agent(
        actor_value=actor_value,
        gamma=GAMMA,
        metric=metrics.Huber(),
        critic=partial(critics.make_deterministic, hidden_sizes=(4,)),
        world_model=world_models.make_known,
        overestimation="min",
        num_samples=1,
        num_critics=2,
    )
    agent = make_agent(config, Spec(S, A, simulator=linear_quadratic.simulator(task(0.0))))
    return agent, agent.init(jax.random.key(8))


@pytest.mark.parametrize("actor_value", ["mean", "min"])
def test_the_value_of_the_critics_is_what_the_actor_ascends(actor_value: str, truth: TrueSlopes) -> None:
    agent, state = agent_of(actor_value)
    found = []
    for s in truth.s:
        a = agent.act(state.params.actor, jax.random.key(0), s)
        zero = jnp.zeros(1)
        batch = Transition(s[None], a[None], zero, zero, s[None])
        objective = updates.actor_objective(agent.parts, state, state.params.actor, jax.random.key(1), batch)
        penalty = actors.decide(agent.parts.actor, state.params.actor, jax.random.key(0), s).auxiliary_loss
        found.append(slopes.critics_value(agent, state, s, a, jax.random.key(2)))
        np.testing.assert_allclose(found[-1], objective + penalty, rtol=1e-5)
    assert np.std(found) > 0


def test_the_model_is_unrolled_under_the_policy(truth: TrueSlopes) -> None:
    agent, state = agent_of("mean")
    key, s, a = jax.random.key(0), truth.s[2], truth.a[2]
    expected, weight, (at, action) = 0.0, 1.0, (np.asarray(s), np.asarray(a))
    for _ in range(3):
        expected += weight * float(at @ Q @ at + action @ R @ action + 2 * at @ N @ action)
        at, weight = (F @ at + G @ action).astype(np.float32), GAMMA * weight
        action = np.asarray(agent.act(state.params.actor, key, at))
    expected += weight * float(slopes.critics_value(agent, state, jnp.asarray(at), jnp.asarray(action), key))
    assert float(slopes.model_value(agent, state, s, a, key, steps=3)) == pytest.approx(expected, rel=1e-5)


def test_the_audit_of_an_agent_has_each_estimate(truth: TrueSlopes) -> None:
    agent, state = agent_of("mean")
    found = slopes.audit_agent(agent, state, truth, unrolled=(1, 30))
    assert list(found) == ["critics", "model 1", "model 30"]
    one = audit(partial(slopes.critics_value, agent, state, key=jax.random.key(0)), truth)
    np.testing.assert_allclose(found["critics"].cosine, one.cosine, rtol=1e-4)
    np.testing.assert_allclose(found["critics"].size, one.size, rtol=1e-4)
    with pytest.raises(ValueError, match=r"at least 1, got \[0\] and 8"):
        slopes.audit_agent(agent, state, truth, unrolled=(0,))
    of_policy = true_slopes(
        linear_env(0.0),
        jax.vmap(partial(agent.act, state.params.actor, jax.random.key(0))),
        GAMMA,
        length=7,
        num_states=5,
        horizon=LONG,
        num_draws=1,
    )
    unrolled = slopes.audit_agent(agent, state, of_policy, unrolled=(30,))["model 30"]
    np.testing.assert_allclose(unrolled.cosine, 1.0, rtol=1e-2)
    np.testing.assert_allclose(unrolled.size, 1.0, rtol=5e-2)
