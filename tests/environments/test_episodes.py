"""Ends, restarts and what is recorded of them, on an environment that counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

from sobolev.environments import episodes
from sobolev.types import Transition

COUNT = 3


class Counting(Env):
    """Observes (start, steps so far); the start is random, the reward is the step, and it ends after ``last`` steps."""

    def __init__(self, last: int) -> None:
        self.last = last

    def reset(self, rng: jax.Array) -> State:
        start = jax.random.uniform(rng)
        return State(None, jnp.array([start, 0.0]), jnp.zeros(()), jnp.zeros(()), {}, {"rng": rng})

    def step(self, state: State, action: jax.Array) -> State:
        count = state.obs[1] + 1
        obs = jnp.array([state.obs[0], count])
        return state.replace(obs=obs, reward=count + action[0], done=(count >= self.last).astype(jnp.float32))

    @property
    def observation_size(self) -> int:
        return 2

    @property
    def action_size(self) -> int:
        return 1

    @property
    def backend(self) -> str:
        return "none"


def play(
    last: int, length: int, steps: int, begin: tuple[int, ...] = (0,) * COUNT
) -> tuple[list[episodes.Episodes], Transition]:
    """All episodes states and, stacked ``[steps, COUNT]``, what was recorded; ``begin`` staggers the episodes."""
    env = Counting(last)
    step = jax.jit(lambda state, a: episodes.step(env, state, a, length))
    state = episodes.start(env, jax.random.key(0), COUNT)
    offset = jnp.array(begin)
    state = state._replace(
        steps=offset, state=state.state.replace(obs=state.state.obs.at[:, 1].set(offset.astype(jnp.float32)))
    )
    states, recorded = [state], []
    for i in range(steps):
        state, transition, _ = step(state, jnp.full((COUNT, 1), 0.25 * i))
        states.append(state)
        recorded.append(transition)
    return states, jax.tree.map(lambda *x: np.stack(x), *recorded)


def test_termination_keeps_the_final_observation_and_cuts_the_bootstrap() -> None:
    states, seen = play(last=4, length=100, steps=9)
    np.testing.assert_array_equal(seen.s[:, :, 1], np.tile(np.array([0, 1, 2, 3, 0, 1, 2, 3, 0.0])[:, None], COUNT))
    np.testing.assert_array_equal(seen.s_next[:, :, 1], seen.s[:, :, 1] + 1)
    np.testing.assert_array_equal(seen.s_next[:, :, 0], seen.s[:, :, 0])
    np.testing.assert_array_equal(seen.discount[:, 0], [1, 1, 1, 0, 1, 1, 1, 0, 1])
    np.testing.assert_array_equal([state.steps[0] for state in states], [0, 1, 2, 3, 0, 1, 2, 3, 0, 1])


def test_time_limit_keeps_the_final_observation_and_the_bootstrap() -> None:
    states, seen = play(last=100, length=3, steps=7)
    np.testing.assert_array_equal(seen.s[:, 0, 1], [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(seen.s_next[:, 0, 1], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(seen.discount, np.ones((7, COUNT)))
    np.testing.assert_array_equal([state.steps[0] for state in states], [0, 1, 2, 0, 1, 2, 0, 1])


def test_a_restart_is_no_termination() -> None:
    env = Counting(last=4)
    state, told = episodes.start(env, jax.random.key(0), COUNT), jnp.arange(COUNT) == 1
    state, seen, last = episodes.step(env, state, jnp.zeros((COUNT, 1)), 100, told)
    np.testing.assert_array_equal(last, told)
    np.testing.assert_array_equal(seen.discount, np.ones(COUNT))
    np.testing.assert_array_equal(seen.s_next[:, 1], np.ones(COUNT))
    np.testing.assert_array_equal(state.steps, np.where(told, 0, 1))
    np.testing.assert_array_equal(state.state.obs[:, 1], np.where(told, 0, 1))
    assert float(state.state.obs[1, 0]) != float(seen.s[1, 0])


def test_termination_at_the_time_limit_is_a_termination() -> None:
    _, seen = play(last=3, length=3, steps=6)
    np.testing.assert_array_equal(seen.discount[:, 0], [1, 1, 0, 1, 1, 0])


def test_rewards_and_actions_are_those_of_the_step() -> None:
    _, seen = play(last=4, length=100, steps=6)
    np.testing.assert_array_equal(seen.a[:, 0, 0], 0.25 * np.arange(6))
    np.testing.assert_array_equal(seen.r[:, 0], np.array([1, 2, 3, 4, 1, 2]) + 0.25 * np.arange(6))


@pytest.mark.parametrize(("last", "length"), [(3, 100), (100, 3)])
def test_every_episode_has_a_start_of_its_own(last: int, length: int) -> None:
    _, seen = play(last, length, steps=12)
    starts = seen.s[::3, :, 0]
    assert len(np.unique(starts)) == starts.size
    np.testing.assert_array_equal(np.repeat(starts, 3, axis=0), seen.s[:, :, 0])


def test_consecutive_steps_chain_except_over_an_end() -> None:
    states, seen = play(last=5, length=4, steps=20, begin=(0, 1, 3))
    for t in range(19):
        for e in range(COUNT):
            chained = np.array_equal(seen.s_next[t, e], seen.s[t + 1, e])
            assert chained == (int(states[t + 1].steps[e]) != 0)


def test_episodes_end_one_by_one_and_leave_the_others_alone() -> None:
    states, seen = play(last=4, length=100, steps=4, begin=(0, 1, 3))
    np.testing.assert_array_equal(
        [state.steps for state in states], [[0, 1, 3], [1, 2, 0], [2, 3, 1], [3, 0, 2], [0, 1, 3]]
    )
    np.testing.assert_array_equal(seen.discount, [[1, 1, 0], [1, 1, 1], [1, 0, 1], [0, 1, 1]])
    assert len(np.unique(seen.s[:, 0, 0])) == 1
    assert len(np.unique(seen.s[:, 1, 0])) == len(np.unique(seen.s[:, 2, 0])) == 2


def test_fresh_state_replaces_every_leaf() -> None:
    states, _ = play(last=2, length=100, steps=2)
    before, after = (np.asarray(jax.random.key_data(states[i].state.info["rng"])) for i in (1, 2))
    assert np.all(np.any(before != after, axis=1))
    np.testing.assert_array_equal(states[2].state.done, np.zeros(COUNT))


def test_same_key_same_starts() -> None:
    starts = [episodes.start(Counting(3), jax.random.key(seed), COUNT).state.obs for seed in (0, 0, 1)]
    np.testing.assert_array_equal(starts[0], starts[1])
    assert not np.any(np.asarray(starts[0][:, 0]) == np.asarray(starts[2][:, 0]))
