"""Environments on the device with Gymnasium's interface: what its own checker asks for, and the same episodes."""

import jax
import numpy as np
import pytest
from brax.envs.base import Env
from gymnasium.utils.env_checker import check_env

from sobolev.environments import LQR, HostEnv, PointMass, as_gymnasium, exact
from sobolev.environments.host import HostEpisodes


@pytest.mark.filterwarnings("ignore:.*observation space m..imum value is -?infinity")
@pytest.mark.filterwarnings("ignore:.*not having a spec")
@pytest.mark.parametrize(
    "env", [PointMass(num_locations=2), LQR(num_masses=3, num_actuators=2), exact.riccati.make_riccati()], ids=type
)
def test_gymnasium_checks_it(env: Env) -> None:
    check_env(as_gymnasium(env, episode_length=5), skip_render_check=True)


def test_an_episode_is_that_of_the_environment() -> None:
    env = LQR(num_masses=3, num_actuators=2)
    wrapped, rng = as_gymnasium(env, episode_length=4), np.random.default_rng(0)
    observation, _ = wrapped.reset(seed=7)
    state = wrapped.unwrapped.state  # type: ignore[attr-defined]
    np.testing.assert_array_equal(observation, state.obs)
    for number in range(1, 5):
        a = rng.uniform(-1.0, 1.0, 2).astype(np.float32)
        state = jax.jit(env.step)(state, a)
        observation, reward, terminated, truncated, _ = wrapped.step(a)
        np.testing.assert_allclose(observation, state.obs, rtol=1e-6)
        assert reward == pytest.approx(float(state.reward), rel=1e-6)
        assert (terminated, truncated) == (False, number == 4)
    again, _ = wrapped.reset(seed=7)
    other, _ = wrapped.reset()
    assert np.any(again != other)


def test_a_termination_is_no_truncation() -> None:
    env = as_gymnasium(exact.alive_walk.make_alive_walk(), episode_length=200)
    env.reset(seed=0)
    steps = [env.step(np.ones(1, np.float32))]
    while not (steps[-1][2] or steps[-1][3]):
        steps.append(env.step(np.ones(1, np.float32)))
    assert len(steps) < 200
    assert steps[-1][2:4] == (True, False)


def test_there_and_back_again() -> None:
    """A host environment made of one on the device gives the same transitions as any other."""
    host = HostEnv(lambda: as_gymnasium(PointMass(num_locations=2), episode_length=3))
    episodes = HostEpisodes(host, count=2, length=9, key=np.array([0, 1], np.uint32))
    ends = [episodes.step(np.zeros((2, 2)))[1].tolist() for _ in range(3)]
    assert ends == [[False, False], [False, False], [True, True]]


def test_an_episode_has_a_step() -> None:
    with pytest.raises(ValueError, match="episode_length must be at least 1, got 0"):
        as_gymnasium(PointMass(), episode_length=0)
