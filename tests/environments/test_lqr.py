"""Masses on springs, against dm_control's physics and solver, Newton's law, and rollouts."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dm_control.suite import lqr as suite
from dm_control.suite import lqr_solver

from sobolev.environments import LQR, registry
from sobolev.environments.exact import linear_quadratic

MASS = 4 / 3 * np.pi * 0.1**3 * 1000  # kg
SIZES = [(2, 1), (6, 2), (5, 5)]


def their_task(n: int, m: int, seed: int, cost: float = 0.1) -> Any:
    return suite._make_lqr(n, m, cost, time_limit=float("inf"), random=seed, environment_kwargs={})


def random_actions(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, size))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_springs_of_a_seed_are_those_of_dm_control(n: int, m: int) -> None:
    """The seeds differ, so that equal ones are not by chance."""
    for seed in (0, 7):
        springs = their_task(n, m, seed).physics.model.jnt_stiffness
        # A displacement of joint j alone pulls it back by k_j: the velocity after a step is -dt k_j M^-1 e_j.
        velocity = np.asarray(LQR(n, m, seed=seed).task.F)[n:, :n]
        order = np.arange(n)
        mass = MASS * (n - np.maximum(order[:, None], order))
        np.testing.assert_allclose(-mass @ velocity / 0.03, np.diag(springs), atol=1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("damped", [False, True])
def test_steps_and_rewards_are_those_of_dm_control(n: int, m: int, damped: bool) -> None:
    theirs, force = their_task(n, m, seed=3, cost=0.2), 2.5
    ours = LQR(n, m, force=force, control_cost=0.2, damping=(0.5, 4.0) if damped else (0.0, 0.0), seed=3)
    physics = theirs.physics
    if damped:
        random = np.random.RandomState(3)
        pairs = [(random.uniform(15, 25), random.uniform(0.5, 4.0)) for _ in range(n)]
        physics.model.jnt_stiffness[:], physics.model.dof_damping[:] = np.transpose(pairs)
    simulate, state = jax.jit(ours.simulator.simulate), theirs.reset()
    for a in random_actions(60, m):
        before = physics.state()
        state = theirs.step(force * a)
        s_next, r, c = simulate(before, a, jnp.zeros(0))
        np.testing.assert_allclose(s_next, physics.state(), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(s_next, np.concatenate([state.observation[key] for key in ("position", "velocity")]))
        np.testing.assert_allclose(r, state.reward, rtol=1e-11)
        assert float(c) == state.discount
    assert np.abs(physics.velocity()).max() > 0.1


def test_an_episode_in_single_precision_is_that_of_dm_control() -> None:
    """Both start at the same place; after 100 steps the difference is that of rounding."""
    theirs, ours = their_task(6, 2, seed=1), LQR(6, 2, force=1.5, seed=1)
    state, _ = ours.reset(jax.random.key(2)), theirs.reset()
    with theirs.physics.reset_context():
        theirs.physics.set_state(np.asarray(state.obs, np.float64))
    step = jax.jit(ours.step)
    for a in random_actions(100, 2):
        state, theirs_now = step(state, jnp.asarray(a, jnp.float32)), theirs.step(1.5 * a)
        np.testing.assert_allclose(state.obs, theirs.physics.state(), atol=1e-4)
        np.testing.assert_allclose(state.reward, theirs_now.reward, atol=1e-4)
        assert float(state.done) == 0.0


def newton(s: np.ndarray, a: np.ndarray, springs: np.ndarray, dampers: np.ndarray, dt: float) -> np.ndarray:
    """A step in absolute positions x_i = q_1 + ... + q_i, force by force, the dampers' at the velocity after it."""
    n = len(springs)
    matrix, pull = np.zeros((n, n)), np.zeros(n)
    for i in range(n):
        # Joint i pulls mass i by p and the mass before it by -p; its damper pulls by -d (v'_i - v'_{i-1}).
        p = (a[i] if i < len(a) else 0.0) - springs[i] * s[i]
        matrix[i, i] += MASS
        for mass, sign in ((i, 1.0), (i - 1, -1.0)):
            if mass >= 0:
                pull[mass] += sign * p
                for other, direction in ((i, 1.0), (i - 1, -1.0)):
                    if other >= 0:
                        matrix[mass, other] += dt * sign * direction * dampers[i]
    v = np.cumsum(s[n:])
    v = np.linalg.solve(matrix, MASS * v + dt * pull)
    v = np.diff(v, prepend=0.0)
    return np.concatenate([s[:n] + dt * v, v])


@pytest.mark.usefixtures("x64")
def test_a_step_follows_newtons_law() -> None:
    n, m, dt, force, cost, rng = 5, 3, 0.02, 1.7, 0.3, np.random.default_rng(0)
    env = LQR(n, m, force, cost, dt, stiffness=(1.0, 9.0), damping=(0.2, 3.0), seed=4)
    random = np.random.RandomState(4)
    springs, dampers = np.transpose([(random.uniform(1, 9), random.uniform(0.2, 3)) for _ in range(n)])
    for _ in range(5):
        s, a = rng.normal(size=2 * n), rng.uniform(-1, 1, m)
        s_next, r, _ = env.simulator.simulate(jnp.asarray(s), jnp.asarray(a), jnp.zeros(0))
        expected = newton(s, force * a, springs, dampers, dt)
        np.testing.assert_allclose(s_next, expected, rtol=1e-11)
        assert float(r) == pytest.approx(1 - 0.5 * np.sum(expected[:n] ** 2) - 0.5 * cost * force**2 * np.sum(a**2))


def test_starts_are_at_rest_on_the_sphere() -> None:
    env, count = LQR(5, 2), 20_000
    obs = np.asarray(jax.vmap(env.reset)(jax.random.split(jax.random.key(0), count)).obs)
    np.testing.assert_array_equal(obs[:, 5:], 0.0)
    np.testing.assert_allclose(np.linalg.norm(obs[:, :5], axis=1), np.sqrt(2), rtol=1e-5)
    # Variance 2 / 5 each; a component's square has a deviation below 1.
    np.testing.assert_allclose(obs[:, :5].T @ obs[:, :5] / count, 0.4 * np.eye(5), atol=5 / np.sqrt(count))
    np.testing.assert_allclose(obs[:, :5].mean(axis=0), 0.0, atol=5 / np.sqrt(count))
    # The fourth moment of a uniform direction, 3 / (n (n + 2)), tells it from that of a point in a cube.
    assert np.mean(obs[:, :5] ** 4) == pytest.approx(4 * 3 / (5 * 7), abs=0.01)


def test_forces_beyond_the_range_are_clipped() -> None:
    env = LQR(4, 3)
    state = env.reset(jax.random.key(0))
    far, bound = (env.step(state, jnp.array(a)) for a in ([3.0, -9.0, 0.5], [1.0, -1.0, 0.5]))
    np.testing.assert_array_equal(far.obs, bound.obs)
    assert float(far.reward) == float(bound.reward)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_the_optimum_is_that_of_dm_controls_solver(n: int, m: int) -> None:
    """Theirs is the sum of the costs of s and a, ours of s' and a: they differ by the first state's cost."""
    p, k, beta = lqr_solver.solve(their_task(n, m, seed=5))
    task = LQR(n, m, force=2.0, seed=5).task
    gain = linear_quadratic.optimal_gain(task, 1.0)
    np.testing.assert_allclose(2.0 * gain, k, rtol=1e-7, atol=1e-9)
    first = np.diag(np.repeat([0.5, 0.0], n))
    np.testing.assert_allclose(-linear_quadratic.fixed_point(task, gain, 1.0).P, 0.5 * p - first, rtol=1e-7, atol=1e-7)
    assert np.abs(np.linalg.eigvals(task.F + task.G @ gain)).max() == pytest.approx(beta, abs=1e-9)


@pytest.mark.usefixtures("x64")
def test_the_optimal_policy_returns_what_is_promised_in_dm_control() -> None:
    """Over 3 000 of their steps; what follows weighs 0.99^3000 / 0.01 < 1e-10."""
    theirs, ours, gamma = their_task(4, 3, seed=2), LQR(4, 3, force=3.0, seed=2), 0.99
    gain = linear_quadratic.optimal_gain(ours.task, gamma)
    moments = linear_quadratic.fixed_point(ours.task, gain, gamma)
    theirs.reset()
    promised, returned, k = linear_quadratic.expected_return(moments, theirs.physics.state()), 0.0, np.asarray(gain)
    for t in range(3_000):
        a = k @ theirs.physics.state()
        assert np.abs(a).max() < 1
        returned += gamma**t * theirs.step(3.0 * a).reward
    assert float(promised) == pytest.approx(returned, rel=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("optimal", [True, False])
def test_gradients_are_those_of_returns_of_the_environment(
    optimal: bool, differences: Callable[..., np.ndarray]
) -> None:
    """Of the return from any state and action, along the optimal policy and another linear one, by differences."""
    env, gamma, rng = LQR(3, 2, damping=(0.0, 2.0), seed=1), 0.9, np.random.default_rng(0)
    gain = linear_quadratic.optimal_gain(env.task, gamma) if optimal else jnp.asarray(0.1 * rng.normal(size=(2, 6)))
    state = env.reset(jax.random.key(0))

    @jax.jit
    def returned(x: jax.Array) -> jax.Array:
        def step(carry: tuple, t: jax.Array) -> tuple[tuple, jax.Array]:
            state, a = carry
            state = env.step(state, a)
            return (state, gain @ state.obs), gamma**t * state.reward

        start = state.replace(pipeline_state=env.pipeline_init(*jnp.split(x[2:], 2)), obs=x[2:])
        return jnp.sum(jax.lax.scan(step, (start, x[:2]), jnp.arange(400))[1])

    x = np.concatenate([rng.uniform(-0.5, 0.5, 2), 0.5 * rng.normal(size=6)])
    moments = linear_quadratic.fixed_point(env.task, gain, gamma)
    exact = linear_quadratic.joint_moments(env.task, gamma, moments, jnp.asarray(x[2:]), jnp.asarray(x[:2]))
    assert float(exact.mean[0]) == pytest.approx(float(returned(x)), rel=1e-9)
    np.testing.assert_allclose(exact.mean[1:], differences(returned, x), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(exact.covariance, 0.0, atol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(16, 16), (2, 1), (6, 2)])
def test_optimal_forces_of_the_usual_sizes_are_within_reach(n: int, m: int) -> None:
    """The largest action of any start on the sphere: the norm of a row of K (F + G K)^t, times sqrt(2)."""
    task = LQR(n, m).task
    k = np.asarray(linear_quadratic.optimal_gain(task, 0.99))
    loop, reached = np.asarray(task.F + task.G @ k), np.eye(2 * n)[:, :n]
    for _ in range(300):
        assert np.sqrt(2) * np.linalg.norm(k @ reached, axis=1).max() < 1
        reached = loop @ reached


@pytest.mark.usefixtures("x64")
def test_noise_is_of_its_deviation_and_enters_after_the_reward() -> None:
    env, still = LQR(3, 2, noise=0.2), LQR(3, 2)
    state = env.reset(jax.random.key(0))
    s, a = state.obs, jnp.array([0.4, -0.7])
    after = jax.vmap(lambda key: env.step(state.replace(info={"simulator_key": key}), a))(
        jax.random.split(jax.random.key(1), 4_000)
    )
    expected, reward, _ = still.simulator.simulate(s, a, jnp.zeros(0))
    np.testing.assert_allclose((after.obs - expected).std(axis=0), 0.2, rtol=0.06)
    np.testing.assert_allclose(after.obs.mean(axis=0), expected, atol=5 * 0.2 / np.sqrt(4_000))
    np.testing.assert_allclose(after.reward, reward, rtol=1e-12)


def test_sizes_are_those_of_the_task() -> None:
    env = registry.make("lqr", num_masses=5, num_actuators=3)
    assert (env.observation_size, env.action_size) == (10, 3)
    usual = registry.make("lqr")
    assert (usual.observation_size, usual.action_size) == (32, 16)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_actuators": 0}, r"num_actuators.* 0 and 16"),
        ({"num_masses": 2, "num_actuators": 3}, r"num_actuators.*num_masses.* 3 and 2"),
        ({"force": 0.0}, r"force.*0\.0"),
        ({"control_cost": -1.0}, r"control_cost.*-1\.0"),
        ({"dt": 0.0}, r"dt.*0\.0"),
        ({"stiffness": (3.0, 2.0)}, r"stiffness.*3\.0 and 2\.0"),
        ({"damping": (-1.0, 2.0)}, r"damping.*-1\.0 and 2\.0"),
        ({"noise": -0.1}, r"noise.*-0\.1"),
    ],
    ids=str,
)
def test_meaningless_numbers_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LQR(**wrong)
