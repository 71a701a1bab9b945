"""The mean over directions of a distance on the line."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.metrics import (
    Energy,
    SlicedMMD,
    SlicedWasserstein,
    max_sliced_wasserstein,
    mmd2,
    registry,
    sliced,
    sliced_mmd2,
    sliced_wasserstein,
    wasserstein,
)
from sobolev.metrics.sliced import project

KEY = jax.random.key(0)
Pairs = Callable[[int, int, int, int], tuple[Any, Any]]


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
def test_sliced_energy_is_a_multiple_of_the_joint_one(estimator: Any, random_pairs: Pairs) -> None:
    """Since E |<theta, x - y>| = c_D |x - y|."""
    x, y = (sample[0] for sample in random_pairs(1, 6, 9, 3))
    found = jax.jit(lambda x, y: sliced_mmd2(KEY, x, y, Energy(), estimator, 40_000))(x, y)
    assert found == pytest.approx(mean_cosine(3) * float(mmd2(x, y, Energy(), estimator)), rel=0.03)


def test_sliced_is_the_mean_over_its_directions(random_pairs: Pairs) -> None:
    """By means alone: <theta, m>² with m the gap of the means, E = |m|² / D, unbiased however few the directions."""
    x, y = (sample[0] for sample in random_pairs(1, 6, 9, 3))

    def square(x: jax.Array, y: jax.Array) -> jax.Array:
        return (jnp.mean(x) - jnp.mean(y)) ** 2

    draws = jax.jit(jax.vmap(lambda key: sliced(key, x, y, square, 2)))(jax.random.split(KEY, 5000))
    expected = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2) / 3
    assert np.mean(draws) == pytest.approx(expected, abs=float(4 * np.std(draws) / np.sqrt(5000)))
    assert np.std(draws) > 0.1 * expected


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_one_component_is_wasserstein(p: float, random_pairs: Pairs) -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 1))
    assert sliced_wasserstein(KEY, x, y, p) == wasserstein(x, y, p)


def test_one_component_is_the_distance_itself() -> None:
    """Sign included."""
    x, y = jnp.array([[1.0], [2.0]]), jnp.array([[5.0]])
    assert sliced(KEY, x, y, lambda x, y: jnp.mean(x) - jnp.mean(y)) == -3.5


def test_a_shared_gradient_spread_lets_a_backup_expand_the_mean_slice_and_not_the_largest() -> None:
    """Returns ±1 against 0 under the same spread sigma of the gradient, which diag(0.9, 0) removes."""
    z = np.quantile(np.random.default_rng(5).normal(size=4000), (np.arange(300) + 0.5) / 300)
    mean = jax.jit(lambda x, y: sliced_wasserstein(KEY, x, y))
    largest = jax.jit(lambda x, y: max_sliced_wasserstein(KEY, x, y))
    backup, ratios = np.array([0.9, 0.0], dtype=np.float32), []
    for sigma in (0.5, 1.0, 3.0):
        x = np.array([[r, sigma * g] for g in z for r in (-1.0, 1.0)], dtype=np.float32)
        y = np.array([[0.0, sigma * g] for g in z], dtype=np.float32)
        ratios.append(float(mean(backup * x, backup * y) / mean(x, y)))
        assert largest(backup * x, backup * y) / largest(x, y) == pytest.approx(0.9, rel=0.02)
    assert 1.0 < ratios[0] < ratios[1] < ratios[2]


def test_projections_are_in_full_precision() -> None:
    """By default a GPU would keep ten bits of the samples."""
    program = jax.make_jaxpr(project)(jnp.zeros((4, 3)), jnp.zeros(3))
    products = [step.params["precision"] for step in program.eqns if step.primitive.name == "dot_general"]
    assert products == [(jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)]


def test_metrics_are_the_functions(random_pairs: Pairs) -> None:
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 3))
    cases: list[tuple[str, Any, dict[str, Any]]] = [
        ("sliced_mmd", sliced_mmd2, {"kernel": Energy(), "estimator": "v", "num_directions": 4}),
        ("sliced_wasserstein", sliced_wasserstein, {"p": 2.0, "num_directions": 4}),
    ]
    for name, function, arguments in cases:
        metric = registry.make(name, **arguments)
        assert jax.jit(metric)(KEY, x, y) == jax.jit(partial(function, **arguments))(KEY, x, y)
        assert metric.contraction_rate(0.5) is None


@pytest.mark.parametrize(
    ("metric", "function", "arguments", "words"),
    [
        (SlicedMMD, sliced_mmd2, {"num_directions": 0}, ("num_directions", "0", "1")),
        (SlicedMMD, sliced_mmd2, {"estimator": "w"}, ("estimator", "'w'", "u", "v")),
        (SlicedWasserstein, sliced_wasserstein, {"num_directions": -3}, ("num_directions", "-3", "1")),
        (SlicedWasserstein, sliced_wasserstein, {"p": 0.5}, ("p", "0.5", "1")),
    ],
)
def test_wrong_arguments(
    metric: Any, function: Any, arguments: dict[str, Any], words: tuple[str, ...], named: Callable[..., str]
) -> None:
    for call in (metric, partial(function, KEY, jnp.zeros((4, 3)), jnp.zeros((5, 3)))):
        with pytest.raises(ValueError, match=named(*words)):
            call(**arguments)


def test_wrong_samples(named: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=named("(4,)", "(5,)")):
        sliced_wasserstein(KEY, jnp.zeros(4), jnp.zeros(5))
    with pytest.raises(ValueError, match=named("1 in x", "estimator='v'")):
        sliced_mmd2(KEY, jnp.zeros((1, 3)), jnp.zeros((5, 3)))
