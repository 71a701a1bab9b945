"""The unit of returns: the size of rewards, and that a scale leaves everything but the unit as it is."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sobolev import gradient_scales, metrics
from sobolev.agent import AgentConfig, AgentState, make_agent
from sobolev.agent.rewards import bound_of_returns, fitted_scale, size_of
from sobolev.training.slopes.agreement import critics_value, model_value
from sobolev.types import Array, Scalars, Transition
from tests.agent.test_agent import SPEC, transitions
from tests.helpers import assert_close, assert_same, tiny_agent

# A power of two, with which floats are multiplied without rounding.
FACTOR = 2.0**20

finite = st.floats(-(2.0**90), 2.0**90, width=32, allow_nan=False, allow_subnormal=False)


@given(st.lists(finite, min_size=7, max_size=7))
def test_the_size_is_the_root_mean_square_of_what_is_not_0(values: list[float]) -> None:
    nonzero = [value for value in values if value != 0.0]
    expected = math.sqrt(math.fsum(value**2 for value in nonzero) / len(nonzero)) if nonzero else 0.0
    np.testing.assert_allclose(float(size_of(jnp.array(values, jnp.float32))), expected, rtol=1e-4, atol=1e-37)


def test_what_is_not_finite_does_not_count() -> None:
    assert float(size_of(jnp.array([jnp.nan, 3.0, jnp.inf, 3.0, 0.0]))) == pytest.approx(3.0)
    assert float(fitted_scale(jnp.array([jnp.nan, 0.0]))) == 1.0


@given(st.lists(st.floats(-1.0, 1.0, allow_subnormal=False), min_size=1, max_size=60), st.floats(0.0, 0.99))
def test_no_return_is_beyond_the_bound_and_a_constant_reward_comes_to_it(values: list[float], gamma: float) -> None:
    total = abs(math.fsum(gamma**t * value for t, value in enumerate(values)))
    assert total <= bound_of_returns(np.array(values), gamma) * (1 + 1e-12)
    forever = math.fsum(gamma**t * 0.5 for t in range(4_000))
    assert bound_of_returns(np.full(3, -0.5), gamma) == pytest.approx(forever, rel=1e-9)


def test_bounds_are_those_of_each_seed_and_of_finite_rewards() -> None:
    r = np.array([[1.0, -3.0, np.nan], [np.inf, 0.5, 0.0]])
    np.testing.assert_allclose(bound_of_returns(r, discount=0.5), [6.0, 1.0])
    assert np.all(np.isinf(bound_of_returns(r, discount=1.0)))


def learned(config: AgentConfig, factor: float, updates: int = 4) -> tuple[AgentState, Scalars]:
    """After some updates on rewards that are so many times as large."""
    agent = make_agent(config, SPEC)
    update = jax.jit(agent.update)

    def batch(seed: int, count: int = 6) -> Transition:
        found = transitions(seed, count)
        return found._replace(r=factor * found.r)

    state = jax.jit(agent.fit_normalizers)(agent.init(jax.random.key(0)), batch(9, 20))
    for seed in range(updates):
        state, scalars = update(state, batch(seed))
    return state, scalars


@pytest.mark.parametrize("gradient", ["action", "state_action"])
def test_rewards_in_another_unit_are_learned_alike(gradient: Any) -> None:
    """Rewards of 2^20 under a scale of 2^-20 teach critics and actor what rewards of 1 do, up to rounding."""
    config: dict[str, Any] = {"gradient": gradient, "metric": metrics.MSMMD(), "policy_delay": 1, "actor_start": 0}
    plain, scalars = learned(tiny_agent(**config, reward_scale=1.0), 1.0)
    other, of_other = learned(tiny_agent(**config, reward_scale=1.0 / FACTOR), FACTOR)
    for part in ("critics", "actor"):
        assert_close(getattr(plain.params, part), getattr(other.params, part), rtol=1e-3, atol=1e-5)
    for name in ("critic_mean", "critic_std", "target_mean", "action_gradient_norm", "action_gradient_target_norm"):
        np.testing.assert_allclose(float(of_other[name]) / FACTOR, float(scalars[name]), rtol=1e-3, atol=1e-5)


def test_without_it_a_large_unit_is_another_task() -> None:
    plain, _ = learned(tiny_agent(), 1.0, updates=1)
    other, _ = learned(tiny_agent(), FACTOR, updates=1)
    with pytest.raises(AssertionError):
        assert_close(plain.params.critics, other.params.critics, rtol=1e-3, atol=1e-5)


def test_a_scale_is_fitted_to_the_warm_up_and_stays() -> None:
    state, _ = learned(tiny_agent(reward_scale="fitted"), FACTOR)
    r = np.asarray(transitions(9, 20).r, np.float64) * FACTOR
    np.testing.assert_allclose(float(state.reward_scale), 1.0 / np.sqrt(np.mean(r**2)), rtol=1e-5)
    unscaled, _ = learned(tiny_agent(), 1.0, updates=1)
    assert float(unscaled.reward_scale) == 1.0


def test_none_is_exactly_one() -> None:
    assert_same(learned(tiny_agent(), 1.0), learned(tiny_agent(reward_scale=1.0), 1.0))


def test_slopes_and_values_are_in_the_tasks_unit() -> None:
    agent = make_agent(tiny_agent(reward_scale=0.25), SPEC)
    state = agent.init(jax.random.key(0))
    s, a, key = jnp.ones(3), jnp.full(2, 0.3), jax.random.key(1)

    def value(state: AgentState) -> Array:
        return critics_value(agent, state, s, a, key)

    in_unit = state._replace(reward_scale=jnp.float32(1.0))
    np.testing.assert_allclose(value(state), 4.0 * value(in_unit), rtol=1e-6)

    def imagined(state: AgentState) -> Array:
        return model_value(agent, state, s, a, key, steps=2)

    # Rewards of the model in the task's unit, and four times what the critics say of the state behind them.
    free = jax.tree.map(jnp.zeros_like, state.params.critics)
    rewards = imagined(state._replace(params=state.params._replace(critics=free)))
    rewards_again = imagined(in_unit._replace(params=state.params._replace(critics=free)))
    np.testing.assert_allclose(rewards, rewards_again, rtol=1e-5)
    np.testing.assert_allclose(imagined(state) - rewards, 4.0 * (imagined(in_unit) - rewards), rtol=1e-3, atol=1e-5)


def test_the_balance_of_gradients_does_not_depend_on_the_unit() -> None:
    config = {"gradient_scale": gradient_scales.Balanced(largest=1e9)}
    scales = [
        learned(tiny_agent(**config, reward_scale=1.0 / factor), factor, updates=1)[1]["action_gradient_scale"]
        for factor in (1.0, FACTOR)
    ]
    np.testing.assert_allclose(*map(float, scales), rtol=1e-3)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan, "fited"])
def test_what_is_no_scale_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"reward.scale"):
        AgentConfig(reward_scale=wrong)
