"""The exactly solvable tasks as environments: one generic class, whose every step is a step of the simulator."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.environments import noises, registry
from sobolev.environments.simulated import SimulatorEnv
from sobolev.types import Simulator, Transition

TASKS = ["affine_reward", "linear_quadratic", "multiplicative", "finite_noise", "weierstrass", "riccati", "alive_walk"]
NOISY = {"affine_reward", "linear_quadratic", "multiplicative", "finite_noise", "alive_walk"}
ARGUMENTS: dict[str, dict[str, Any]] = {"riccati": {"sigma": 0.1}, "finite_noise": {"state_size": 3, "action_size": 2}}


def make(name: str) -> SimulatorEnv:
    return registry.make(name, **ARGUMENTS.get(name, {}))


@pytest.mark.parametrize("name", TASKS)
def test_every_step_is_one_of_the_simulator(name: str) -> None:
    """At the noise that ``infer`` reads off the transition; so that noise explains it, and actions are clipped."""
    env = make(name)
    state = jax.jit(env.reset)(jax.random.key(0))
    step, actions = jax.jit(env.step), jax.random.normal(jax.random.key(1), (6, env.action_size)) * 1.5
    for a in actions:
        before, state = state, step(state, a)
        bounded = jnp.clip(a, -1, 1)
        transition = Transition(before.obs, bounded, state.reward, 1 - state.done, state.obs)
        n = env.simulator.infer(jax.random.key(2), transition)
        s_next, r, c = env.simulator.simulate(before.obs, bounded, n)
        np.testing.assert_allclose(s_next, state.obs, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(r, state.reward, rtol=1e-4, atol=1e-5)
        assert float(c) == 1 - float(state.done)
        assert state.obs.shape == (env.observation_size,)
        np.testing.assert_array_equal(state.obs, state.pipeline_state)
        if state.done:
            break
    assert np.any(np.abs(actions) > 1)
    assert step._cache_size() == 1


@pytest.mark.parametrize("name", sorted(NOISY | {"riccati"}))
def test_noise_that_was_drawn_is_the_noise_that_is_inferred(name: str) -> None:
    simulator = make(name).simulator
    size, actions = make(name).observation_size, make(name).action_size
    for seed in range(5):
        keys = jax.random.split(jax.random.key(seed), 3)
        n = simulator.noise(keys[0])
        s, a = jax.random.normal(keys[1], (size,)), jax.random.normal(keys[2], (actions,))
        s_next, r, c = simulator.simulate(s, a, n)
        found = simulator.infer(jax.random.key(9), Transition(s, a, r, c, s_next))
        for drawn, inferred in zip(jax.tree.leaves(n), jax.tree.leaves(found), strict=True):
            np.testing.assert_allclose(inferred, drawn, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", TASKS)
def test_steps_are_random_where_the_task_is(name: str) -> None:
    env = registry.make(name)
    state = env.reset(jax.random.key(0))
    zero = jnp.zeros(env.action_size)
    outcomes = [
        env.step(state.replace(info={"simulator_key": jax.random.key(seed)}), zero).obs.tolist() for seed in range(5)
    ]
    assert (len(set(map(tuple, outcomes))) > 1) == (name in NOISY)
    starts = [env.reset(jax.random.key(seed)).obs.tolist() for seed in range(3)]
    assert len(set(map(tuple, starts))) == 3


def test_an_episode_ends_with_probability_1_minus_c() -> None:
    """c = 0.3 and both ends; the keys of noise and end are independent of each other and of the next step's."""
    simulator = Simulator(
        lambda key: jax.random.normal(key),
        lambda key, transition: jnp.zeros(()),
        lambda s, a, n: (s, jnp.zeros(()) + n, jnp.clip(s[0], 0.0, 1.0)),
    )
    env = SimulatorEnv(simulator, lambda key: jnp.array([0.3]), action_size=1)
    state, count = env.reset(jax.random.key(0)), 4000
    for c in (0.0, 0.3, 1.0):

        def step(key: Any, c: float = c) -> Any:
            return env.step(state.replace(pipeline_state=jnp.array([c]), info={"simulator_key": key}), jnp.zeros(1))

        after = jax.jit(jax.vmap(step))(jax.random.split(jax.random.key(1), count))
        done = np.asarray(after.done)
        assert abs(done.mean() - (1 - c)) <= 5 * np.sqrt(c * (1 - c) / count)
        if 0 < c < 1:
            assert abs(np.corrcoef(done, np.asarray(after.reward))[0, 1]) < 5 / np.sqrt(count)


def test_noise_of_the_observation_leaves_the_state_alone() -> None:
    """s' = s: what a wrapper does to the observation must not come back through the next step."""
    simulator = Simulator(
        lambda key: jnp.zeros(0), lambda key, _: jnp.zeros(0), lambda s, a, n: (s, s[0], jnp.ones(()))
    )
    env = noises.make("multiplicative_observation", SimulatorEnv(simulator, lambda key: jnp.array([2.0]), 1))
    state = env.reset(jax.random.key(0))
    for _ in range(3):
        state = env.step(state, jnp.zeros(1))
        assert float(state.reward) == 2.0
    assert float(state.obs[0]) != 2.0


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("affine_reward", {"spread": 0.0}, "spread must be positive, got 0.0"),
        ("multiplicative", {"low": 1.0, "high": 1.0}, "low must be less than high, got 1.0 and 1.0"),
        ("finite_noise", {"num_noises": 0}, "sizes must be at least 1, got 0, 2 and 1"),
        ("weierstrass", {"kappa": -1.0}, "kappa must be positive, got -1.0"),
        ("riccati", {"sigma": -0.1}, "sigma must not be negative, got -0.1"),
        ("alive_walk", {"sigma": 0.0}, "sigma must be positive, got 0.0"),
    ],
)
def test_meaningless_numbers_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        registry.make(name, **arguments)
