"""Brax's tasks, and the simulator of those whose full state is observed."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State

from sobolev.environments import perturbations, registry
from sobolev.environments.point_mass import PointMass
from sobolev.types import Spec, Transition
from sobolev.world_models import make_known

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def reacher() -> Env:
    return registry.make("brax", name="reacher", full_state=True)


class Course(NamedTuple):
    """40 steps of reacher: the states before them, the transitions, and the outcomes in the known world model."""

    before: State
    recorded: Transition
    simulated: tuple[jax.Array, jax.Array, jax.Array]


@pytest.fixture(scope="module")
def course(reacher: Env) -> Course:
    model = make_known(Spec(8, 2, simulator=reacher.simulator))

    def step(state: State, key: jax.Array) -> tuple[State, Course]:
        key_a, key_n = jax.random.split(key)
        a = jax.random.uniform(key_a, (2,), minval=-1.0)
        after = reacher.step(state, a)
        recorded = Transition(state.obs, a, after.reward, 1.0 - after.done, after.obs)
        simulated = model.simulate((), state.obs, a, model.infer((), key_n, recorded))
        return after, Course(state, recorded, simulated)

    keys = jax.random.split(KEY, 40)
    return jax.jit(lambda: jax.lax.scan(step, reacher.reset(KEY), keys)[1])()


def test_full_state_is_observed_and_the_task_is_the_same(reacher: Env, course: Course) -> None:
    bare = registry.make("brax", name="reacher")

    @jax.jit
    def first_step(a: jax.Array) -> tuple[State, State]:
        start = bare.reset(KEY)
        return start, bare.step(start, a)

    start, after = first_step(course.recorded.a[0])
    body = course.before.pipeline_state
    np.testing.assert_array_equal(course.before.obs, np.concatenate([body.q, body.qd], axis=1))
    assert course.before.obs.shape == (40, reacher.observation_size) == (40, 8)
    np.testing.assert_allclose(body.q[:2], [start.pipeline_state.q, after.pipeline_state.q], rtol=1e-5, atol=1e-6)
    assert float(course.recorded.r[0]) == pytest.approx(float(after.reward), rel=1e-5)
    assert start.obs.shape == after.obs.shape == (11,)


def test_simulator_repeats_the_steps_of_an_episode(course: Course) -> None:
    """From [q, qd] alone, along an episode whose own state is carried from step to step."""
    recorded, (s_next, r, c) = course.recorded, course.simulated
    moved = np.abs(np.asarray(recorded.s_next - recorded.s))
    assert moved[:, [0, 1, 4, 5]].max(axis=0).min() > 0.05
    np.testing.assert_allclose(s_next, recorded.s_next, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(r, recorded.r, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(c, 1.0)


@pytest.fixture
def wide_pendulum() -> Iterator[Env]:
    """In double precision, constants included; of Brax's tasks the one whose derivative compiles fastest."""
    with jax.enable_x64(True):
        yield registry.make("brax", name="inverted_pendulum", full_state=True)


def check_derivative(env: Env, x: np.ndarray, split: int, differences: Callable[..., np.ndarray]) -> None:
    """The derivative of a random combination of [s', r], backwards, against central differences."""
    size = split + 1
    weights = jnp.array(np.random.default_rng(0).normal(size=size))

    def combined(x: jax.Array) -> jax.Array:
        s_next, r, _ = env.simulator.simulate(x[:split], x[split:], jnp.zeros(0))
        return weights @ jnp.append(s_next, r)

    both = jax.jit(jax.value_and_grad(combined))
    slope = both(jnp.array(x))[1]
    assert slope.dtype == jnp.float64
    assert np.all(np.abs(slope[split:]) > 1e-3)
    np.testing.assert_allclose(slope, differences(lambda x: both(x)[0], x), rtol=1e-5, atol=1e-7)


def test_simulator_has_the_derivatives_of_the_step(wide_pendulum: Env, differences: Callable[..., np.ndarray]) -> None:
    check_derivative(wide_pendulum, np.array([0.1, -0.05, 0.3, 0.2, 0.6]), 4, differences)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_simulator_of_the_reacher_has_the_derivatives_of_the_step(differences: Callable[..., np.ndarray]) -> None:
    env = registry.make("brax", name="reacher", full_state=True)
    check_derivative(env, np.array([0.3, -0.5, 0.1, 0.05, 0.4, -0.2, 0.0, 0.0, 0.3, -0.6]), 8, differences)


def test_simulator_ends_where_the_task_does(wide_pendulum: Env) -> None:
    """The pendulum falls beyond 0.2 radians: c = 1 - done, and the derivative of c is zero."""
    simulate = jax.jit(wide_pendulum.simulator.simulate)
    for angle, going_on in ((0.05, 1.0), (0.4, 0.0)):
        assert simulate(jnp.array([0.0, angle, 0.0, 0.0]), jnp.zeros(1), jnp.zeros(0))[2] == going_on


@pytest.mark.parametrize("backend", ["spring", "positional", "mjx"])
def test_full_state_is_that_of_the_generalized_backend(backend: str) -> None:
    with pytest.raises(ValueError, match=f"full_state.*'generalized'.*'{backend}'"):
        registry.make("brax", backend=backend, full_state=True)


@pytest.mark.parametrize("name", perturbations.registry.names())
def test_a_perturbed_environment_has_no_simulator(name: str, reacher: Env) -> None:
    """Though Brax's wrappers give access to the attributes of what they wrap."""
    for env in (reacher, PointMass()):
        assert env.simulator is not None
        assert perturbations.registry.make(name, env).simulator is None


def test_tasks_own_observation_has_no_simulator() -> None:
    assert not hasattr(registry.make("brax", name="reacher"), "simulator")
