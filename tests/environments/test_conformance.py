"""What every environment of the registry promises, and one that is not in it, as a stranger would write it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

from sobolev import environments
from sobolev.types import Transition

KEY = jax.random.key(0)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "brax": {"name": "inverted_pendulum", "full_state": True},  # of Brax's tasks the one that compiles fastest
    "finite_noise": {"state_size": 3, "action_size": 2},
    "lqr": {"num_masses": 4, "num_actuators": 3},
    "riccati": {"sigma": 0.1},
}
WITHOUT_SIMULATOR = {"stranger"}
ON_HOST = {"gymnasium"}  # stepped by Python: tests/environments/test_host.py


class Stranger(Env):
    """A random walk that ends beyond 2; the state is hidden behind a square root."""

    def reset(self, rng: jax.Array) -> State:
        key, key_start = jax.random.split(rng)
        zero = jnp.zeros(())
        return self._observe(State(jax.random.uniform(key_start, (3,)), jnp.zeros(3), zero, zero, {}, {"key": key}))

    def step(self, state: State, action: jax.Array) -> State:
        key, key_noise = jax.random.split(state.info["key"])
        s = state.pipeline_state + 0.1 * jax.random.normal(key_noise, (3,)) + jnp.sum(jnp.clip(action, -1.0, 1.0))
        done = (jnp.abs(s[0]) > 2.0).astype(jnp.float32)
        return self._observe(state.replace(pipeline_state=s, reward=-jnp.sum(s**2), done=done, info={"key": key}))

    @staticmethod
    def _observe(state: State) -> State:
        return state.replace(obs=jnp.sqrt(jnp.abs(state.pipeline_state)))

    @property
    def observation_size(self) -> int:
        return 3

    @property
    def action_size(self) -> int:
        return 2

    @property
    def backend(self) -> str:
        return "none"


@pytest.fixture(scope="module", params=[*sorted(set(environments.registry.names()) - ON_HOST), "stranger"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def env(name: str) -> Env:
    return Stranger() if name == "stranger" else environments.registry.make(name, **ARGUMENTS.get(name, {}))


@pytest.fixture(scope="module")
def reset(env: Env) -> Callable[[jax.Array], State]:
    return jax.jit(env.reset)


@pytest.fixture(scope="module")
def step(env: Env) -> Callable[[State, jax.Array], State]:
    return jax.jit(env.step)


@pytest.fixture
def actions(env: Env) -> jax.Array:
    """``[6, A]``"""
    return jax.random.uniform(jax.random.key(1), (6, env.action_size), minval=-1.0)


def types(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def test_a_start_is_a_function_of_the_key(reset: Callable[[jax.Array], State]) -> None:
    start, again, other = (np.asarray(reset(key).obs) for key in (KEY, KEY, jax.random.key(9)))
    np.testing.assert_array_equal(start, again)
    assert np.any(start != other)


def test_sizes_and_types(env: Env, reset: Callable[..., State], step: Callable[..., State], actions: jax.Array) -> None:
    start = reset(KEY)
    for state in (start, step(start, actions[0])):
        assert state.obs.shape == (env.observation_size,)
        assert state.reward.shape == state.done.shape == ()
        assert state.obs.dtype == state.reward.dtype == state.done.dtype == jnp.float32
        assert float(state.done) in (0.0, 1.0)
        assert np.all(np.isfinite(state.obs))
        assert np.isfinite(state.reward)
    assert float(start.done) == 0.0


def test_a_step_keeps_the_structure_of_the_state(
    reset: Callable[..., State], step: Callable[..., State], actions: jax.Array
) -> None:
    """So that steps can be scanned, and ``where`` can choose between a step and a restart."""
    start = reset(KEY)
    assert types(step(start, actions[0])) == types(start)


def test_steps_are_a_function_of_the_state(
    reset: Callable[..., State], step: Callable[..., State], actions: jax.Array
) -> None:
    state = step(reset(KEY), actions[0])
    one, again = step(state, actions[1]), step(state, actions[1])
    np.testing.assert_array_equal(one.obs, again.obs)
    assert float(one.reward) == float(again.reward)
    assert np.any(np.asarray(step(state, -actions[1]).obs) != np.asarray(one.obs))


def test_a_batch_is_one_by_one(
    env: Env, reset: Callable[..., State], step: Callable[..., State], actions: jax.Array
) -> None:
    keys = jax.random.split(KEY, 3)
    after = jax.jit(lambda keys, a: jax.vmap(env.step)(jax.vmap(env.reset)(keys), a))(keys, actions[:3])
    for row, key in enumerate(keys):
        alone = step(reset(key), actions[row])
        np.testing.assert_allclose(after.obs[row], alone.obs, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(after.reward[row], alone.reward, rtol=1e-4, atol=1e-5)


def test_later_steps_compile_nothing(reset: Callable[..., State], env: Env, actions: jax.Array) -> None:
    traces = []

    @jax.jit
    def step(state: State, a: jax.Array) -> State:
        traces.append(a.shape)
        return env.step(state, a)

    state = step(step(reset(KEY), actions[0]), actions[1])
    first = len(traces)
    step(step(state, actions[2]), actions[3])
    assert len(traces) == first <= 2  # Brax's first state differs from the later ones in weak types


def test_the_simulator_is_the_step(
    name: str, env: Env, reset: Callable[..., State], step: Callable[..., State], actions: jax.Array
) -> None:
    """At the noise that ``infer`` reads off a transition the simulator gives what followed."""
    simulator = getattr(env, "simulator", None)
    assert (simulator is None) == (name in WITHOUT_SIMULATOR)
    if simulator is None:
        return

    @jax.jit
    def simulated(recorded: Transition) -> tuple[jax.Array, jax.Array, jax.Array]:
        return simulator.simulate(recorded.s, recorded.a, simulator.infer(jax.random.key(2), recorded))

    state = reset(KEY)
    for a in actions:
        before, state = state, step(state, a)
        s_next, r, c = simulated(Transition(before.obs, a, state.reward, 1.0 - state.done, state.obs))
        np.testing.assert_allclose(s_next, state.obs, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(r, state.reward, rtol=1e-4, atol=1e-4)
        assert float(c) == 1.0 - float(state.done)
        if state.done:
            break


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"environment.*'point_mas'.*'point_mass'"):
        environments.registry.make("point_mas")
