"""The exactly solvable tasks as environments; the exact answers are tested in tests/theory/test_exact_answers.py."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.environments import SimulatorEnv, registry
from sobolev.types import Transition

pytestmark = pytest.mark.usefixtures("x64")

TASKS = ["affine_reward", "linear_quadratic", "multiplicative", "finite_noise", "weierstrass", "riccati", "alive_walk"]
NOISY = {"affine_reward", "linear_quadratic", "multiplicative", "finite_noise", "alive_walk"}
ARGUMENTS: dict[str, dict[str, Any]] = {"riccati": {"sigma": 0.1}, "finite_noise": {"state_size": 3, "action_size": 2}}


def make(name: str) -> SimulatorEnv:
    return registry.make(name, **ARGUMENTS.get(name, {}))


@pytest.mark.parametrize("name", TASKS)
def test_actions_are_clipped(name: str) -> None:
    env = make(name)
    state = env.reset(jax.random.key(0))
    step, size = jax.jit(env.step), env.action_size
    far, bound = step(state, jnp.full(size, -7.5)), step(state, jnp.full(size, -1.0))
    np.testing.assert_array_equal(far.obs, bound.obs)
    assert float(far.reward) == float(bound.reward)


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


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("affine_reward", {"spread": 0.0}, r"spread.*0\.0"),
        ("multiplicative", {"low": 1.0, "high": 1.0}, r"low.*high.*1\.0.*1\.0"),
        ("finite_noise", {"num_noises": 0}, r"num_noises.* 1.* 0"),
        ("weierstrass", {"kappa": -1.0}, r"kappa.*-1\.0"),
        ("riccati", {"sigma": -0.1}, r"sigma.*-0\.1"),
        ("alive_walk", {"sigma": 0.0}, r"sigma.*0\.0"),
    ],
)
def test_meaningless_numbers_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        registry.make(name, **arguments)
