"""The evaluation of policies on fixed episodes, against loops by hand."""

import jax
import numpy as np
import pytest

from sobolev.agent import make_agent
from sobolev.environments import HostEnv
from sobolev.environments.host import seed_of
from sobolev.training.evaluate import EVALUATION_SEED, FRESH_SEED, make_evaluator
from sobolev.types import Spec
from tests.helpers import tiny_agent
from tests.training.test_slopes import Guarded, counter


def test_on_the_host_returns_are_those_of_episodes_by_hand() -> None:
    agent = make_agent(tiny_agent(), Spec(3, 2))
    params = agent.init(jax.random.key(3)).params.actor
    found = make_evaluator(HostEnv(Guarded), agent, episodes=4, length=6)(params)
    act, expected = jax.jit(lambda s: agent.act(params, jax.random.key(0), s)), []
    for episode in range(4):
        env = Guarded()
        s, total, steps = env.reset(seed=seed_of(FRESH_SEED, episode))[0], 0.0, 0
        for _ in range(6):
            a = np.clip(np.asarray(act(s.astype(np.float32)), np.float64), -1.0, 1.0)
            s, reward, over, _, _ = env.step(2.0 * a)
            total, steps = total + reward, steps + 1
            if over:
                break
        expected.append((total, steps))
    np.testing.assert_allclose(np.stack(found, axis=1), expected, rtol=1e-4, atol=1e-5)
    assert len(set(found.lengths.tolist())) > 1


def test_a_termination_ends_an_episode_and_its_return() -> None:
    agent = make_agent(tiny_agent(), Spec(1, 1))
    params = agent.init(jax.random.key(3)).params.actor
    found = make_evaluator(counter(3.0), agent, episodes=2, length=9)(params)
    act, s, total, steps = jax.jit(lambda s: agent.act(params, jax.random.key(0), s)), np.zeros(1, np.float32), 0.0, 0
    while s[0] < 3.0 and steps < 9:
        s, total, steps = s + 1.0 + np.asarray(act(s)), total + s[0], steps + 1
    np.testing.assert_allclose(found.returns, [total] * 2, rtol=1e-5)
    assert found.lengths.tolist() == [steps] * 2
    assert 1 < steps < 9


def test_the_episodes_are_not_those_of_training() -> None:
    assert FRESH_SEED != EVALUATION_SEED


@pytest.mark.parametrize("name", ["episodes", "length"])
def test_wrong_numbers_are_told(name: str) -> None:
    agent = make_agent(tiny_agent(), Spec(1, 1))
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        make_evaluator(counter(3.0), agent, **{"episodes": 1, "length": 1, name: 0})
