"""The point mass against its equations."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.environments import registry
from sobolev.environments.point_mass import Body, PointMass, locations
from sobolev.types import Spec, Transition
from sobolev.world_models import make_known

DT, FORCE, STIFFNESS, FRICTION, WIDTH = 0.2, 5.0, 4.0, 0.5, 0.3


NUMBERS = {"dt": DT, "force": FORCE, "stiffness": STIFFNESS, "friction": FRICTION, "width": WIDTH}


def recompute(s: np.ndarray, a: np.ndarray, place: int, places: int) -> tuple[np.ndarray, float]:
    p, v = s[:2], s[2:]
    v = (1 - FRICTION) * v + DT * (FORCE * a - STIFFNESS * p)
    p = p + DT * v
    angle = 2 * np.pi * place / places
    away = p - np.array([np.cos(angle), np.sin(angle)])
    return np.concatenate([p, v]), float(np.exp(-(away @ away) / (2 * WIDTH**2)) - 0.01 * (a @ a))


@pytest.fixture
def state_and_action() -> tuple[np.ndarray, np.ndarray]:
    return np.array([0.6, 0.4, -0.3, 0.8]), np.array([0.7, -0.2])


@pytest.mark.parametrize("place", [0, 1, 4])
def test_simulate_follows_the_equations(place: int, state_and_action: tuple[np.ndarray, np.ndarray]) -> None:
    s, a = state_and_action
    s_next, reward, going_on = PointMass(num_locations=5, **NUMBERS).simulate(
        jnp.array(s), jnp.array(a), jnp.array(place)
    )
    expected, expected_reward = recompute(s, a, place, places=5)
    np.testing.assert_allclose(s_next, expected, rtol=1e-5)
    assert float(reward) == pytest.approx(expected_reward, rel=1e-4)
    assert float(going_on) == 1.0


def test_step_is_simulate_at_a_random_place() -> None:
    env = PointMass(num_locations=8, **NUMBERS)
    state = env.reset(jax.random.key(3))
    a = np.array([0.5, -1.0])
    for _ in range(5):
        before, state = state, env.step(state, jnp.array(a))
        candidates = [recompute(np.asarray(before.obs, np.float64), a, place, places=8) for place in range(8)]
        np.testing.assert_allclose(state.obs, candidates[0][0], rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(state.obs, np.concatenate(state.pipeline_state))
        assert min(abs(float(state.reward) - reward) for _, reward in candidates) < 1e-5
        assert float(state.done) == 0.0


def test_actions_beyond_the_range_are_clipped() -> None:
    env = PointMass()
    state = env.reset(jax.random.key(0))
    far, bound = (env.step(state, jnp.array(a)) for a in ([3.0, -9.0], [1.0, -1.0]))
    np.testing.assert_array_equal(far.obs, bound.obs)
    assert float(far.reward) == float(bound.reward)


@pytest.mark.usefixtures("x64")
def test_jacobians_are_those_of_differences(
    state_and_action: tuple[np.ndarray, np.ndarray], differences: Callable[..., np.ndarray]
) -> None:
    s, a = state_and_action
    env, place = PointMass(num_locations=8, **NUMBERS), jnp.array(1)

    def joined(x: Any) -> jax.Array:
        s_next, reward, _ = env.simulate(x[:4], x[4:], place)
        return jnp.concatenate([s_next, reward[None]])

    x = np.concatenate([s, a])
    jacobian = jax.jacobian(joined)(jnp.array(x))
    assert jacobian.dtype == jnp.float64
    np.testing.assert_allclose(jacobian, differences(joined, x), rtol=1e-6, atol=1e-9)
    assert np.all(np.abs(jacobian[4]) > 1e-4)


def test_expected_reward_is_the_mean_over_places() -> None:
    env, a, count = PointMass(num_locations=4, **NUMBERS), jnp.zeros(2), 20_000
    body = Body(jnp.array([0.9, 0.3]), jnp.array([0.5, 0.5]))
    state = env.reset(jax.random.key(0)).replace(pipeline_state=body, obs=jnp.concatenate(body))

    def reward(key: jax.Array) -> jax.Array:
        return env.step(state.replace(info={"point_mass_key": key}), a).reward

    rewards = np.asarray(jax.jit(jax.vmap(reward))(jax.random.split(jax.random.key(1), count)))
    each = [recompute(np.asarray(state.obs, np.float64), np.zeros(2), place, places=4)[1] for place in range(4)]
    assert rewards.mean() == pytest.approx(np.mean(each), abs=5 * np.std(each) / np.sqrt(count))
    nearest = np.argmin(np.abs(rewards[:, None] - np.array(each)), axis=1)
    assert np.all(np.abs(np.bincount(nearest, minlength=4) / count - 0.25) < 0.02)


def transition(env: PointMass, s: np.ndarray, a: np.ndarray, place: int) -> Transition:
    s_next, r, _ = env.simulate(jnp.array(s), jnp.array(a), jnp.array(place))
    return Transition(jnp.array(s), jnp.array(a), r, jnp.ones(()), s_next)


def test_inferred_place_is_the_one_that_paid(state_and_action: tuple[np.ndarray, np.ndarray]) -> None:
    """Where every place pays differently, so that the reward tells; through the known world model."""
    env = PointMass(num_locations=5, width=0.8)
    model = make_known(Spec(4, 2, simulator=env.simulator))
    infer = jax.jit(model.infer)
    for place in range(5):
        recorded = transition(env, *state_and_action, place)
        n = infer((), jax.random.key(place), recorded)
        assert int(n) == place
        s_next, r, c = model.simulate((), recorded.s, recorded.a, n)
        np.testing.assert_allclose(s_next, recorded.s_next, rtol=1e-6)
        assert float(r) == pytest.approx(float(recorded.r), abs=1e-6)
        assert float(c) == 1.0


def test_places_that_pay_the_same_are_equally_likely() -> None:
    """At the center, at rest, all places pay the same, and each is as likely as in the prior."""
    env, count = PointMass(num_locations=4), 4_000
    recorded = transition(env, np.zeros(4), np.zeros(2), place=2)
    n = jax.jit(jax.vmap(lambda key: env.simulator.infer(key, recorded)))(jax.random.split(jax.random.key(0), count))
    # A count has deviation sqrt(4000 / 4 · 3 / 4) = 27.
    np.testing.assert_allclose(np.bincount(n, minlength=4), count / 4, atol=5 * 27)


def test_places_that_pay_the_same_up_to_rounding_are_equally_likely() -> None:
    """On the diagonal between places 0 and 1 the distances are equal; in float32 the rewards differ by rounding."""
    env, count = PointMass(num_locations=4), 4_000
    infer = jax.jit(jax.vmap(env.simulator.infer, in_axes=(0, None)))
    likely = []
    for x in (0.3, 0.37, 0.45, 0.6):
        recorded = transition(env, np.array([x, x, 0.0, 0.0]), np.zeros(2), place=1)
        n = infer(jax.random.split(jax.random.key(0), count), recorded)
        likely.append(np.bincount(n, minlength=4) / count)
    # A share of a half has deviation 0.5 / sqrt(4000) = 0.008.
    np.testing.assert_allclose(likely, np.tile([0.5, 0.5, 0.0, 0.0], (4, 1)), atol=5 * 0.008)


def test_reward_that_no_place_explains_is_given_the_nearest(state_and_action: tuple[np.ndarray, np.ndarray]) -> None:
    env = PointMass(num_locations=5, width=0.8)
    rewards = np.array([float(transition(env, *state_and_action, place).r) for place in range(5)])
    recorded = transition(env, *state_and_action, 0)._replace(r=jnp.array(5.0))
    assert int(env.simulator.infer(jax.random.key(0), recorded)) == int(np.argmax(rewards))


def test_imagined_places_are_uniform() -> None:
    n = jax.vmap(PointMass(num_locations=4).simulator.noise)(jax.random.split(jax.random.key(0), 4_000))
    np.testing.assert_allclose(np.bincount(n, minlength=4), 1000, atol=5 * 27)


def test_one_place_leaves_nothing_to_chance() -> None:
    env, a = PointMass(num_locations=1), jnp.array([0.3, 0.1])
    state = env.reset(jax.random.key(0))
    stepped = [env.step(state.replace(info={"point_mass_key": jax.random.key(seed)}), a) for seed in (1, 2)]
    assert float(stepped[0].reward) == float(stepped[1].reward)
    np.testing.assert_array_equal(stepped[0].obs, stepped[1].obs)


def test_starts_are_at_rest_in_the_square() -> None:
    env = PointMass(spread=0.7)
    obs = np.asarray(jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 4_000)).obs)
    np.testing.assert_array_equal(obs[:, 2:], 0.0)
    assert np.abs(obs[:, :2]).max() <= 0.7
    np.testing.assert_allclose(obs[:, :2].std(axis=0), 0.7 / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(obs[:, :2].mean(axis=0), 0.0, atol=0.05)


def test_sizes_match_what_is_observed() -> None:
    env = registry.make("point_mass", num_locations=3)
    state = env.step(env.reset(jax.random.key(0)), jnp.zeros(env.action_size))
    assert state.obs.shape == (env.observation_size,)
    assert state.reward.shape == state.done.shape == ()


def numpy_location(place: int, places: int, m: int) -> np.ndarray:
    """Number by number: a circle for each pair of dimensions, and the sign of the place for an odd one."""
    c = np.zeros(m)
    for pair in range(m // 2):
        angle = 2 * np.pi * (pair + 1) * place / places
        c[2 * pair], c[2 * pair + 1] = np.sqrt(2 / m) * np.cos(angle), np.sqrt(2 / m) * np.sin(angle)
    if m % 2:
        c[-1] = (-1) ** place / np.sqrt(m)
    return c


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("m", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("places", [1, 5, 8])
def test_places_are_on_the_unit_sphere(m: int, places: int) -> None:
    found = locations(places, m)
    np.testing.assert_allclose(found, [numpy_location(place, places, m) for place in range(places)], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-12)
    if m > 1:
        apart = np.linalg.norm(found[:, None] - found, axis=-1)
        assert np.all(apart[~np.eye(places, dtype=bool)] > 0.4)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("m", "places"), [(2, 7), (4, 5), (6, 8), (3, 8), (5, 6)])
def test_places_are_alike(m: int, places: int) -> None:
    """Each has the others at the same distances, and they lie around the origin."""
    found = np.asarray(locations(places, m))
    apart = np.sort(np.linalg.norm(found[:, None] - found, axis=-1), axis=1)
    np.testing.assert_allclose(apart, np.tile(apart[0], (places, 1)), atol=1e-7)
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=1e-12)


def test_four_places_in_space_are_a_regular_tetrahedron() -> None:
    found = locations(num_locations=4, dimensions=3)
    np.testing.assert_allclose(found @ found.T, np.where(np.eye(4), 1.0, -1 / 3), atol=1e-6)


def test_places_in_the_plane_are_those_of_the_circle_to_the_last_bit() -> None:
    for places in (1, 3, 8, 11):
        angles = 2 * jnp.pi * jnp.arange(places) / places
        np.testing.assert_array_equal(locations(places, 2), jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("m", [1, 3, 6])
def test_steps_in_other_dimensions_follow_the_equations(m: int, differences: Callable[..., np.ndarray]) -> None:
    env, places, place, rng = PointMass(num_locations=5, dimensions=m, **NUMBERS), 5, 3, np.random.default_rng(m)
    c = numpy_location(place, places, m)
    p, v, a = c + 0.1 * rng.normal(size=m), 0.3 * rng.normal(size=m), rng.uniform(-1, 1, m)
    reward, squared = 0.0, 0.0
    expected = np.zeros(2 * m)
    for i in range(m):
        expected[m + i] = (1 - FRICTION) * v[i] + DT * (FORCE * a[i] - STIFFNESS * p[i])
        expected[i] = p[i] + DT * expected[m + i]
        squared += (expected[i] - c[i]) ** 2
        reward -= 0.01 * a[i] ** 2
    reward += np.exp(-squared / (2 * WIDTH**2))

    def joined(x: Any) -> jax.Array:
        s_next, r, _ = env.simulate(x[: 2 * m], x[2 * m :], jnp.array(place))
        return jnp.concatenate([s_next, r[None]])

    x = np.concatenate([p, v, a])
    np.testing.assert_allclose(joined(jnp.asarray(x)), [*expected, reward], rtol=1e-10)
    np.testing.assert_allclose(jax.jacobian(joined)(jnp.asarray(x)), differences(joined, x), rtol=1e-6, atol=1e-8)


def test_sizes_in_other_dimensions_are_those_of_the_point() -> None:
    env = registry.make("point_mass", dimensions=5, spread=0.7)
    start = env.reset(jax.random.key(0))
    state = env.step(start, jnp.array([0.5, -0.3, 9.0, 0.0, 1.0]))
    assert (env.observation_size, env.action_size) == (10, 5)
    assert state.obs.shape == (10,)
    assert [part.shape for part in state.pipeline_state] == [(5,), (5,)]
    np.testing.assert_array_equal(start.obs[5:], 0.0)
    assert np.all(np.abs(start.obs[:5]) <= 0.7)
    assert len(set(start.obs[:5].tolist())) == 5
    np.testing.assert_array_equal(state.obs, np.concatenate(state.pipeline_state))


@pytest.mark.parametrize(
    "wrong",
    [{"num_locations": 0}, {"dimensions": 0}, {"width": 0.0}, {"dt": -0.1}, {"friction": 1.5}, {"friction": -0.1}],
    ids=str,
)
def test_meaningless_numbers_are_refused(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        PointMass(**wrong)
