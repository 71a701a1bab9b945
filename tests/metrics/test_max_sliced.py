"""The largest slice of a distance on the line, for one state and over a batch of states."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.metrics import (
    MSMMD,
    DirectionSearch,
    Energy,
    Kernel,
    MaxSlicedWasserstein,
    Multiquadric,
    max_sliced,
    max_sliced_wasserstein,
    mean_max_sliced,
    mmd2,
    msmmd2,
    registry,
    wasserstein,
)
from sobolev.metrics.sliced import slice_along

KERNELS: list[Any] = [Multiquadric(), Energy()]
KEY = jax.random.key(0)
Pairs = Callable[[int, int, int, int], tuple[Any, Any]]


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
def test_finds_the_supremum_over_the_plane(kernel: Kernel, estimator: Any, random_pairs: Pairs) -> None:
    x, y = random_pairs(30, 7, 11, 2)
    found = jax.jit(jax.vmap(lambda key, x, y: msmmd2(key, x, y, kernel, estimator)))(jax.random.split(KEY, 30), x, y)
    expected = [grid_maximum(kernel, *pair, estimator) for pair in zip(x, y, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=0.02)


@pytest.mark.parametrize("estimator", ["u", "v"])
def test_one_component_is_mmd2(estimator: Any, random_pairs: Pairs) -> None:
    x, y = random_pairs(8, 5, 8, 1)
    x[0], y[0, :5], y[0, 5:] = x[1], x[1], x[1, 0]
    found = jax.jit(jax.vmap(lambda x, y: msmmd2(KEY, x, y, Energy(), estimator)))(x, y)
    expected = jax.vmap(lambda x, y: mmd2(x, y, Energy(), estimator))(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_one_component_is_wasserstein(p: float, random_pairs: Pairs) -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 1))
    assert max_sliced_wasserstein(KEY, x, y, p) == wasserstein(x, y, p)


def signed(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean(x) - jnp.mean(y)


def test_one_component_is_the_distance_itself() -> None:
    """Sign included."""
    x, y = jnp.array([[1.0], [2.0]]), jnp.array([[5.0]])
    assert max_sliced(KEY, x, y, signed) == -3.5


@pytest.mark.parametrize("size", [1, 3])
def test_equal_samples(size: int) -> None:
    """The u-statistic of every slice is negative, the v-statistic 0."""
    x = jax.random.normal(jax.random.key(1), (6, size))
    for estimator, largest in (("u", -1e-3), ("v", 1e-5)):
        loss, slope = jax.jit(jax.value_and_grad(lambda a, e=estimator: msmmd2(KEY, a, x, Energy(), e)))(x)
        assert loss <= largest
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_rotation_equivariance(kernel: Kernel, random_pairs: Pairs) -> None:
    x, y = random_pairs(10, 6, 9, 3)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].astype(np.float32)
    metric = jax.jit(jax.vmap(lambda x, y: msmmd2(KEY, x, y, kernel)))
    np.testing.assert_allclose(metric(x @ rotation, y @ rotation), metric(x, y), rtol=0.03)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_gradient_is_that_of_the_slice_at_the_maximizer(kernel: Kernel, random_pairs: Pairs) -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 3))
    distance = partial(mmd2, kernel=kernel)
    direction = jax.jit(lambda x, y: DirectionSearch()(KEY, x, y, distance))(x, y)
    expected = jax.jit(jax.grad(lambda x: slice_along(direction, x, y, distance)))(x)
    actual = jax.jit(jax.grad(lambda x: msmmd2(KEY, x, y, kernel)))(x)
    assert np.linalg.norm(expected) > 0.1
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_gradient_points_along_the_direction_between_two_points() -> None:
    """x = 0, y = v: sup |<theta, v>| = |v|, so that d/dx of the energy distance 2 |x - y| is -2 v / |v|"""
    x, y = jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]])
    value, slope = jax.jit(jax.value_and_grad(lambda x: msmmd2(KEY, x, y, Energy(), "v")))(x)
    assert value == pytest.approx(10.0, rel=1e-3)
    np.testing.assert_allclose(slope, [[-1.2, -1.6]], rtol=0.02)


def test_many_components() -> None:
    """Two narrow clouds at distance |v|: MSMMD² -> 2 |v| under the energy kernel, along v."""
    rng = np.random.default_rng(2)
    v = rng.normal(size=376)
    x = (1e-3 * rng.normal(size=(6, 376))).astype(np.float32)
    y = jnp.array(1e-3 * rng.normal(size=(9, 376)) + v, dtype=jnp.float32)
    value, slope = jax.jit(jax.value_and_grad(lambda x: msmmd2(KEY, x, y, Energy())))(x)
    assert value == pytest.approx(2 * np.linalg.norm(v), rel=0.01)
    pull = -np.sum(np.asarray(slope), axis=0)
    np.testing.assert_allclose(pull @ v / (np.linalg.norm(pull) * np.linalg.norm(v)), 1.0, atol=0.01)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_float32_at_all_scales(kernel: Kernel, random_pairs: Pairs) -> None:
    x, y = (sample[2] for sample in random_pairs(3, 7, 9, 2))
    loss = jax.jit(jax.value_and_grad(lambda x, y: msmmd2(KEY, x, y, kernel)))
    for scale in (1e-6, 1.0, 1e6):
        value, slope = loss(scale * x, scale * y)
        assert slope.dtype == jnp.float32
        np.testing.assert_allclose(value, grid_maximum(kernel, scale * x, scale * y), rtol=0.02)
        assert np.isfinite(slope).all()
        assert np.abs(slope).max() > 0


def test_max_sliced_of_a_distance_of_ones_own(random_pairs: Pairs) -> None:
    """sup <theta, m> = |m|, at theta = m / |m|"""
    x, y = (sample[0] for sample in random_pairs(1, 6, 9, 5))
    m = x.mean(axis=0) - y.mean(axis=0)
    value, slope = jax.jit(jax.value_and_grad(lambda x: max_sliced(KEY, x, y, signed)))(x)
    assert value == pytest.approx(np.linalg.norm(m), rel=1e-3)
    np.testing.assert_allclose(slope, np.broadcast_to(m / np.linalg.norm(m) / 6, (6, 5)), atol=0.01)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_max_sliced_wasserstein_over_the_plane(p: float, random_pairs: Pairs) -> None:
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
def test_max_sliced_wasserstein_contracts(p: float, random_pairs: Pairs) -> None:
    """b + A x with |A| = 0.8, over two noises b: W_p of the slices shrinks by 0.8, whatever A turns."""
    rng = np.random.default_rng(4)
    x, y = random_pairs(10, 6, 9, 3)
    metric = jax.jit(jax.vmap(lambda x, y: max_sliced_wasserstein(KEY, x, y, p) ** (1 / p)))
    before, rate = np.asarray(metric(x, y)), MaxSlicedWasserstein(p).contraction_rate(0.8)
    assert rate is not None
    backups = rng.normal(size=(10, 3, 3)).astype(np.float32)
    backups *= 0.8 / np.linalg.norm(backups, ord=2, axis=(1, 2), keepdims=True)
    noises = rng.normal(size=(2, 10, 1, 3)).astype(np.float32)
    after = metric(*(np.concatenate([b + sample @ backups for b in noises], axis=1) for sample in (x, y)))
    assert (np.asarray(after) <= 1.02 * rate * before).all()
    turned = np.linalg.qr(backups)[0]
    np.testing.assert_allclose(metric(0.8 * x @ turned, 0.8 * y @ turned), rate * before, rtol=0.03)


def test_contraction_rate() -> None:
    assert MSMMD(Multiquadric()).contraction_rate(0.81) == pytest.approx(0.9)
    assert MSMMD(Energy(1.5)).contraction_rate(0.0625) == pytest.approx(0.125)
    assert MSMMD(Energy()).contraction_rate(1.0) is None
    assert MaxSlicedWasserstein(2.0).contraction_rate(0.81) == 0.81
    assert MaxSlicedWasserstein(2.0).contraction_rate(1.0) is None


def test_metrics_are_the_functions(random_pairs: Pairs) -> None:
    """With their search."""
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 3))
    search = DirectionSearch(num_directions=4, num_climbs=2, num_steps=3)
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("msmmd", msmmd2, {"kernel": Energy(), "estimator": "v", "search": search}),
        ("max_sliced_wasserstein", max_sliced_wasserstein, {"p": 2.0, "search": search}),
    ]
    for name, function, arguments in cases:
        metric = jax.jit(registry.make(name, **arguments))
        assert metric(KEY, x, y) == jax.jit(partial(function, **arguments))(KEY, x, y)


def test_gradient_in_the_targets(random_pairs: Pairs) -> None:
    """That of the slice as well: for the difference of the means m, sum_j d/dy_j = -theta = -m / |m|"""
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 3))
    slope = jax.jit(jax.grad(lambda y: max_sliced(KEY, x, y, signed)))(y)
    m = x.mean(axis=0) - y.mean(axis=0)
    np.testing.assert_allclose(np.sum(slope, axis=0), -m / np.linalg.norm(m), atol=0.02)


@pytest.mark.parametrize("make", [partial(MSMMD, Energy()), partial(MaxSlicedWasserstein, 2.0)], ids=["mmd", "w2"])
def test_cross_fitting(make: Any, random_pairs: Pairs) -> None:
    """State b is scored along the direction found for state b - 1; without cross-fitting, along its own."""
    x, y = random_pairs(4, 5, 7, 3)
    keys = jax.random.split(KEY, 4)
    search = DirectionSearch(num_directions=16, num_climbs=2, num_steps=4)
    distance = partial(mmd2, kernel=Energy()) if make.func is MSMMD else partial(wasserstein, p=2.0)
    find = jax.jit(lambda key, x, y: search(key, x, y, distance))
    score = jax.jit(lambda direction, x, y: slice_along(direction, x, y, distance))
    found = [find(*state) for state in zip(keys, x, y, strict=True)]
    means = []
    for cross_fit in (True, False):
        expected = np.mean([score(found[b - cross_fit], x[b], y[b]) for b in range(4)])
        value = float(jax.jit(make(search=search, cross_fit=cross_fit).over_states)(keys, x, y))
        assert value == pytest.approx(expected, rel=1e-4)
        means.append(value)
    assert means[0] < means[1]


def test_one_state_keeps_its_direction() -> None:
    x, y = jax.random.normal(jax.random.key(1), (2, 1, 6, 3))
    keys, distance = jax.random.split(jax.random.key(2), 1), partial(mmd2, kernel=Energy())
    search = DirectionSearch(num_directions=4, num_climbs=2, num_steps=2)
    mean = jax.jit(lambda x: mean_max_sliced(keys, x, y, distance, search, cross_fit=True))(x)
    alone = jax.jit(lambda x: max_sliced(keys[0], x, y[0], distance, search))(x[0])
    assert mean == pytest.approx(float(alone), rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "function", "arguments", "words"),
    [
        (MSMMD, msmmd2, {"estimator": "w"}, ("estimator", "'w'", "u", "v")),
        (MaxSlicedWasserstein, max_sliced_wasserstein, {"p": 0.5}, ("p", "0.5", "1")),
    ],
)
def test_wrong_arguments(
    metric: Any, function: Any, arguments: dict[str, Any], words: tuple[str, ...], named: Callable[..., str]
) -> None:
    for call in (metric, partial(function, KEY, jnp.zeros((4, 3)), jnp.zeros((5, 3)))):
        with pytest.raises(ValueError, match=named(*words)):
            call(**arguments)


def test_wrong_samples(named: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=named("(4, 3)", "(5, 2)")):
        msmmd2(KEY, jnp.zeros((4, 3)), jnp.zeros((5, 2)))
    with pytest.raises(ValueError, match=named("1 in x", "estimator='v'")):
        msmmd2(KEY, jnp.zeros((1, 3)), jnp.zeros((5, 3)))
