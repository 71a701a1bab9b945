"""The search for the worst direction: what every entry of its registry promises, and what the ascent finds."""

from collections.abc import Callable
from dataclasses import dataclass
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
    directions,
    max_sliced,
    mmd2,
    wasserstein,
)
from sobolev.metrics.sliced import slice_along

KEY = jax.random.key(0)
KERNELS: list[Any] = [Multiquadric(), Energy()]
Pairs = Callable[[int, int, int, int], tuple[Any, Any]]


@dataclass(frozen=True)
class Diagonal(DirectionSearch):
    """The same direction for all samples: a search that no registry has."""

    def __call__(self, key: jax.Array, x: jax.Array, y: jax.Array, distance: Any) -> jax.Array:
        return jnp.full(x.shape[1], x.shape[1] ** -0.5, dtype=x.dtype)


def signed(x: jax.Array, y: jax.Array) -> jax.Array:
    """Largest at theta = m / |m|, m the difference of the means."""
    return jnp.mean(x) - jnp.mean(y)


@pytest.fixture(scope="module", params=[*directions.registry.names(), "unregistered"])
def search(request: pytest.FixtureRequest) -> DirectionSearch:
    return Diagonal() if request.param == "unregistered" else directions.registry.make(request.param)


@pytest.mark.parametrize("size", [1, 3])
def test_contract(search: DirectionSearch, size: int, random_pairs: Pairs) -> None:
    """A unit vector of the samples' dtype, the same for the same key, through which no gradient flows."""
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, size))
    find = jax.jit(lambda x: search(KEY, x, y, signed))
    direction = find(x)
    assert direction.shape == (size,)
    assert direction.dtype == x.dtype
    np.testing.assert_allclose(np.linalg.norm(direction), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(find(x), direction)
    np.testing.assert_array_equal(jax.jit(jax.jacobian(find))(x), np.zeros((size, 5, size)))
    assert search == type(search)()
    assert hash(search) == hash(type(search)())


@pytest.mark.parametrize("make", [partial(MSMMD, Energy()), partial(MaxSlicedWasserstein, 1.0)], ids=["mmd", "w1"])
def test_metrics_take_a_search_that_is_written_elsewhere(make: Any, random_pairs: Pairs) -> None:
    """The loss is the slice along its direction."""
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 4))
    distance = partial(mmd2, kernel=Energy()) if make.func is MSMMD else wasserstein
    expected = distance(x.sum(axis=1, keepdims=True) / 2, y.sum(axis=1, keepdims=True) / 2)
    np.testing.assert_allclose(jax.jit(make(search=Diagonal()))(KEY, x, y), expected, rtol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_not_below_the_best_start(kernel: Kernel, random_pairs: Pairs) -> None:
    """Without steps the best start is the result; with steps it is at least as good, and better for most pairs."""
    distance = partial(mmd2, kernel=kernel)

    def heights(key: jax.Array, x: jax.Array, y: jax.Array) -> list[jax.Array]:
        searches = [DirectionSearch(num_directions=6, num_climbs=3, num_steps=steps) for steps in (0, 4)]
        return [slice_along(search(key, x, y, distance), x, y, distance) for search in searches]

    start, found = map(np.asarray, jax.jit(jax.vmap(heights))(jax.random.split(KEY, 20), *random_pairs(20, 6, 9, 5)))
    assert (found >= start - 1e-5 * np.abs(start)).all()
    assert np.mean(found > start + 1e-3 * np.abs(start)) > 0.5


def test_starts_hold_the_difference_of_the_means_and_the_axes() -> None:
    """No random start, no step: between two points the line through both is best; where the spread of the last
    component alone differs, the last axis.
    """
    point, spread = np.array([[3.0, 4.0, 0.0]] * 2), np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    search = DirectionSearch(num_directions=0, num_climbs=1, num_steps=0)
    find = jax.jit(lambda x, y: search(KEY, x, y, partial(mmd2, kernel=Energy(), estimator="v")))
    np.testing.assert_allclose(find(point, 0 * point), [0.6, 0.8, 0.0], atol=1e-6)
    np.testing.assert_allclose(np.abs(find(spread, 3 * spread)), [0.0, 0.0, 1.0], atol=1e-6)


def test_the_difference_of_the_means_can_be_the_only_start() -> None:
    """Means differ a little along the first axis, spreads by much along the last, which is found among the axes."""
    x = jnp.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    y = 3.0 * x + jnp.array([[0.1, 0.0, 0.0]])
    for axes, best in ((True, [0.0, 0.0, 1.0]), (False, [1.0, 0.0, 0.0])):
        search = DirectionSearch(num_directions=0, num_climbs=1, num_steps=0, axes=axes)
        found = search(KEY, x, y, partial(mmd2, kernel=Energy(), estimator="v"))
        np.testing.assert_allclose(np.abs(found), best, atol=1e-6)


def test_random_starts_come_near_a_direction_between_the_axes() -> None:
    """Equal means, spreads that differ along (1, 1) alone: slices grow with |<theta, (1, 1)>|, the axes have 1/√2."""
    diagonal = jnp.array([[1.0, 1.0], [-1.0, -1.0]])
    distance = partial(mmd2, kernel=Energy(), estimator="v")
    for count, expected, tolerance in ((0, 2**-0.5, 1e-6), (700, 1.0, 1e-3)):
        search = DirectionSearch(num_directions=count, num_climbs=1, num_steps=0)
        found = jax.jit(lambda x, search=search: search(KEY, x, 3.0 * x, distance))(diagonal)
        assert abs(found.sum()) * 2**-0.5 == pytest.approx(expected, abs=tolerance)


def test_equal_samples() -> None:
    """There is no difference of the means to start from."""
    x = jax.random.normal(jax.random.key(1), (6, 3))
    search = DirectionSearch(num_directions=4, num_climbs=2, num_steps=2)
    direction = jax.jit(lambda x: search(KEY, x, x, partial(mmd2, kernel=Energy())))(x)
    assert jnp.linalg.norm(direction) == pytest.approx(1.0, rel=1e-5)


def test_more_climbs_than_starts(random_pairs: Pairs) -> None:
    """sup <theta, m> = |m|"""
    x, y = (sample[0] for sample in random_pairs(1, 5, 8, 2))
    search = DirectionSearch(num_directions=0, num_climbs=50)
    value = jax.jit(lambda x, y: max_sliced(KEY, x, y, signed, search))(x, y)
    assert value == pytest.approx(np.linalg.norm(x.mean(axis=0) - y.mean(axis=0)), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "value", "least"), [("num_directions", -1, 0), ("num_climbs", 0, 1), ("num_steps", -2, 0)]
)
def test_wrong_effort(name: str, value: int, least: int, named: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=named(name, str(value), str(least))):
        DirectionSearch(**{name: value})


def test_wrong_shapes(named: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=named("(4, 3)", "(5, 2)")):
        DirectionSearch()(KEY, jnp.zeros((4, 3)), jnp.zeros((5, 2)), signed)
