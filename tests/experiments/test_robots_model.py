"""Differences of MuJoCo's step, and the comparison with them."""

import jax
import numpy as np
import pytest

from experiments.lib.derivatives import Jacobian
from experiments.robots_model import Simulation, agreements, normalized
from sobolev.types import Transition


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation()


def test_steps_from_an_observation_are_those_of_an_episode(simulation: Simulation) -> None:
    env, rng = simulation.env, np.random.default_rng(0)
    s, _ = env.reset(seed=0)
    states, actions, outcomes = [], [], []
    for _ in range(60):
        a = rng.uniform(-1.0, 1.0, 6)
        s_next, r, *_ = env.step(a)
        states.append(s)
        actions.append(a)
        outcomes.append(np.append(s_next, r))
        s = s_next
    again = [simulation.step(s, a) for s, a in zip(states, actions, strict=True)]
    np.testing.assert_allclose(again, outcomes, atol=1e-4)


def test_the_reward_has_the_slopes_of_the_step(simulation: Simulation) -> None:
    """In the air, from rest: no action, no reward; and the speed is a state, which the reward follows one to one."""
    s = np.zeros(17)
    s[0] = 2.0  # m above the rest
    found = simulation.differences(s, np.full(6, 0.5), np.full(17, 1e-4), 1e-3)
    moved = [simulation.step(s, a)[-1] for a in (np.full(6, 0.501), np.full(6, 0.499))]
    np.testing.assert_allclose(found.reward_by_action.sum(), (moved[0] - moved[1]) / 0.002, rtol=1e-3)
    still = simulation.step(s, np.zeros(6))[-1]
    assert still == pytest.approx(0.0, abs=1e-6)
    assert found.reward_by_state[8] == pytest.approx(1.0, rel=1e-3)


def test_blocks_are_normalized_as_the_model_is() -> None:
    """Of t = W x in normalized units, whatever the units of the data."""
    rng = np.random.default_rng(1)
    s, a = rng.normal(size=(1000, 2)) * [3.0, 0.1], rng.uniform(-1, 1, (1000, 1))
    weights = rng.normal(size=(3, 3))
    change = np.concatenate([s, a], axis=1) @ weights.T
    data = Transition(s, a, change[:, 2], np.ones(1000), s + change[:, :2])
    blocks = Jacobian(weights[:2, :2], weights[:2, 2:], weights[2, :2], weights[2, 2:])
    found = normalized(jax.tree.map(lambda block: block[None], blocks), data)
    x, t = np.concatenate([s, a], axis=1), change
    expected = weights * x.std(axis=0) / t.std(axis=0)[:, None]
    np.testing.assert_allclose(found.next_by_state[0], expected[:2, :2], rtol=1e-4)
    np.testing.assert_allclose(found.next_by_action[0], expected[:2, 2:], rtol=1e-4)
    np.testing.assert_allclose(found.reward_by_state[0], expected[2, :2], rtol=1e-4)
    np.testing.assert_allclose(found.reward_by_action[0], expected[2, 2:], rtol=1e-4)


def test_agreement_by_hand() -> None:
    truth = Jacobian(*(np.array([[3.0, 4.0]]) for _ in range(4)))
    found = Jacobian(*(np.array([[6.0, 8.0]]) for _ in range(4)))
    rows = agreements("network", 5, 1, found, truth)
    assert [(point.block, value) for point, value in rows.items()] == [
        (block, (1.0, 1.0)) for block in Jacobian._fields
    ]
