"""What every metric of the registry promises, with its default arguments; a metric of one's own included."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import metrics

KEY = jax.random.key(0)


@dataclass(frozen=True)
class MeanGap:
    """The squared distance of the means."""

    weight: float = 2.0

    def __call__(self, key: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.weight * jnp.sum((jnp.mean(x, axis=0) - jnp.mean(y, axis=0)) ** 2)

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        return gamma_kappa if gamma_kappa < 1 else None


@pytest.fixture(scope="module", params=[*metrics.registry.names(), "own"])
def metric(request: pytest.FixtureRequest, scratch: Callable[..., Any]) -> Iterator[Any]:
    with scratch(metrics.registry):
        if request.param == "own":
            metrics.registry.register("own")(MeanGap)
        yield metrics.registry.make(request.param)


@pytest.fixture(scope="module")
def compiled(metric: Any) -> Callable[..., jax.Array]:
    return jax.jit(lambda key, x, y: metric(key, x, y))


@pytest.fixture(scope="module")
def loss_and_slope(metric: Any) -> Callable[..., Any]:
    return jax.jit(jax.value_and_grad(lambda key, x, y: metric(key, x, y), argnums=1))


@pytest.fixture(scope="module")
def batch() -> tuple[jax.Array, jax.Array]:
    """[B, N, D] and [B, M, D] with all of B, N, M, D different."""
    x = jax.random.normal(jax.random.key(1), (2, 6, 3))
    return x, 1.0 + 2.0 * jax.random.normal(jax.random.key(2), (2, 5, 3))


def test_is_a_metric(metric: Any) -> None:
    assert isinstance(metric, metrics.Metric)
    assert hash(metric) == hash(type(metric)())


def test_scalar_of_the_samples_dtype(compiled: Callable[..., jax.Array], batch: tuple[jax.Array, jax.Array]) -> None:
    x, y = batch
    loss = compiled(KEY, x[0], y[0])
    assert loss.shape == ()
    assert loss.dtype == jnp.float32


def test_tells_laws_apart(compiled: Callable[..., jax.Array], batch: tuple[jax.Array, jax.Array]) -> None:
    x, _ = batch
    assert compiled(KEY, x[0], x[0, :5] + 5.0) > compiled(KEY, x[0], x[0, :5] + 0.5)


def test_compiled_is_eager(metric: Any, compiled: Callable[..., jax.Array], batch: tuple[jax.Array, ...]) -> None:
    x, y = batch
    np.testing.assert_allclose(metric(KEY, x[0], y[0]), compiled(KEY, x[0], y[0]), rtol=1e-3)


def test_vmap_is_a_loop(metric: Any, compiled: Callable[..., jax.Array], batch: tuple[jax.Array, ...]) -> None:
    keys = jax.random.split(KEY, 2)
    mapped = jax.jit(jax.vmap(metric))(keys, *batch)
    looped = [compiled(*row) for row in zip(keys, *batch, strict=True)]
    np.testing.assert_allclose(mapped, looped, rtol=1e-3)


def test_gradient_descends(loss_and_slope: Callable[..., Any], batch: tuple[jax.Array, jax.Array]) -> None:
    x, y = batch[0][0], batch[1][0]
    loss, slope = loss_and_slope(KEY, x, y)
    assert slope.shape == x.shape
    assert slope.dtype == jnp.float32
    step = 1e-2 / float(jnp.linalg.norm(slope))
    assert loss_and_slope(KEY, x - step * slope, y)[0] < loss


def test_gradient_is_finite_at_equal_samples(
    loss_and_slope: Callable[..., Any], batch: tuple[jax.Array, jax.Array]
) -> None:
    x = batch[0][0]
    for a, b in ((x, x[:5]), (jnp.ones((6, 3)), jnp.ones((5, 3))), (jnp.zeros((6, 3)), jnp.zeros((5, 3)))):
        assert np.isfinite(loss_and_slope(KEY, a, b)[1]).all()


def test_permutation_invariance(compiled: Callable[..., jax.Array], batch: tuple[jax.Array, jax.Array]) -> None:
    x, y = batch[0][0], batch[1][0]
    plain = compiled(KEY, x, y)
    np.testing.assert_allclose(compiled(KEY, x[jnp.array([3, 0, 5, 1, 4, 2])], y), plain, rtol=1e-3)
    np.testing.assert_allclose(compiled(KEY, x, y[::-1]), plain, rtol=1e-3)


def test_the_key_decides(compiled: Callable[..., jax.Array], batch: tuple[jax.Array, jax.Array]) -> None:
    x, y = batch[0][0], batch[1][0]
    assert compiled(jax.random.key(7), x, y) == compiled(jax.random.key(7), x, y)


def test_contraction_rate(metric: Any) -> None:
    rate = metric.contraction_rate(0.81)
    assert rate is None or 0 < rate < 1
    assert metric.contraction_rate(1.2) is None


def test_second_call_compiles_nothing(metric: Any, batch: tuple[jax.Array, jax.Array]) -> None:
    traces = []

    @jax.jit
    def loss(key: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        traces.append(x.shape)
        return metric(key, x, y)

    for key, x, y in zip(jax.random.split(KEY, 2), *batch, strict=True):
        loss(key, x, y)
    assert traces == [(6, 3)]


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="unknown metric 'msmd'; did you mean 'msmmd'"):
        metrics.registry.make("msmd")
