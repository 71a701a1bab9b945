import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.metrics import (
    MSMMD,
    Energy,
    Kernel,
    MaxSlicedWasserstein,
    Multiquadric,
    SlicedMMD,
    SlicedWasserstein,
    max_sliced,
    max_sliced_direction,
    max_sliced_wasserstein,
    mean_over_states,
    mmd2,
    msmmd2,
    registry,
    sliced,
    sliced_mmd2,
    sliced_wasserstein,
    wasserstein,
)
from sobolev.metrics.max_sliced import starting_directions
from sobolev.metrics.sliced import project

KERNELS: list[Any] = [Multiquadric(), Energy()]
KEY = jax.random.key(0)


def random_pairs(count: int, n: int, m: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Laws that differ in mean, spread and shape, one pair more, one less."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, n, size))
    mixing = rng.normal(size=(count, size, size))
    shift = rng.uniform(0, 2, size=(count, 1, 1)) * rng.normal(size=(count, 1, size))
    y = rng.exponential(size=(count, m, size)) @ mixing + shift
    return x.astype(np.float32), y.astype(np.float32)


def gap(kernel: Any, distance: np.ndarray) -> np.ndarray:
    if isinstance(kernel, Energy):
        return distance**kernel.beta
    scaled = (kernel.h * distance) ** 2
    return scaled / (1 + np.sqrt(1 + scaled))


def grid_maximum(kernel: Any, x: np.ndarray, y: np.ndarray, estimator: str = "u", count: int = 2001) -> float:
    """The largest slice of samples in the plane, over directions on half the circle."""
    angles = np.linspace(0, np.pi, count, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    x, y = x.astype(np.float64) @ directions, y.astype(np.float64) @ directions

    def mean(a: np.ndarray, b: np.ndarray, pairs: int) -> np.ndarray:
        return np.sum(gap(kernel, np.abs(a[:, None] - b[None])), axis=(0, 1)) / pairs

    n, m = len(x), len(y)
    less = 1 if estimator == "u" else 0
    return np.max(2 * mean(x, y, n * m) - mean(x, x, n * (n - less)) - mean(y, y, m * (m - less)))


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
@pytest.mark.parametrize("estimator", ["u", "v"])
def test_finds_the_supremum_over_the_plane(kernel: Kernel, estimator: Any) -> None:
    x, y = random_pairs(30, 7, 11, 2)
    found = jax.jit(jax.vmap(lambda key, x, y: msmmd2(key, x, y, kernel, estimator)))(jax.random.split(KEY, 30), x, y)
    expected = [grid_maximum(kernel, *pair, estimator) for pair in zip(x, y, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0.02)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
@pytest.mark.parametrize("size", [2, 5])
def test_not_below_the_best_start_and_of_unit_length(kernel: Kernel, size: int) -> None:
    def found_and_best(key: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
        direction = max_sliced_direction(key, x, y, partial(mmd2, kernel=kernel), 6, 3, 4)
        starts = starting_directions(key, x, y, 6)
        slices = jax.vmap(lambda d: mmd2(project(x, d), project(y, d), kernel))(starts)
        found = mmd2(project(x, direction), project(y, direction), kernel)
        return jnp.linalg.norm(direction), found, jnp.max(slices), starts

    keys, samples = jax.random.split(KEY, 20), random_pairs(20, 6, 9, size)
    length, found, best, starts = jax.jit(jax.vmap(found_and_best))(keys, *samples)
    assert starts.shape == (20, 1 + size + 6, size)
    np.testing.assert_allclose(np.linalg.norm(starts, axis=-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(length, 1.0, rtol=1e-5)
    assert (np.asarray(found) >= np.asarray(best) * (1 - 1e-5)).all()


def test_starts_hold_the_difference_of_the_means_and_the_axes() -> None:
    x, y = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[-1.0, -1.0]])
    starts = starting_directions(KEY, x, y, 3)
    np.testing.assert_allclose(starts[:3], [[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]], rtol=1e-6)


@pytest.mark.parametrize("estimator", ["u", "v"])
def test_one_feature_is_mmd2(estimator: Any) -> None:
    x, y = random_pairs(8, 5, 8, 1)
    x[0], y[0, :5], y[0, 5:] = x[1], x[1], x[1, 0]
    found = jax.jit(jax.vmap(lambda x, y: msmmd2(KEY, x, y, Energy(), estimator)))(x, y)
    expected = jax.vmap(lambda x, y: mmd2(x, y, Energy(), estimator))(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3])
def test_equal_samples(size: int) -> None:
    """The means are equal: there is no direction between them, and the u-statistic of every slice is negative."""
    x = jax.random.normal(jax.random.key(1), (6, size))
    direction = jax.jit(lambda x: max_sliced_direction(KEY, x, x, partial(mmd2, kernel=Energy())))(x)
    assert jnp.linalg.norm(direction) == pytest.approx(1.0, rel=1e-5)
    for estimator, largest in (("u", -1e-3), ("v", 1e-5)):
        loss, slope = jax.jit(jax.value_and_grad(lambda a, e=estimator: msmmd2(KEY, a, x, Energy(), e)))(x)
        assert loss <= largest
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_rotation_equivariance(kernel: Kernel) -> None:
    x, y = random_pairs(10, 6, 9, 3)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].astype(np.float32)
    metric = jax.jit(jax.vmap(lambda x, y: msmmd2(KEY, x, y, kernel)))
    np.testing.assert_allclose(metric(x @ rotation, y @ rotation), metric(x, y), rtol=0.03)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_gradient_is_that_of_the_slice_at_the_maximiser(kernel: Kernel) -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 3))
    direction = jax.jit(lambda x, y: max_sliced_direction(KEY, x, y, partial(mmd2, kernel=kernel)))(x, y)
    expected = jax.grad(lambda x: mmd2(project(x, direction), project(y, direction), kernel))(x)
    actual = jax.jit(jax.grad(lambda x: msmmd2(KEY, x, y, kernel)))(x)
    assert np.linalg.norm(expected) > 0.1
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_gradient_points_along_the_direction_between_two_points() -> None:
    """x = 0, y = v: sup |<theta, v>| = |v|, so that d/dx of the energy distance 2 |x - y| is -2 v / |v|"""
    x, y = jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]])
    value, slope = jax.jit(jax.value_and_grad(lambda x: msmmd2(KEY, x, y, Energy(), "v")))(x)
    assert value == pytest.approx(10.0, rel=1e-3)
    np.testing.assert_allclose(slope, [[-1.2, -1.6]], rtol=0.02)


def test_many_features() -> None:
    """Two narrow clouds at distance |v|: MSMMD² -> 2 |v| under the energy kernel, along v."""
    rng = np.random.default_rng(2)
    v = rng.normal(size=376)
    x = (1e-3 * rng.normal(size=(6, 376))).astype(np.float32)
    y = (1e-3 * rng.normal(size=(9, 376)) + v).astype(np.float32)
    value, slope = jax.jit(jax.value_and_grad(lambda x: msmmd2(KEY, x, y, Energy())))(x)
    assert value == pytest.approx(2 * np.linalg.norm(v), rel=0.01)
    pull = -np.sum(np.asarray(slope), axis=0)
    np.testing.assert_allclose(pull @ v / (np.linalg.norm(pull) * np.linalg.norm(v)), 1.0, atol=0.01)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_float32_at_all_scales(kernel: Kernel) -> None:
    x, y = (sample[2] for sample in random_pairs(3, 7, 9, 2))
    loss = jax.jit(jax.value_and_grad(lambda x, y: msmmd2(KEY, x, y, kernel)))
    for scale in np.float32([1e-6, 1.0, 1e6]):
        value, slope = loss(scale * x, scale * y)
        np.testing.assert_allclose(value, grid_maximum(kernel, scale * x, scale * y), rtol=0.02)
        assert np.isfinite(slope).all()
        assert np.abs(slope).max() > 0


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_a_shared_gradient_spread_lets_a_backup_expand_mmd_and_not_msmmd(kernel: Kernel) -> None:
    """X = (0, sigma z), Y = (1, sigma z) under diag(gamma, 0): MSMMD shrinks by sqrt(gamma), MMD grows with sigma."""
    gamma, backup = 0.9, np.float32([0.9, 0.0])
    z = np.random.default_rng(3).normal(size=60)
    plain = jax.jit(lambda x, y: jnp.sqrt(mmd2(x, y, kernel, "v")))
    sliced = jax.jit(lambda x, y: jnp.sqrt(msmmd2(KEY, x, y, kernel, "v")))
    ratios = []
    for sigma in (1.0, 10.0, 100.0):
        x = np.stack([np.zeros_like(z), sigma * z], axis=1).astype(np.float32)
        y = np.stack([np.ones_like(z), sigma * z], axis=1).astype(np.float32)
        ratios.append(plain(backup * x, backup * y) / plain(x, y))
        shrunk = sliced(backup * x, backup * y) / sliced(x, y)
        assert shrunk == pytest.approx(np.sqrt(gamma), rel=0.01)
        assert shrunk == pytest.approx(MSMMD(kernel).contraction_rate(gamma), rel=0.01)
    assert 1.0 < ratios[0] < ratios[1] < ratios[2]


def test_metric_is_the_function_with_its_effort() -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 3))
    effort = {"num_directions": 4, "num_climbs": 2, "num_steps": 3}
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("msmmd", msmmd2, {"kernel": Energy(), "estimator": "v", **effort}),
        ("max_sliced_wasserstein", max_sliced_wasserstein, {"p": 2.0, **effort}),
        ("sliced_mmd", sliced_mmd2, {"kernel": Energy(), "estimator": "v", "num_directions": 4}),
        ("sliced_wasserstein", sliced_wasserstein, {"p": 2.0, "num_directions": 4}),
    ]
    for name, function, arguments in cases:
        metric = jax.jit(registry.make(name, **arguments))
        assert metric(KEY, x, y) == jax.jit(partial(function, **arguments))(KEY, x, y)


def test_more_climbs_than_starts() -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 2))
    metric = MSMMD(Energy(), num_directions=0, num_climbs=50)
    assert jax.jit(metric)(KEY, x, y) == pytest.approx(grid_maximum(Energy(), x, y), rel=0.02)


def test_contraction_rate() -> None:
    assert MSMMD(Multiquadric()).contraction_rate(0.81) == pytest.approx(0.9)
    assert MSMMD(Energy(1.5)).contraction_rate(0.0625) == pytest.approx(0.125)
    assert MSMMD(Energy()).contraction_rate(1.0) is None
    assert MaxSlicedWasserstein(2.0).contraction_rate(0.81) == 0.81
    assert MaxSlicedWasserstein(2.0).contraction_rate(1.0) is None
    assert SlicedMMD().contraction_rate(0.5) is None
    assert SlicedWasserstein().contraction_rate(0.5) is None


EFFORT = [
    ({"num_directions": -1}, "got -1"),
    ({"num_climbs": 0}, "num_climbs at least 1, got .* 0"),
    ({"num_steps": -2}, "-2"),
]
NO_DIRECTION = ({"num_directions": 0}, "num_directions must be at least 1, got 0")
NO_ESTIMATOR = ({"estimator": "w"}, "unknown estimator 'w'")
NO_ORDER = ({"p": 0.5}, "p must be at least 1, got 0.5")
WRONG = {
    (MSMMD, msmmd2): [*EFFORT, NO_ESTIMATOR],
    (MaxSlicedWasserstein, max_sliced_wasserstein): [*EFFORT, NO_ORDER],
    (SlicedMMD, sliced_mmd2): [NO_DIRECTION, NO_ESTIMATOR],
    (SlicedWasserstein, sliced_wasserstein): [NO_DIRECTION, NO_ORDER],
}


@pytest.mark.parametrize(
    ("metric", "function", "arguments", "message"), [(*pair, *case) for pair, cases in WRONG.items() for case in cases]
)
def test_wrong_arguments(metric: Any, function: Any, arguments: dict[str, Any], message: str) -> None:
    for call in (metric, partial(function, KEY, jnp.zeros((4, 3)), jnp.zeros((5, 3)))):
        with pytest.raises(ValueError, match=message):
            call(**arguments)


def test_wrong_samples() -> None:
    with pytest.raises(ValueError, match=r"x\[N, D\] and y\[M, D\]"):
        msmmd2(KEY, jnp.zeros((4, 3)), jnp.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"x\[N, D\] and y\[M, D\]"):
        sliced_wasserstein(KEY, jnp.zeros(4), jnp.zeros(5))
    with pytest.raises(ValueError, match="got 1 in x"):
        msmmd2(KEY, jnp.zeros((1, 3)), jnp.zeros((5, 3)))


def mean_cosine(size: int) -> float:
    """E |<theta, e>| of theta uniform on the sphere of R^D: Gamma(D/2) / (sqrt(pi) Gamma((D + 1)/2))"""
    return math.gamma(size / 2) / (math.sqrt(math.pi) * math.gamma((size + 1) / 2))


@pytest.mark.parametrize("size", [2, 5])
def test_sliced_points(size: int) -> None:
    """W_1 of two points v apart: |<theta, v>|, mean c_D |v|; W_2²: mean |v|² / D."""
    v = jnp.arange(1.0, size + 1)
    x, y = jnp.zeros((2, size)), jnp.broadcast_to(v, (3, size))
    first = jax.jit(lambda x, y: sliced_wasserstein(KEY, x, y, num_directions=40_000))(x, y)
    second = jax.jit(lambda x, y: sliced_wasserstein(KEY, x, y, 2.0, 40_000))(x, y)
    length = float(jnp.linalg.norm(v))
    assert first == pytest.approx(mean_cosine(size) * length, rel=0.02)
    assert second == pytest.approx(length**2 / size, rel=0.03)


@pytest.mark.parametrize("estimator", ["u", "v"])
def test_sliced_energy_is_a_multiple_of_the_joint_one(estimator: Any) -> None:
    """Since E |<theta, x - y>| = c_D |x - y|."""
    x, y = (sample[0] for sample in random_pairs(1, 6, 9, 3))
    found = jax.jit(lambda x, y: sliced_mmd2(KEY, x, y, Energy(), estimator, 40_000))(x, y)
    assert found == pytest.approx(mean_cosine(3) * float(mmd2(x, y, Energy(), estimator)), rel=0.03)


def test_sliced_is_the_mean_over_its_directions() -> None:
    """By means alone: <theta, m>² with m the gap of the means, E = |m|² / D, unbiased however few the directions."""
    x, y = (sample[0] for sample in random_pairs(1, 6, 9, 3))

    def square(x: jax.Array, y: jax.Array) -> jax.Array:
        return (jnp.mean(x) - jnp.mean(y)) ** 2

    draws = jax.jit(jax.vmap(lambda key: sliced(key, x, y, square, 2)))(jax.random.split(KEY, 5000))
    expected = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) / 3
    assert np.mean(draws) == pytest.approx(expected, abs=float(4 * np.std(draws) / np.sqrt(5000)))
    assert np.std(draws) > 0.1 * expected


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_one_feature_is_wasserstein(p: float) -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 1))
    expected = wasserstein(x, y, p)
    assert sliced_wasserstein(KEY, x, y, p) == expected
    assert max_sliced_wasserstein(KEY, x, y, p) == expected


def signed(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean(x) - jnp.mean(y)


def test_one_feature_is_the_distance_itself() -> None:
    """Sign included."""
    x, y = jnp.array([[1.0], [2.0]]), jnp.array([[5.0]])
    assert sliced(KEY, x, y, signed) == max_sliced(KEY, x, y, signed) == -3.5


def test_max_sliced_of_a_distance_of_ones_own() -> None:
    """sup <theta, m> = |m|, at theta = m / |m|"""
    x, y = (sample[0] for sample in random_pairs(1, 6, 9, 5))
    m = x.mean(axis=0) - y.mean(axis=0)
    value, slope = jax.jit(jax.value_and_grad(lambda x: max_sliced(KEY, x, y, signed)))(x)
    assert value == pytest.approx(np.linalg.norm(m), rel=1e-3)
    np.testing.assert_allclose(slope, np.broadcast_to(m / np.linalg.norm(m) / 6, (6, 5)), atol=0.01)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_max_sliced_wasserstein_over_the_plane(p: float) -> None:
    x, y = random_pairs(20, 7, 11, 2)
    metric = jax.jit(jax.vmap(lambda key, x, y: max_sliced_wasserstein(key, x, y, p)))
    angles = np.linspace(0, np.pi, 1001, endpoint=False)
    thetas = np.stack([np.cos(angles), np.sin(angles)])

    def supremum(x: np.ndarray, y: np.ndarray) -> float:
        a, b = (np.sort(sample.astype(float) @ thetas, axis=0) for sample in (x, y))
        gaps = np.abs(np.repeat(a, len(y), axis=0) - np.repeat(b, len(x), axis=0))
        return float(np.max(np.mean(gaps**p, axis=0)))

    expected = [supremum(*pair) for pair in zip(x, y, strict=True)]
    np.testing.assert_allclose(metric(jax.random.split(KEY, 20), x, y), expected, rtol=0.02)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_max_sliced_wasserstein_contracts(p: float) -> None:
    """b + A x with |A| = 0.8, over two noises b: W_p of the slices shrinks by 0.8, whatever A turns."""
    rng = np.random.default_rng(4)
    x, y = random_pairs(10, 6, 9, 3)
    metric = jax.jit(jax.vmap(lambda x, y: max_sliced_wasserstein(KEY, x, y, p) ** (1 / p)))
    before, rate = np.asarray(metric(x, y)), MaxSlicedWasserstein(p).contraction_rate(0.8)
    backups = rng.normal(size=(10, 3, 3)).astype(np.float32)
    backups *= 0.8 / np.linalg.norm(backups, ord=2, axis=(1, 2), keepdims=True)
    noises = rng.normal(size=(2, 10, 1, 3)).astype(np.float32)
    after = metric(*(np.concatenate([b + sample @ backups for b in noises], axis=1) for sample in (x, y)))
    assert (np.asarray(after) <= 1.02 * rate * before).all()
    turned = np.linalg.qr(backups)[0]
    np.testing.assert_allclose(metric(0.8 * x @ turned, 0.8 * y @ turned), rate * before, rtol=0.03)


def test_a_shared_gradient_spread_lets_a_backup_expand_the_mean_slice_and_not_the_largest() -> None:
    """Returns ±1 against 0 under the same spread sigma of the gradient, which diag(0.9, 0) removes."""
    z = np.quantile(np.random.default_rng(5).normal(size=4000), (np.arange(300) + 0.5) / 300)
    mean = jax.jit(lambda x, y: sliced_wasserstein(KEY, x, y))
    largest = jax.jit(lambda x, y: max_sliced_wasserstein(KEY, x, y))
    backup, ratios = np.float32([0.9, 0.0]), []
    for sigma in (0.5, 1.0, 3.0):
        x = np.array([[r, sigma * g] for g in z for r in (-1.0, 1.0)], dtype=np.float32)
        y = np.array([[0.0, sigma * g] for g in z], dtype=np.float32)
        ratios.append(float(mean(backup * x, backup * y) / mean(x, y)))
        assert largest(backup * x, backup * y) / largest(x, y) == pytest.approx(0.9, rel=0.02)
    assert 1.0 < ratios[0] < ratios[1] < ratios[2]


def test_projections_are_in_full_precision() -> None:
    """On a GPU the default would keep ten bits of the samples."""
    program = jax.make_jaxpr(project)(jnp.zeros((4, 3)), jnp.zeros(3))
    assert "HIGHEST" in str(program)


def test_no_gradient_flows_through_the_direction() -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 3))

    def turned(x: jax.Array) -> jax.Array:
        return jnp.sum(max_sliced_direction(KEY, x, y, signed, num_directions=1, num_climbs=1, num_steps=1))

    np.testing.assert_array_equal(jax.jit(jax.grad(turned))(x), np.zeros((5, 3)))


@pytest.mark.parametrize("make", [partial(MSMMD, Energy()), partial(MaxSlicedWasserstein, 2.0)], ids=["mmd", "w2"])
def test_states_exchange_their_directions(make: Any) -> None:
    """State b is scored along the direction found for state b - 1; or, without cross_fit, along its own."""
    x, y = random_pairs(4, 5, 7, 3)
    keys = jax.random.split(KEY, 4)
    distance = partial(mmd2, kernel=Energy()) if make.func is MSMMD else partial(wasserstein, p=2.0)
    search = jax.jit(lambda key, x, y: max_sliced_direction(key, x, y, distance))
    directions = [search(k, a, b) for k, a, b in zip(keys, x, y, strict=True)]
    for exchange in (True, False):
        slices = [
            float(distance(project(x[b], directions[b - exchange]), project(y[b], directions[b - exchange])))
            for b in range(4)
        ]
        value = float(jax.jit(partial(mean_over_states, make(cross_fit=cross_fit)))(keys, x, y))
        assert value == pytest.approx(np.mean(slices), rel=1e-4)


def test_one_state_keeps_its_direction() -> None:
    x, y = jax.random.normal(jax.random.key(1), (2, 1, 6, 3))
    keys = jax.random.split(jax.random.key(2), 1)
    means = [jax.jit(partial(mean_over_states, MSMMD(cross_fit=cross_fit))) for exchange in (True, False)]
    values = [float(mean(keys, x, y)) for mean in means]
    assert values[0] == pytest.approx(values[1], rel=1e-6)
