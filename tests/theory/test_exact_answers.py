"""The exact answers of the solvable tasks, against their defining equations, quadrature and Monte Carlo."""

import itertools
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.optimize import minimize_scalar

from sobolev.bellman import sobolev_target
from sobolev.contraction import lyapunov_exponent
from sobolev.environments.exact import (
    affine_reward,
    alive_walk,
    finite_noise,
    linear_quadratic,
    multiplicative,
    riccati,
    weierstrass,
)
from sobolev.environments.exact.linear import JointMoments, LinearPolicy, restrict
from sobolev.joint import GRADIENTS, joint_samples
from sobolev.metrics import Energy, mmd2
from sobolev.types import Simulator

THEOREM = settings(max_examples=max(100, settings.get_profile("sobolev").max_examples))
SEEDS = st.integers(0, 2**32 - 1)
S, A = 2, 2


def hermite(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a standard normal, exact for polynomials of degree 5 in each component."""
    nodes = np.array(list(itertools.product([-np.sqrt(3), 0.0, np.sqrt(3)], repeat=size)))
    return nodes, np.prod(np.where(nodes == 0, 2 / 3, 1 / 6), axis=1)


def second_order(size: int) -> np.ndarray:
    """Equally likely points with mean 0, covariance I and no third moments."""
    return np.sqrt(size) * np.concatenate([np.eye(size), -np.eye(size)])


def weighted_moments(rows: np.ndarray, weights: np.ndarray) -> JointMoments:
    mean = weights @ rows
    return JointMoments(mean, (weights[:, None] * (rows - mean)).T @ (rows - mean))


def rollout(simulator: Simulator, policy: Any, gamma: float) -> Any:
    """``value(params, s, a, noises[T])``: the return of T steps, whose joint samples are exact pathwise gradients."""

    def value(params: Any, s: Any, a: Any, noises: Any) -> Any:
        del params
        s, first, c = simulator.simulate(s, a, jax.tree.map(lambda n: n[0], noises))

        def step(carry: Any, n: Any) -> Any:
            s, discount = carry
            s, r, c = simulator.simulate(s, policy(s), n)
            return (s, discount * gamma * c), discount * r

        _, rewards = jax.lax.scan(step, (s, gamma * c), jax.tree.map(lambda n: n[1:], noises))
        return first + jnp.sum(rewards)

    return value


def monte_carlo(simulator: Simulator, policy: Any, gamma: float, s: Any, a: Any, steps: int, paths: int) -> np.ndarray:
    """``[paths, D]`` joint samples of the return."""
    keys = jax.random.split(jax.random.key(0), (paths, steps))
    noises = jax.vmap(jax.vmap(simulator.noise))(keys)
    value = rollout(simulator, policy, gamma)
    return np.asarray(jax.jit(lambda n: joint_samples(value, (), s, a, n, "state_action"))(noises))


def check_moments(samples: np.ndarray, exact: JointMoments) -> None:
    """Means and covariances within five standard errors of the samples' own."""
    means, covariance = np.asarray(exact.mean), np.asarray(exact.covariance)
    root = np.sqrt(len(samples))
    size = 1e-4 * (1 + np.abs(means))
    assert np.all(np.abs(samples.mean(axis=0) - means) < 5 * samples.std(axis=0) / root + size)
    away = samples - means
    products = away[:, :, None] * away[:, None]
    size = 1e-4 * (1 + np.sqrt(np.outer(np.diag(covariance), np.diag(covariance))))
    assert np.all(np.abs(products.mean(axis=0) - covariance) < 5 * products.std(axis=0) / root + size)


def stable(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """F, G, K and gamma with gamma rho(F + G K)² < 1."""
    f, g, k = rng.normal(size=(S, S)), rng.normal(size=(S, A)), rng.normal(size=(A, S))
    radius = np.abs(np.linalg.eigvals(f + g @ k)).max()
    scale = rng.uniform(0.2, 0.9) / radius
    return scale * f, scale * g, k, rng.uniform(0.5, 0.95)


def draw_quadratic(seed: int) -> tuple[Any, np.ndarray, float, np.random.Generator]:
    rng = np.random.default_rng(seed)
    f, g, k, gamma = stable(rng)
    q, r = rng.normal(size=(S, S)), rng.normal(size=(A, A))
    task = linear_quadratic.LinearQuadratic(f, g, rng.normal(size=(S, S)), q + q.T, r + r.T, rng.normal(size=(S, A)))
    return jax.tree.map(jnp.asarray, task), k, gamma, rng


SOLVE = jax.jit(linear_quadratic.fixed_point)
BACKUP = jax.jit(linear_quadratic.backup)


@THEOREM
@given(SEEDS)
def test_quadratic_moments_are_a_fixed_point(seed: int) -> None:
    """P = sum gamma^k (M^k)' S M^k, U = sum gamma^2k (M^k)' 4 gamma² M' P Sigma P M M^k; a backup changes nothing."""
    task, gain, gamma, _ = draw_quadratic(seed)
    exact = SOLVE(task, gain, gamma)
    again = BACKUP(task, gain, gamma, exact)
    for before, after in zip(exact, again, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-8, atol=1e-9 * (1 + np.abs(before).max()))
    f, g, e, q, r, n, _ = map(np.asarray, task)
    loop, sigma = f + g @ gain, e @ e.T
    stage = q + gain.T @ r @ gain + n @ gain + gain.T @ n.T
    powers = [np.linalg.matrix_power(loop, k) for k in range(800)]
    p = sum(gamma**k * m.T @ stage @ m for k, m in enumerate(powers))
    source = 4 * gamma**2 * loop.T @ p @ sigma @ p @ loop
    u = sum(gamma ** (2 * k) * m.T @ source @ m for k, m in enumerate(powers))
    np.testing.assert_allclose(exact.P, p, rtol=1e-7, atol=1e-8 * np.abs(p).max())
    np.testing.assert_allclose(exact.U, u, rtol=1e-7, atol=1e-8 * np.abs(u).max())


@jax.jit
def quadratic_targets(task: Any, gain: Any, gamma: Any, moments: Any, root: Any, w: Any, s: Any, a: Any) -> Any:
    """Joint samples of the target on the nodes of noise and xi, and the closed form, for each of the gradients.

    The critic Z = s'Ps + z + s'B xi + sqrt(u) xi_0 + w·(a - K s), B B' = U, has these moments along the policy.
    """
    simulate = linear_quadratic.simulator(task).simulate

    def policy(s: Any) -> Any:
        return gain @ s

    def value(s: Any, a: Any, xi: Any) -> Any:
        return s @ moments.P @ s + moments.z + s @ root @ xi[1:] + jnp.sqrt(moments.u) * xi[0] + w @ (a - gain @ s)

    def samples(gradient: str) -> Any:
        one = lambda n, xi: sobolev_target(simulate, value, policy, s, a, n, xi, gamma, gradient)  # noqa: E731
        rows = jax.vmap(lambda n: jax.vmap(lambda xi: one(n, xi))(second_order(1 + S)))(hermite(S)[0])
        return rows.reshape(-1, rows.shape[-1])

    exact = linear_quadratic.joint_moments(task, gamma, moments, s, a)
    return [(samples(gradient), restrict(exact, gradient, gain)) for gradient in GRADIENTS]


@THEOREM
@given(SEEDS)
def test_quadratic_moments_are_those_of_the_target(seed: int) -> None:
    """Of any moments, not just those of the fixed point, by quadrature that is exact for the targets of this critic."""
    task, gain, gamma, rng = draw_quadratic(seed)
    root, p = rng.normal(size=(S, S)), rng.normal(size=(S, S))
    moments = linear_quadratic.QuadraticMoments(p + p.T, rng.normal(), root @ root.T, rng.exponential())
    s, a, w = rng.normal(size=S), rng.normal(size=A), rng.normal(size=A)
    weights = np.repeat(hermite(S)[1], 2 * (1 + S)) / (2 * (1 + S))
    for rows, exact in quadratic_targets(task, gain, gamma, moments, root, w, s, a):
        found = weighted_moments(np.asarray(rows), weights)
        size = np.abs(rows).max()
        np.testing.assert_allclose(exact.mean, found.mean, atol=1e-10 * size)
        np.testing.assert_allclose(exact.covariance, found.covariance, atol=1e-10 * size**2)


@pytest.mark.parametrize("seed", [1, 2])
def test_quadratic_moments_by_monte_carlo(seed: int) -> None:
    """Exact pathwise gradients of long returns; the gradients are normal, the return is not."""
    task, gain, _, rng = draw_quadratic(seed)
    gamma, s, a = 0.8, rng.normal(size=S), rng.normal(size=A)
    samples = monte_carlo(linear_quadratic.simulator(task), lambda s: gain @ s, gamma, s, a, steps=80, paths=40_000)
    moments = SOLVE(task, gain, gamma)
    exact = linear_quadratic.joint_moments(task, gamma, moments, jnp.asarray(s), jnp.asarray(a))
    check_moments(samples, exact)
    standard = (samples - np.asarray(exact.mean)) / np.sqrt(np.diag(exact.covariance))
    for column in range(1, 1 + A + S):
        assert stats.kstest(standard[:5000, column], "norm").pvalue > 1e-4
    assert stats.kstest(standard[:, 0], "norm").pvalue < 1e-4


def draw_affine(seed: int) -> tuple[Any, LinearPolicy, float, np.random.Generator]:
    rng = np.random.default_rng(seed)
    f, g, k, gamma = stable(rng)
    noise = rng.normal(size=(S, S))
    rest = (rng.normal(size=S), noise, rng.normal(size=S), rng.normal(size=A), rng.normal(), rng.exponential())
    task = jax.tree.map(jnp.asarray, affine_reward.AffineReward(f, g, *rest))
    return task, LinearPolicy(jnp.asarray(k), jnp.asarray(rng.normal(size=A))), gamma, rng


def exact_critic(task: Any, policy: Any, gamma: Any) -> Any:
    """``value(s, a, xi)`` of the true distribution of the return."""

    def value(s: Any, a: Any, xi: Any) -> Any:
        moments = affine_reward.joint_moments(task, policy, gamma, s, a)
        return moments.mean[0] + jnp.sqrt(moments.covariance[0, 0]) * xi

    return value


@jax.jit
def affine_targets(task: Any, policy: Any, gamma: Any, s: Any, a: Any) -> Any:
    simulate, value = affine_reward.simulator(task).simulate, exact_critic(task, policy, gamma)

    def one(node: Any) -> Any:
        n = affine_reward.AffineRewardNoise(node[:S], node[S])
        return sobolev_target(simulate, value, policy, s, a, n, node[S + 1], gamma, "state_action")

    rows = jax.vmap(one)(jnp.asarray(hermite(S + 2)[0]))
    return rows, affine_reward.joint_moments(task, policy, gamma, s, a)


@THEOREM
@given(SEEDS)
def test_affine_reward_moments_are_a_fixed_point(seed: int) -> None:
    """The target of the exact critic has the exact critic's moments; its gradients have no spread."""
    task, policy, gamma, rng = draw_affine(seed)
    rows, exact = affine_targets(task, policy, gamma, rng.normal(size=S), rng.normal(size=A))
    found = weighted_moments(np.asarray(rows), hermite(S + 2)[1])
    size = np.abs(rows).max()
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-9 * size)
    np.testing.assert_allclose(found.covariance, exact.covariance, atol=1e-9 * size**2)
    assert np.all(np.ptp(np.asarray(rows)[:, 1:], axis=0) <= 1e-10 * size)


def test_affine_reward_moments_by_monte_carlo() -> None:
    task, policy, _, rng = draw_affine(3)
    s, a = rng.normal(size=(2, 2))
    samples = monte_carlo(affine_reward.simulator(task), policy, 0.8, s, a, steps=80, paths=40_000)
    exact = affine_reward.joint_moments(task, policy, 0.8, jnp.asarray(s), jnp.asarray(a))
    check_moments(samples, exact)
    standard = (samples[:, 0] - exact.mean[0]) / np.sqrt(exact.covariance[0, 0])
    assert stats.kstest(standard, "norm").pvalue > 1e-4


@pytest.mark.parametrize(("wrong", "passes"), [("nothing", True), ("spread", False), ("gradient", False)])
def test_a_critic_has_converged_if_its_targets_have_its_distribution(wrong: str, passes: bool) -> None:
    """The mean u-statistic of critic against target over many batches is 0, within 5 errors, at the truth alone."""
    task, policy, _, rng = draw_affine(5)
    gamma = 0.5
    s, a = rng.normal(size=(2, 2))
    simulator, exact = affine_reward.simulator(task), exact_critic(task, policy, gamma)
    deviation = float(jnp.sqrt(affine_reward.joint_moments(task, policy, gamma, s, a).covariance[0, 0]))

    def value(params: Any, s: Any, a: Any, xi: Any) -> Any:
        spread, slope = params
        return exact(s, a, xi) + spread * deviation * xi + slope * jnp.sum(a)

    parameters = {"nothing": (0.0, 0.0), "spread": (0.5, 0.0), "gradient": (0.0, 1.0)}[wrong]

    def loss(key: Any) -> Any:
        key_x, key_xi, key_n = jax.random.split(key, 3)
        x = joint_samples(value, parameters, s, a, jax.random.normal(key_x, (8,)))
        n = jax.vmap(simulator.noise)(jax.random.split(key_n, 12))
        target = partial(sobolev_target, simulator.simulate, partial(value, parameters), policy, s, a)
        y = jax.vmap(lambda n, xi: target(n, xi, gamma))(n, jax.random.normal(key_xi, (12,)))
        return mmd2(x, y, Energy())

    losses = np.asarray(jax.jit(jax.vmap(loss))(jax.random.split(jax.random.key(0), 10_000)))
    score = losses.mean() / (losses.std() / np.sqrt(len(losses)))
    assert (abs(score) < 5) == passes
    assert passes or score > 5


@pytest.mark.slow
def test_a_critic_learns_the_exact_moments() -> None:
    """TD on the true step with complete gradients and the u-statistic: means within 0.2 true deviations and deviations
    within 15%; the v-statistic of eight samples learns a smaller spread.
    """
    from experiments import critic_truth

    found = {}
    with jax.enable_x64(False):
        for estimator in ("u", "v"):
            setting = critic_truth.Setting("generative", "mmd", estimator, "pooled", "state_action", samples=8)
            found[estimator] = critic_truth.errors(setting, critic_truth.train(setting, steps=4000, seed=1))
    assert max(found["u"].mean_return, found["u"].mean_gradient) < 0.2
    assert abs(found["u"].std_return - 1) < 0.15
    assert abs(found["u"].std_gradient - 1) < 0.15
    assert found["v"].std_return < found["u"].std_return - 0.05


def thousandths(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda x: x / 1000)


FACTORS = st.tuples(thousandths(-500, 1000), thousandths(100, 1500), thousandths(-300, 300), thousandths(500, 990))


@THEOREM
@given(FACTORS, thousandths(100, 3000))
def test_where_moments_of_a_perpetuity_cease_to_exist(numbers: tuple[float, ...], h: float) -> None:
    """E |y|^k < inf iff gamma^k E |m|^k < 1 iff k < alpha. Then the moments solve E y^k = E (h + gamma m y)^k, and
    v <- h² + 2 h gamma E m E y + gamma² E m² v converges to the second; else it grows without bound.
    """
    low, width, gain, gamma = numbers
    task = multiplicative.Multiplicative(low, low + width, h)
    ends = low + gain, low + width + gain
    corner = [0.0] if ends[0] < 0 < ends[1] else []

    def mean(f: Any) -> float:
        return integrate.quad(f, *ends, points=corner or None, limit=200)[0] / width

    for order in (1, 2, 3):
        np.testing.assert_allclose(
            multiplicative.factor_moment(task, gain, order), mean(lambda m, k=order: m**k), atol=1e-9
        )
    exponent = math.log(gamma) + mean(lambda m: math.log(abs(m)) if m else 0.0)
    np.testing.assert_allclose(multiplicative.growth(task, gain, gamma), exponent, atol=1e-6)
    alpha = multiplicative.tail_index(task, gain, gamma)
    if exponent > 1e-6:
        assert alpha == 0
    elif exponent < -1e-3 and 0 < alpha < 200:
        np.testing.assert_allclose(mean(lambda m: abs(gamma * m) ** alpha), 1, rtol=1e-6)
    moments = [multiplicative.gradient_moment(task, gain, gamma, order) for order in range(5)]
    for order in (1, 2, 3, 4):
        if abs(alpha - order) > 1e-6:
            assert math.isfinite(moments[order]) == (order < alpha)
    e, e2 = mean(lambda m: gamma * m), mean(lambda m: (gamma * m) ** 2)
    assume(abs(e2 - 1) > 0.02)
    first = second = 0.0
    for _ in range(3000):
        first, second = h + e * first, min(h**2 + 2 * h * e * first + e2 * second, 1e200)
    if math.isfinite(moments[2]):
        np.testing.assert_allclose(moments[1:3], [first, second], rtol=1e-6)
    elif abs(e) < 1:
        assert second > 1e6 * h**2


@pytest.mark.parametrize("gain", [0.0, -0.4])
def test_a_perpetuity_by_monte_carlo(gain: float) -> None:
    """gamma = 0.8, m uniform on [0.5, 1.5]: for K = 0 factors up to 1.2 expand, and yet E y² exists."""
    task, gamma = multiplicative.Multiplicative(0.5, 1.5, 1.3), 0.8
    s, a = np.array([0.7]), np.array([-0.4])
    simulator = multiplicative.simulator(task)
    samples = monte_carlo(simulator, lambda s: gain * s, gamma, s, a, steps=150, paths=60_000)
    check_moments(samples, multiplicative.joint_moments(task, gain, gamma, jnp.asarray(s), jnp.asarray(a)))
    assert multiplicative.tail_index(task, gain, gamma) > 4
    noises = jax.vmap(simulator.noise)(jax.random.split(jax.random.key(1), 20_000))
    exponent = lyapunov_exponent(simulator.simulate, lambda s: gain * s, jnp.ones(1), noises)
    factors = np.log(np.abs(gamma * (np.asarray(noises) + gain)))
    np.testing.assert_allclose(exponent + math.log(gamma), factors.mean(), rtol=1e-9)
    error = factors.std() / np.sqrt(len(factors))
    assert abs(multiplicative.growth(task, gain, gamma) - factors.mean()) < 5 * error


@THEOREM
@given(SEEDS, st.floats(0.3, 0.95), st.floats(0.3, 0.99))
def test_slopes_of_a_contracting_return_are_bounded(seed: int, gamma: float, product: float) -> None:
    """gamma kappa < 1: |d V_T| <= 1 / (1 - gamma kappa) for every T; the returns are those of the simulator."""
    task = weierstrass.Weierstrass(product / gamma)
    s = np.random.default_rng(seed).normal(size=3) * 3
    for horizon in (1, 5, 40):
        slope, rolled = weierstrass_slopes(task, gamma, horizon, s)
        assert np.all(np.abs(slope) <= weierstrass.slope_bound(task, gamma) * (1 + 1e-9))
        if horizon < 40:  # else kappa^t s and the product of t factors differ by rounding
            np.testing.assert_allclose(slope, rolled, rtol=1e-8, atol=1e-9)


@partial(jax.jit, static_argnames="horizon")
def weierstrass_slopes(task: Any, gamma: Any, horizon: int, s: Any) -> tuple[jax.Array, jax.Array]:
    closed = jax.vmap(jax.grad(lambda s: weierstrass.value(task, gamma, horizon, s)))(s)
    value, zero = rollout(weierstrass.simulator(task), lambda s: 0.0 * s, gamma), jnp.zeros(1)
    rolled = jax.vmap(lambda s: joint_samples(value, (), s[None], zero, jnp.zeros((1, horizon, 0)), "state_action"))(s)
    return closed, rolled[:, 0, 2]


@pytest.mark.parametrize(("gamma", "product"), [(0.6, 0.9), (0.6, 1.2), (0.75, 1.4)])
def test_difference_quotients_grow_where_gamma_kappa_exceeds_1(gamma: float, product: float) -> None:
    """The mean square of (V(s + h) - V(s)) / h is sum_t gamma^2t (1 - cos(kappa^t h)) / h².

    At most 1 / (2 - 2 gamma² kappa²) where gamma kappa < 1; of order h^(2 H - 2), H = log(1 / gamma) / log kappa < 1,
    where it is > 1.
    """
    task = weierstrass.Weierstrass(product / gamma)
    horizon = int(math.log(1e11) / math.log(task.kappa))
    s = np.random.default_rng(0).uniform(0, 1000, 20_000)
    value = jax.jit(jax.vmap(lambda s: weierstrass.value(task, gamma, horizon, s)))
    quotients = []
    for h in (1e-2, 1e-4):
        found = np.sqrt(np.mean(((np.asarray(value(s + h)) - np.asarray(value(s))) / h) ** 2))
        t = np.arange(horizon)
        spectral = np.sqrt(np.sum(gamma ** (2 * t) * (1 - np.cos(task.kappa**t * h))) / h**2)
        np.testing.assert_allclose(found, spectral, rtol=0.05)
        quotients.append(found)
    if product < 1:
        assert quotients[1] <= np.sqrt(0.5 / (1 - product**2)) * 1.05
        assert math.isfinite(weierstrass.slope_bound(task, gamma))
    else:
        exponent = 1 - math.log(1 / gamma) / math.log(task.kappa)
        assert quotients[1] / quotients[0] > 100 ** (0.8 * exponent)
        assert weierstrass.slope_bound(task, gamma) == math.inf


def test_a_mean_may_have_a_gradient_where_the_gradient_has_no_distribution() -> None:
    """s' = kappa s + n, gamma kappa = 1.2: d E Z_T = -sum (gamma kappa)^t sin(kappa^t s) exp(-Var s_t / 2) converges.

    But step t adds about (gamma kappa)^2t / 2 to the second moment of the pathwise gradient.
    """
    gamma, factor, s = 0.6, 2.0, 0.8
    simulator = Simulator(
        jax.random.normal, lambda key, _: jnp.zeros(()), lambda s, a, n: (factor * s + n, jnp.cos(s[0]), jnp.ones(()))
    )
    spread, closed, moments = 0.0, [], []
    for t in range(16):
        closed.append(-((gamma * factor) ** t) * math.sin(factor**t * s) * math.exp(-spread / 2))
        spread = factor**2 * spread + 1
    for horizon in (4, 8, 16):
        samples = monte_carlo(simulator, lambda s: 0.0 * s, gamma, np.array([s]), np.zeros(1), horizon, paths=20_000)
        slopes = samples[:, 2]
        assert abs(slopes.mean() - sum(closed[:horizon])) < 5 * slopes.std() / np.sqrt(len(slopes))
        moments.append(slopes.var())
    assert abs(sum(closed[4:])) < 1e-9 < abs(sum(closed))
    expected = [sum((gamma * factor) ** (2 * t) for t in range(4, horizon)) / 2 for horizon in (8, 16)]
    np.testing.assert_allclose(np.array(moments[1:]) - moments[0], expected, rtol=0.1)


@jax.jit
def atoms_and_rollouts(task: Any, gain: Any, gamma: Any, s: Any, a: Any) -> tuple[jax.Array, jax.Array]:
    policy = lambda s: jnp.tanh(gain @ s)  # noqa: E731
    noises = jnp.array(list(itertools.product(range(3), repeat=3)))
    value = rollout(finite_noise.simulator(task), policy, gamma)
    return (
        finite_noise.return_atoms(task, policy, gamma, 3, s, a),
        joint_samples(value, (), s, a, noises, "state_action"),
    )


@THEOREM
@given(SEEDS, st.floats(0, 1))
def test_atoms_of_a_finite_return(seed: int, gamma: float) -> None:
    """Three backups of the constant 0 give the 27 returns of three steps with their pathwise gradients."""
    rng = np.random.default_rng(seed)
    task, gain = finite_noise.random_task(rng, 3, 2, 1), rng.normal(size=(1, 2))
    atoms, rolled = atoms_and_rollouts(task, gain, gamma, rng.normal(size=2), rng.normal(size=1))
    np.testing.assert_allclose(atoms, rolled, rtol=1e-9, atol=1e-10)


@jax.jit
def riccati_sides(task: Any, gamma: Any, s: Any, a: Any) -> tuple[jax.Array, ...]:
    """[Q*, d_a Q*, d_s Q*], and the mean of its target under the optimal policy."""
    policy = lambda s: riccati.optimal_action(task, gamma, s)  # noqa: E731
    value = lambda s, a, xi: riccati.optimal_value(task, gamma, s, a)  # noqa: E731
    nodes, weights = hermite(1)
    target = partial(sobolev_target, riccati.simulator(task).simulate, value, policy, s, a)
    rows = jax.vmap(lambda n: target(n, None, gamma, "state_action"))(jnp.asarray(nodes[:, 0]))
    q = joint_samples(lambda params, s, a, xi: value(s, a, xi), (), s, a, jnp.zeros((1, 0)), "state_action")
    return q[0], jnp.asarray(weights) @ rows


@THEOREM
@given(SEEDS, st.floats(0.1, 0.99))
def test_the_optimum_of_a_quadratic_control_task(seed: int, gamma: float) -> None:
    """Q* = r + gamma E max Q*(s', .), and a* attains the maximum; the gradients of both sides are equal too."""
    rng = np.random.default_rng(seed)
    task = riccati.Riccati(rng.uniform(0.1, 1), rng.uniform(0.1, 3), rng.uniform(0, 0.5))
    s, a = rng.normal(size=1), rng.normal(size=1)
    q, target = riccati_sides(task, gamma, s, a)
    np.testing.assert_allclose(target, q, rtol=1e-8, atol=1e-9)
    best = minimize_scalar(lambda a: -float(RICCATI_VALUE(task, gamma, s, np.array([a]))))
    np.testing.assert_allclose(best.x, riccati.optimal_action(task, gamma, s)[0], rtol=1e-4, atol=1e-6)


RICCATI_VALUE = jax.jit(riccati.optimal_value)


def test_a_piecewise_constant_return_has_no_pathwise_gradient() -> None:
    """Every joint sample and every target has gradient 0, but the mean return has not: Monte Carlo and quadrature agree
    on the mean at three actions.
    """
    task, gamma = alive_walk.AliveWalk(), 0.9
    simulator, s = alive_walk.simulator(task), np.array([0.3])
    policy = lambda s: -0.3 * s  # noqa: E731
    exact = jax.jit(lambda a: alive_walk.expected_return(task, policy, gamma, jnp.asarray(s), a))
    means, errors = [], []
    for a in (-0.5, 0.5, 1.0):
        samples = monte_carlo(simulator, policy, gamma, s, np.array([a]), steps=150, paths=20_000)
        np.testing.assert_array_equal(samples[:, 1:], 0.0)
        means.append(samples[:, 0].mean())
        errors.append(samples[:, 0].std() / np.sqrt(20_000))
        assert abs(exact(jnp.array([a])) - means[-1]) < 5 * errors[-1] + 1e-5
        target = sobolev_target(
            simulator.simulate, lambda s, a, xi: exact(a) * 0 + xi, policy, s, np.array([a]), 0.7, 5.0, gamma
        )
        assert target[1] == 0
    slope = jax.grad(lambda a: exact(a))(jnp.array([0.5]))[0]
    near = [float(exact(jnp.array([0.5 + h]))) for h in (1e-5, -1e-5)]
    np.testing.assert_allclose(slope, (near[0] - near[1]) / 2e-5, rtol=1e-6)
    assert slope < -1
    assert means[0] - means[2] > 5 * (errors[0] + errors[2])


def test_the_walk_is_solved_to_rounding() -> None:
    """With twice the nodes the result is the same."""
    task, s, a = alive_walk.AliveWalk(), jnp.array([0.2]), jnp.array([-0.1])
    coarse, fine = (alive_walk.expected_return(task, jnp.tanh, 0.95, s, a, nodes) for nodes in (64, 128))
    np.testing.assert_allclose(coarse, fine, rtol=1e-12)
