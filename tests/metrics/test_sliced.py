from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.metrics import MSMMD, Energy, Kernel, Multiquadric, max_sliced_direction, mmd2, msmmd2
from sobolev.metrics.sliced import project, starting_directions

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
        direction = max_sliced_direction(key, x, y, kernel, num_directions=6, num_climbs=3, num_steps=4)
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
    direction = jax.jit(lambda x: max_sliced_direction(KEY, x, x, Energy()))(x)
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
    direction = jax.jit(lambda x, y: max_sliced_direction(KEY, x, y, kernel))(x, y)
    expected = jax.grad(lambda x: mmd2(project(x, direction), project(y, direction), kernel))(x)
    actual = jax.jit(jax.grad(lambda x: msmmd2(KEY, x, y, kernel)))(x)
    assert np.linalg.norm(expected) > 0.1
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_gradient_points_along_the_direction_between_two_points() -> None:
    """x = 0, y = v: sup |<theta, v>| = |v|, so that d/dx of the energy distance 2 |x - y| is -2 v / |v|"""
    x, y = jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]])
    value, slope = jax.value_and_grad(lambda x: msmmd2(KEY, x, y, Energy(), "v"))(x)
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
    metric = MSMMD(Energy(), "v", num_directions=4, num_climbs=2, num_steps=3)
    assert metric(KEY, x, y) == msmmd2(KEY, x, y, Energy(), "v", num_directions=4, num_climbs=2, num_steps=3)


def test_more_climbs_than_starts() -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 2))
    metric = MSMMD(Energy(), num_directions=0, num_climbs=50)
    assert metric(KEY, x, y) == pytest.approx(grid_maximum(Energy(), x, y), rel=0.02)


def test_contraction_rate() -> None:
    assert MSMMD(Multiquadric()).contraction_rate(0.81) == pytest.approx(0.9)
    assert MSMMD(Energy(1.5)).contraction_rate(0.0625) == pytest.approx(0.125)
    assert MSMMD(Energy()).contraction_rate(1.0) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_directions": -1}, "got -1"),
        ({"num_climbs": 0}, "num_climbs at least 1, got .* 0"),
        ({"num_steps": -2}, "-2"),
        ({"estimator": "w"}, "unknown estimator 'w'"),
    ],
)
def test_bad_effort(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MSMMD(**arguments)


def test_wrong_samples() -> None:
    wrong: Any = "x"
    with pytest.raises(ValueError, match=r"x\[N, D\] and y\[M, D\]"):
        msmmd2(KEY, jnp.zeros((4, 3)), jnp.zeros((5, 2)))
    with pytest.raises(ValueError, match="got 1 in x"):
        msmmd2(KEY, jnp.zeros((1, 3)), jnp.zeros((5, 3)))
    with pytest.raises(ValueError, match="unknown estimator"):
        msmmd2(KEY, jnp.zeros((4, 3)), jnp.zeros((5, 3)), estimator=wrong)
