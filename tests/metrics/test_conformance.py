"""What every metric promises: those of the registry with their default arguments, and one that is written elsewhere.

Each is tried on joint samples, D = 3, and on the return alone, D = 1, where it refuses these. All are given the levels
of the predictions, which most ignore.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import metrics

KEY = jax.random.key(0)
N, M = 6, 5
LEVELS = jnp.full(N, 0.5)
ORDER = np.array([3, 0, 5, 1, 4, 2])


@dataclasses.dataclass(frozen=True)
class MeanGap(metrics.Metric):
    """The squared distance of the means: a metric that no registry has, with every default of the contract."""

    weight: float = 2.0

    def __call__(self, key: jax.Array, x: jax.Array, y: jax.Array, levels: jax.Array | None = None) -> jax.Array:
        return self.weight * jnp.sum((jnp.mean(x, axis=0) - jnp.mean(y, axis=0)) ** 2)


class Samples(NamedTuple):
    """[B, N, D], [B, M, D] and [B, N] with all of B, N, M, D different."""

    x: jax.Array
    y: jax.Array
    levels: jax.Array


@pytest.fixture(scope="module", params=[*metrics.registry.names(), "unregistered"])
def metric(request: pytest.FixtureRequest) -> metrics.Metric:
    return MeanGap() if request.param == "unregistered" else metrics.registry.make(request.param)


def refusal(metric: metrics.Metric, size: int, **levels: jax.Array) -> str | None:
    """The message with which the metric refuses samples with this D, if it does."""
    try:
        jax.eval_shape(metric, KEY, jnp.zeros((N, size)), jnp.zeros((M, size)), **levels)
    except ValueError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def batch(metric: metrics.Metric) -> Samples:
    size = 3 if refusal(metric, 3, levels=LEVELS) is None else 1
    x = jax.random.normal(jax.random.key(1), (2, N, size))
    y = 1.0 + 2.0 * jax.random.normal(jax.random.key(2), (2, M, size))
    return Samples(x, y, jax.random.uniform(jax.random.key(3), (2, N), minval=0.05, maxval=0.95))


@pytest.fixture(scope="module")
def one(batch: Samples) -> Samples:
    return jax.tree.map(lambda leaf: leaf[0], batch)


@pytest.fixture(scope="module")
def loss_and_slope(metric: metrics.Metric) -> Callable[..., Any]:
    return jax.jit(jax.value_and_grad(metric, argnums=1))


def test_is_a_frozen_metric(metric: metrics.Metric) -> None:
    assert isinstance(metric, metrics.Metric)
    assert metric == type(metric)()
    assert hash(metric) == hash(type(metric)())


def test_takes_joint_samples_or_names_one_that_does(metric: metrics.Metric) -> None:
    message = refusal(metric, 3, levels=LEVELS)
    if message is not None:
        others = [name for name in metrics.registry.names() if name in message]
        assert any(refusal(metrics.registry.make(name), 3, levels=LEVELS) is None for name in others)
    assert refusal(metric, 1, levels=LEVELS) is None


def test_scalar_of_the_samples_dtype(loss_and_slope: Callable[..., Any], one: Samples) -> None:
    loss, slope = loss_and_slope(KEY, *one)
    assert loss.shape == ()
    assert slope.shape == one.x.shape
    assert loss.dtype == slope.dtype == jnp.float32


def test_grows_with_the_distance(loss_and_slope: Callable[..., Any], one: Samples) -> None:
    x, _, levels = one
    assert loss_and_slope(KEY, x, x[:M] + 5.0, levels)[0] > loss_and_slope(KEY, x, x[:M] + 0.5, levels)[0]


def test_levels_are_needed_or_ignored(
    metric: metrics.Metric, loss_and_slope: Callable[..., Any], batch: Samples
) -> None:
    """And ``vmap`` is a loop."""
    keys = jax.random.split(KEY, 2)
    message = refusal(metric, batch.x.shape[-1])
    assert message is None or "levels" in message
    mapped = jax.jit(jax.vmap(metric))(keys, *(batch[:2] if message is None else batch))
    looped = [loss_and_slope(*row)[0] for row in zip(keys, *batch, strict=True)]
    np.testing.assert_allclose(mapped, looped, rtol=1e-3)


def test_over_states(metric: Any, loss_and_slope: Callable[..., Any], batch: Samples) -> None:
    """The mean of the losses at each state where states are independent; at equal states the loss at one of them."""
    keys = jax.random.split(KEY, 2)
    needs_levels = refusal(metric, batch.x.shape[-1]) is not None
    takes = batch if needs_levels else batch[:2]
    same = jax.tree.map(lambda leaf: leaf[jnp.array([0, 0])], (keys, *takes))
    loss = jax.jit(metric.over_states)
    np.testing.assert_allclose(loss(*same), loss_and_slope(keys[0], *(leaf[0] for leaf in batch))[0], rtol=1e-3)
    own_directions = {"cross_fit": False} if hasattr(metric, "cross_fit") else {}
    independent = dataclasses.replace(metric, **own_directions)
    each = [loss_and_slope(*row)[0] for row in zip(keys, *batch, strict=True)]
    np.testing.assert_allclose(jax.jit(independent.over_states)(keys, *takes), np.mean(each), rtol=1e-3)


def test_gradient_descends(loss_and_slope: Callable[..., Any], one: Samples) -> None:
    x, y, levels = one
    loss, slope = loss_and_slope(KEY, x, y, levels)
    step = 1e-2 / float(jnp.linalg.norm(slope))
    assert loss_and_slope(KEY, x - step * slope, y, levels)[0] < loss


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_finite_at_all_scales_and_ties(loss_and_slope: Callable[..., Any], one: Samples, scale: float) -> None:
    x, y, levels = one
    tied = jnp.stack([x[0], x[0], x[1], x[1], x[1], x[2]])
    shape = x.shape[1:]
    pairs = {
        "apart": (x, y),
        "equal": (x, x[:M]),
        "tied": (tied, tied[1:]),
        "one point": (jnp.ones((N, *shape)), jnp.ones((M, *shape))),
        "zero": (jnp.zeros((N, *shape)), jnp.zeros((M, *shape))),
    }
    for name, (a, b) in pairs.items():
        loss, slope = loss_and_slope(KEY, scale * a, scale * b, levels)
        assert np.isfinite(loss), name
        assert np.isfinite(slope).all(), name


def test_permutation_invariance(loss_and_slope: Callable[..., Any], one: Samples) -> None:
    x, y, levels = one
    plain, slope = loss_and_slope(KEY, x, y, levels)
    permuted, permuted_slope = loss_and_slope(KEY, x[ORDER], y, levels[ORDER])
    np.testing.assert_allclose(permuted, plain, rtol=1e-3)
    np.testing.assert_allclose(permuted_slope, slope[ORDER], atol=0.02 * float(jnp.abs(slope).max()))
    np.testing.assert_allclose(loss_and_slope(KEY, x, y[::-1], levels)[0], plain, rtol=1e-3)


def test_translation_invariance(loss_and_slope: Callable[..., Any], one: Samples) -> None:
    x, y, levels = one
    shift = jnp.array([[3.0, -2.0, 5.0]])[:, : x.shape[1]]
    moved = loss_and_slope(KEY, x + shift, y + shift, levels)[0]
    np.testing.assert_allclose(moved, loss_and_slope(KEY, x, y, levels)[0], rtol=1e-3)


def test_zero_where_all_samples_are_one_point(loss_and_slope: Callable[..., Any], one: Samples) -> None:
    x, y, levels = one
    point = jnp.array([0.5, -2.0, 1.0])[: x.shape[1]]
    loss = loss_and_slope(KEY, jnp.broadcast_to(point, x.shape), jnp.broadcast_to(point, y.shape), levels)[0]
    np.testing.assert_allclose(loss, 0.0, atol=1e-6)


def test_what_contracts_is_zero_at_equal_distributions(metric: Any, one: Samples) -> None:
    """In the biased form: one empirical distribution, by N and by 2 N samples."""
    biased = {"estimator": "v"} if hasattr(metric, "estimator") else {}
    metric = dataclasses.replace(metric, **biased)
    twice = jnp.concatenate([one.x[ORDER], one.x])
    loss = jax.jit(metric)
    if metric.contraction_rate(0.81) is not None:
        assert abs(loss(KEY, one.x, twice, one.levels)) < 1e-5 * loss(KEY, one.x, twice + 1.0, one.levels)


def test_the_key_decides(loss_and_slope: Callable[..., Any], one: Samples) -> None:
    first, again = (loss_and_slope(jax.random.key(7), *one) for _ in range(2))
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[1], again[1])


def test_contraction_rate(metric: metrics.Metric) -> None:
    low, high = (metric.contraction_rate(gamma_kappa) for gamma_kappa in (0.25, 0.81))
    assert (low is None and high is None) or (low is not None and high is not None and 0 < low < high < 1)
    assert metric.contraction_rate(1.2) is None


def test_by_default_no_contraction_is_promised() -> None:
    assert MeanGap().contraction_rate(0.5) is None


def test_second_call_compiles_nothing(metric: metrics.Metric, batch: Samples) -> None:
    traces = []

    @jax.jit
    def loss(key: jax.Array, x: jax.Array, y: jax.Array, levels: jax.Array) -> jax.Array:
        traces.append(x.shape)
        return metric(key, x, y, levels)

    for key, *row in zip(jax.random.split(KEY, 2), *batch, strict=True):
        loss(key, *row)
    assert traces == [batch.x.shape[1:]]


def test_a_metric_needs_a_call() -> None:
    """What lacks it is refused where it is made, by the name of what is missing."""
    incomplete: Any = type("Incomplete", (metrics.Metric,), {})
    with pytest.raises(TypeError, match="__call__"):
        incomplete()


def test_unknown_name(named: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=named("metric", "'msmd'", "'msmmd'")):
        metrics.registry.make("msmd")
