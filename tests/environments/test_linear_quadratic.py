"""The optimum of linear dynamics with a quadratic reward, against scipy, linear algebra and the scalar closed form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_discrete_are

from sobolev.environments.exact import linear_quadratic, riccati
from sobolev.environments.exact.linear_quadratic import LinearQuadratic
from sobolev.types import Transition

pytestmark = pytest.mark.usefixtures("x64")

S, A, W = 4, 3, 2
R0 = 0.8


def draw(seed: int) -> LinearQuadratic:
    """A task whose reward, r0 apart, is negative, and whose state grows by itself for some of the seeds."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(S + A, S + A))
    cost = root @ root.T + 0.1 * np.eye(S + A)
    parts = (0.6 * rng.normal(size=(S, S)), rng.normal(size=(S, A)), 0.3 * rng.normal(size=(S, W)))
    return LinearQuadratic(*map(jnp.asarray, (*parts, -cost[:S, :S], -cost[S:, S:], -cost[:S, S:])))._replace(r0=R0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("gamma", [0.5, 0.97, 1.0])
def test_the_optimal_gain_is_that_of_the_riccati_equation(seed: int, gamma: float) -> None:
    task, root = draw(seed), np.sqrt(gamma)
    f, g, _, q, r, n, _ = map(np.asarray, task)
    x = solve_discrete_are(root * f, root * g, -q, -r, s=-n)
    expected = -np.linalg.solve(-r + gamma * g.T @ x @ g, -n.T + gamma * g.T @ x @ f)
    gain = linear_quadratic.optimal_gain(task, gamma)
    np.testing.assert_allclose(gain, expected, rtol=1e-8, atol=1e-9)
    if gamma < 1:
        moments = linear_quadratic.fixed_point(task, gain, gamma)
        np.testing.assert_allclose(-moments.P, x, rtol=1e-7, atol=1e-8 * np.abs(x).max())


def best_of_sequences(task: LinearQuadratic, gamma: float, horizon: int, s: np.ndarray) -> tuple[np.ndarray, float]:
    """The best actions ``[H, A]`` of the task without noise and their return: a maximum of one quadratic function."""
    f, g, _, q, r, n, r0 = map(np.asarray, task)

    def returned(actions: np.ndarray) -> float:
        state, total = s, 0.0
        for t, a in enumerate(actions.reshape(horizon, A)):
            total += gamma**t * (state @ q @ state + a @ r @ a + 2 * state @ n @ a + r0)
            state = f @ state + g @ a
        return total

    # Values at 0, at units and at their sums are those of c + b·x + x·H x / 2.
    units = np.eye(horizon * A)
    c = returned(np.zeros(horizon * A))
    sums = np.array([[returned(one + other) for other in units] for one in units])
    single = np.array([returned(one) for one in units])
    hessian = sums - single[:, None] - single + c
    best = -np.linalg.solve(hessian, single - c - 0.5 * np.diag(hessian))
    return best.reshape(horizon, A), returned(best)


@pytest.mark.parametrize("gamma", [0.7, 1.0])
def test_the_optimal_episode_is_the_best_sequence_of_actions(gamma: float) -> None:
    task, horizon = draw(0)._replace(E=jnp.zeros((S, 0))), 5
    gains, moments = linear_quadratic.optimal_episode(task, gamma, horizon)
    start = np.random.default_rng(1).normal(size=S)
    actions, returned = best_of_sequences(task, gamma, horizon, start)
    assert float(linear_quadratic.expected_return(moments, start)) == pytest.approx(returned, rel=1e-9)
    s = start
    for gain, a in zip(gains, actions, strict=True):
        np.testing.assert_allclose(gain @ s, a, rtol=1e-6, atol=1e-8)
        s = task.F @ s + task.G @ a


def test_the_return_of_a_noisy_episode_has_the_moments_that_are_told() -> None:
    task, gamma, horizon, paths, s = draw(3), 0.9, 4, 40_000, jnp.ones(S)
    gains, moments = linear_quadratic.optimal_episode(task, gamma, horizon)
    simulator = linear_quadratic.simulator(task)

    def returned(key: jax.Array) -> jax.Array:
        state, total = s, jnp.zeros(())
        for t, step_key in enumerate(jax.random.split(key, horizon)):
            state, r, _ = simulator.simulate(state, gains[t] @ state, simulator.noise(step_key))
            total += gamma**t * r
        return total

    z = np.asarray(jax.jit(jax.vmap(returned))(jax.random.split(jax.random.key(0), paths)))
    expected = float(linear_quadratic.expected_return(moments, s))
    assert z.mean() == pytest.approx(expected, abs=5 * z.std() / np.sqrt(paths))
    variance, away = float(s @ moments.U @ s + moments.u), (z - z.mean()) ** 2
    assert away.mean() == pytest.approx(variance, abs=5 * away.std() / np.sqrt(paths))


@pytest.mark.parametrize("horizon", [1, 2, 64])
def test_a_long_episode_begins_with_the_optimal_gain(horizon: int) -> None:
    task, gamma = draw(2), 0.8
    gains, _ = linear_quadratic.optimal_episode(task, gamma, horizon)
    assert gains.shape == (horizon, A, S)
    difference = np.abs(gains[0] - linear_quadratic.optimal_gain(task, gamma)).max()
    assert (difference < 1e-10) == (horizon == 64)


@pytest.mark.parametrize(("step", "cost", "sigma", "gamma"), [(0.5, 2.5, 0.0, 0.95), (0.2, 0.7, 0.4, 0.8)])
def test_one_dimension_is_the_scalar_task(step: float, cost: float, sigma: float, gamma: float) -> None:
    scalar, one = riccati.Riccati(step, cost, sigma), jnp.ones((1, 1))
    task = LinearQuadratic(one, step * one, sigma * one, -one, -cost * one, 0.0 * one)
    gain = linear_quadratic.optimal_gain(task, gamma)
    moments, s, a = linear_quadratic.fixed_point(task, gain, gamma), jnp.array([0.7]), jnp.array([-0.3])
    np.testing.assert_allclose(gain @ s, riccati.optimal_action(scalar, gamma, s), rtol=1e-10)
    value, d_a, d_s = linear_quadratic.joint_moments(task, gamma, moments, s, a).mean
    np.testing.assert_allclose(value, riccati.optimal_value(scalar, gamma, s, a), rtol=1e-10)
    slopes = jax.grad(riccati.optimal_value, argnums=(2, 3))(scalar, gamma, s, a)
    np.testing.assert_allclose([d_s], slopes[0], rtol=1e-10)
    np.testing.assert_allclose([d_a], slopes[1], rtol=1e-10)


def test_a_constant_reward_is_paid_at_every_step() -> None:
    """It moves the mean by r0 / (1 - gamma), and nothing else."""
    task, gamma, s, a = draw(1), 0.9, jnp.ones(S), jnp.ones(A)
    gain = linear_quadratic.optimal_gain(task, gamma)

    def moments(task: LinearQuadratic) -> Any:
        fixed = linear_quadratic.fixed_point(task, gain, gamma)
        again = linear_quadratic.backup(task, gain, gamma, fixed)
        return fixed, again, linear_quadratic.joint_moments(task, gamma, fixed, s, a)

    (fixed, again, joint), (bare, _, bare_joint) = moments(task), moments(task._replace(r0=0.0))
    for before, after in zip(fixed, again, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-10)
    assert float(fixed.z - bare.z) == pytest.approx(R0 / (1 - gamma))
    shift = np.zeros(1 + A + S)
    shift[0] = R0 / (1 - gamma)
    np.testing.assert_allclose(joint.mean - bare_joint.mean, shift, atol=1e-9)
    np.testing.assert_allclose(joint.covariance, bare_joint.covariance)


def test_noise_of_fewer_components_than_the_state_is_inferred() -> None:
    task = draw(0)
    simulator, s, a = linear_quadratic.simulator(task), jnp.ones(S), jnp.ones(A)
    n = simulator.noise(jax.random.key(0))
    assert n.shape == (W,)
    s_next, r, c = simulator.simulate(s, a, n)
    np.testing.assert_allclose(simulator.infer(jax.random.key(1), Transition(s, a, r, c, s_next)), n, rtol=1e-9)
