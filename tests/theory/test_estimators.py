"""Estimates of distances from samples: the bias of the statistics, of suprema and of minima."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from sobolev import corrections
from sobolev.metrics import MSMMD, DirectionSearch, Energy, Kernel, Multiquadric, energy_mmd2_sorted, mmd2, msmmd2

THEOREM = settings(max_examples=max(100, settings.get_profile("sobolev").max_examples))
SEEDS = st.integers(0, 2**32 - 1)
BASES: list[Any] = [Multiquadric(1.0), Energy()]
FULL = DirectionSearch(num_directions=64, num_climbs=8, num_steps=8)


@partial(jax.jit, static_argnames=("kernel", "estimator"))
def all_squared(kernel: Kernel, x: Any, y: Any, estimator: Any) -> jax.Array:
    """mmd2 of each of a batch of pairs of samples."""
    return jax.vmap(lambda x, y: mmd2(x, y, kernel, estimator))(x, y)


def gap(kernel: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Half the squared distance of the feature maps, of all pairs."""
    distance = np.linalg.norm(x[:, None] - y[None], axis=-1)
    return distance if isinstance(kernel, Energy) else np.sqrt(1 + distance**2) - 1


@THEOREM
@given(SEEDS, st.sampled_from(BASES))
def test_bias_by_enumeration_of_all_samples(seed: int, kernel: Kernel) -> None:
    """E u = MMD², E v = MMD² + E g(x, x') / N + E g(y, y') / M, over all 3² · 3³ samples of two
    distributions on 3 points.
    """
    n, m = 2, 3
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(2, 3, 2)) * 10 ** rng.uniform(-1, 1)
    p, q = rng.dirichlet(np.ones(3), size=2)
    chosen = np.array(list(itertools.product(range(3), repeat=n + m)))
    x, y = points[0][chosen[:, :n]], points[1][chosen[:, n:]]
    weights = np.prod(p[chosen[:, :n]], axis=1) * np.prod(q[chosen[:, n:]], axis=1)
    within = [w @ gap(kernel, v, v) @ w for w, v in ((p, points[0]), (q, points[1]))]
    exact = 2 * p @ gap(kernel, points[0], points[1]) @ q - sum(within)
    tolerance = {"rtol": 1e-9, "atol": 1e-11 * np.abs(points).max()}
    np.testing.assert_allclose(weights @ all_squared(kernel, x, y, "u"), exact, **tolerance)
    expected = exact + within[0] / n + within[1] / m
    np.testing.assert_allclose(weights @ all_squared(kernel, x, y, "v"), expected, **tolerance)


@THEOREM
@given(SEEDS, st.integers(2, 3))
def test_double_min_is_unbiased_where_critics_agree(seed: int, n: int) -> None:
    """Two critics with one distribution of rows [Z, dZ] on 3 points, and all samples of it: each row of the double
    estimator has the distribution of the rows. Those of the plain minimum have a lower mean return.
    """
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(3, 2))
    p = rng.dirichlet(np.ones(3)) + 0.05
    p /= p.sum()
    chosen = np.array(list(itertools.product(range(3), repeat=2 * n)))
    weights, samples = np.prod(p[chosen], axis=1), jnp.asarray(rows[chosen].reshape(-1, 2, n, 2))
    double, plain = (np.asarray(ALL_CORRECTED[name](samples)) for name in ("double_min", "min"))
    for point, probability in zip(rows, p, strict=True):
        here = np.all(np.abs(double - point) < 1e-12, axis=-1)
        np.testing.assert_allclose(weights @ here, np.full(n, probability), rtol=1e-9)
    assert weights @ plain[..., 0].mean(axis=1) < p @ rows[:, 0]


ALL_CORRECTED = {name: jax.jit(jax.vmap(corrections.registry.make(name))) for name in ("double_min", "min")}


@pytest.mark.parametrize("n", [5, 10, 50])
def test_fresh_samples_under_v_are_under_dispersed(n: int) -> None:
    """x = sigma z against y ~ N(0, 1), energy kernel: with E|z - z'| = 2 / sqrt(pi), the expected v-statistic

        2 sqrt(2 (1 + sigma²) / pi) - (1 - 1/N) 2 sigma / sqrt(pi) + const

    is least at sigma² = q / (2 - q), q = (1 - 1/N)², and the u-statistic at 1: the mean slope there is 0, within five
    standard errors over fresh samples.
    """
    q = (1 - 1 / n) ** 2
    sigma = np.sqrt(q / (2 - q))
    expected = minimize_scalar(
        lambda sigma: np.sqrt(2 * (1 + sigma**2)) - (1 - 1 / n) * sigma, bounds=(0.1, 2), options={"xatol": 1e-9}
    )
    np.testing.assert_allclose(sigma, expected.x, rtol=1e-6)
    batches = 60_000 // n
    z, y = jax.random.normal(jax.random.key(n), (2, batches, n, 1))

    @partial(jax.jit, static_argnames="estimator")
    def slopes(sigma: Any, estimator: Any) -> jax.Array:
        loss = lambda sigma, z, y: mmd2(sigma * z, y, Energy(), estimator)  # noqa: E731
        return jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(sigma, z, y)

    def score(sigma: float, estimator: str) -> float:
        slope = np.asarray(slopes(sigma, estimator))
        return slope.mean() / (slope.std() / np.sqrt(batches))

    assert abs(score(sigma, "v")) < 5
    assert abs(score(1.0, "u")) < 5
    assert score(1.0, "v") > 5
    assert score(sigma, "u") < -5


@pytest.mark.parametrize("is_pooled", [True, False], ids=["pooled", "one s'"])
def test_a_supremum_over_few_samples_is_biased_and_a_cross_fitted_direction_is_not(is_pooled: bool) -> None:
    """Slope in sigma of the loss of sigma z against y, z and y unit normals of four components, 8 samples a state.

    At the truth, sigma = 1, it is 0 with cross-fitting, along the directions of other states, and not along a state's
    own, whether the y of a state are independent or all one point, as are the targets of one s'; away from the truth
    the slope points towards it (five standard errors each). The supremum over independent y decreases at sigma = 0.6
    but increases at 1 already.
    """
    states = 2000
    z, y = jax.random.normal(jax.random.key(0), (2, states, 8, 4))
    y = y if is_pooled else jnp.broadcast_to(y[:, :1], y.shape)
    keys = jax.random.split(jax.random.key(1), states)

    @partial(jax.jit, static_argnames="cross_fit")
    def slopes(sigma: float, cross_fit: bool) -> jax.Array:
        metric = MSMMD(Energy(), "u", DirectionSearch(num_directions=16, num_climbs=1, num_steps=3), cross_fit)

        def total(sigmas: Any) -> jax.Array:
            return states * metric.over_states(keys, sigmas[:, None, None] * z, y)

        return jax.grad(total)(jnp.full(states, sigma))

    def score(sigma: float, cross_fit: bool) -> float:
        slope = np.asarray(slopes(sigma, cross_fit))
        return slope.mean() / (slope.std() / np.sqrt(len(slope)))

    assert abs(score(1.0, cross_fit=False)) > 5
    assert abs(score(1.0, cross_fit=True)) < 5
    assert score(0.6, cross_fit=True) < -5
    assert score(1.6, cross_fit=True) > 5
    if is_pooled:
        assert score(0.6, cross_fit=False) < -5
        assert score(1.0, cross_fit=False) > 5


def test_a_supremum_for_each_next_state_is_biased_and_one_over_all_is_not() -> None:
    """J(mu) = E_s' sup_theta MMD²(theta·mu, theta·delta_s') is not least where mu is the distribution of s'.

    s' is (-1, 0), (1, 0), (0, 2) with probabilities 8, 8 and 4 of 20; mu with 9, 9, 2 has a smaller J, though it is
    wrong. The supremum against the pooled s' is 0 at the truth and positive at the wrong mu.
    """
    places = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    counts = np.array([8, 8, 4])
    truth, wrong = (np.repeat(places, c, axis=0) for c in (counts, (9, 9, 2)))
    angles = np.linspace(0, np.pi, 720, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    @jax.jit
    def supremum(x: Any, y: Any) -> jax.Array:
        return jnp.max(jax.vmap(lambda d: mmd2((x @ d)[:, None], (y @ d)[:, None], Energy(), "v"))(directions))

    def per_state(x: np.ndarray) -> float:
        return sum(c / 20 * float(supremum(x, place[None])) for c, place in zip(counts, places, strict=True))

    assert per_state(wrong) < per_state(truth) - 0.02
    assert per_state(truth) >= float(supremum(truth, truth)) + 1
    assert float(supremum(truth, truth)) == pytest.approx(0.0, abs=1e-12)
    assert float(supremum(wrong, truth)) > 0.01


by_sorting = jax.jit(energy_mmd2_sorted, static_argnames="estimator")


@THEOREM
@given(SEEDS, st.sampled_from(["u", "v"]), st.booleans())
def test_the_energy_distance_on_the_line(seed: int, estimator: str, ties: bool) -> None:
    """MMD² = 2 int (F - G)² dt = by order statistics, sum_ij |x_i - x_j| = 2 sum_i (2 i - N - 1) x_(i)"""
    rng = np.random.default_rng(seed)
    n, m = 6, 9
    x, y = 10 ** rng.uniform(-2, 2) * rng.normal(size=n), rng.normal(size=m) + rng.normal()
    if ties:
        x, y = np.round(x), np.round(y)
    points = np.sort(np.concatenate([x, y]))
    gaps = np.mean(x[:, None] <= points, axis=0) - np.mean(y[:, None] <= points, axis=0)
    exact = 2 * np.sum(gaps[:-1] ** 2 * np.diff(points))

    def sorted_sum(values: np.ndarray) -> float:
        count = len(values)
        return 2 * np.sum((2 * np.arange(1, count + 1) - count - 1) * np.sort(values))

    total = sorted_sum(np.concatenate([x, y])) - sorted_sum(x) - sorted_sum(y)
    less = 1 if estimator == "u" else 0
    expected = total / (n * m) - sorted_sum(x) / (n * (n - less)) - sorted_sum(y) / (m * (m - less))
    found = all_squared(Energy(), x[None, :, None], y[None, :, None], estimator)[0]
    slack = 1e-12 * max(np.abs(x).max(), np.abs(y).max(), 1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=slack)
    np.testing.assert_allclose(by_sorting(x[:, None], y[:, None], estimator), expected, rtol=1e-9, atol=slack)
    if estimator == "v":
        np.testing.assert_allclose(found, exact, rtol=1e-9, atol=slack)


@partial(jax.jit, static_argnames=("kernel", "search"))
def climbed(kernel: Kernel, x: Any, y: Any, search: DirectionSearch) -> jax.Array:
    """The slice found."""
    return msmmd2(jax.random.key(1), x, y, kernel, "u", search)


@THEOREM
@given(SEEDS, st.sampled_from(BASES))
def test_the_search_for_a_direction(seed: int, kernel: Kernel) -> None:
    """Never below its best start, and near the largest slice of a fine grid with the default effort: so it is invariant
    to the order of the samples and to rotations of both.
    """
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(6, 2)) @ rng.normal(size=(2, 2)), rng.exponential(size=(9, 2)) * rng.uniform(0.5, 2)
    start, small = (climbed(kernel, x, y, DirectionSearch(4, 2, steps)) for steps in (0, 3))
    assert small >= start - 1e-12
    angles = np.linspace(0, np.pi, 720, endpoint=False)
    flat = [gap_slices(kernel, a, b, angles) for a, b in ((x, y), (x, x), (y, y))]
    grid = np.max(2 * flat[0] / 54 - flat[1] / 30 - flat[2] / 72)
    full = climbed(kernel, x, y, FULL)
    slack = 3e-3 * flat[0].max() / 54
    assert full <= grid + slack
    np.testing.assert_allclose(full, grid, rtol=0.03, atol=slack)
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = climbed(kernel, rng.permutation(x) @ rotation, rng.permutation(y) @ rotation, FULL)
    np.testing.assert_allclose(moved, grid, rtol=0.03, atol=slack)


def gap_slices(kernel: Any, x: np.ndarray, y: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The sum of the gaps between all pairs of projections, for each angle."""
    directions = np.stack([np.cos(angles), np.sin(angles)])
    distance = np.abs((x @ directions)[:, None] - (y @ directions)[None])
    gaps = distance if isinstance(kernel, Energy) else np.sqrt(1 + distance**2) - 1
    return gaps.sum(axis=(0, 1))
