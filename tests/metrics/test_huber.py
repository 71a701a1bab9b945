from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from sobolev.metrics import L2, Huber, huber, l2, registry
from sobolev.metrics.huber import huber_of_error, huber_of_square

KEY = jax.random.key(0)


def samples(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors on both sides of 1."""
    rng = np.random.default_rng(size)
    return rng.normal(size=(5, size)), rng.normal(0.5, 1.5, size=(7, size))


def loop(x: np.ndarray, y: np.ndarray, delta: float, weight: float, gradient: str) -> float:
    terms = []
    for x_i in x:
        for y_j in y:
            error = x_i[1:] - y_j[1:]
            parts = [np.linalg.norm(error)] if gradient == "norm" else np.abs(error)
            parts_loss = sum(scipy.special.huber(delta, part) for part in parts)
            terms.append(scipy.special.huber(delta, x_i[0] - y_j[0]) + weight * parts_loss)
    return float(np.mean(terms))


@pytest.mark.parametrize("gradient", ["norm", "component"])
@pytest.mark.parametrize(("size", "delta", "weight"), [(1, 1.0, 2.0), (2, 0.5, 5.0), (4, 1.0, 5.0), (4, 2.5, 0.0)])
def test_huber_is_the_double_sum(gradient: Any, size: int, delta: float, weight: float, x64: None) -> None:
    x, y = samples(size)
    actual = huber(jnp.array(x), jnp.array(y), delta, weight, gradient)
    assert actual == pytest.approx(loop(x, y, delta, weight, gradient), rel=1e-12)


def test_norm_and_component_differ_in_more_than_one_direction() -> None:
    x, y = jnp.array([[0.0, 3.0, 4.0]]), jnp.zeros((1, 3))
    assert huber(x, y, gradient="norm") == 5 - 0.5
    assert huber(x, y, gradient="component") == (3 - 0.5) + (4 - 0.5)


def test_mage() -> None:
    """One prediction, one target: H(0.6) + 5 H(|(0.3, 0.4)|) = 0.18 + 5 · 0.125"""
    x, y = jnp.array([[1.6, 0.3, 0.0]]), jnp.array([[1.0, 0.0, 0.4]])
    assert Huber(gradient_weight=5.0)(KEY, x, y) == pytest.approx(0.18 + 0.625, rel=1e-6)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_l2_is_the_double_sum(weight: float, x64: None) -> None:
    x, y = samples(4)
    weights = np.array([1.0, weight, weight, weight])
    expected = np.mean([[np.sum(weights * (x_i - y_j) ** 2) for y_j in y] for x_i in x])
    assert l2(jnp.array(x), jnp.array(y), weight) == pytest.approx(expected, rel=1e-12)


def test_l2_of_scaled_blocks_is_first_order_sobolev(x64: None) -> None:
    """(Q - y)² + lambda_a |d_a (Q - y)|² + lambda_s |d_s (Q - y)|² for blocks of 2 and 3, averaged over the targets"""
    x, y = samples(6)
    lambda_a, lambda_s = 0.1, 4.0
    error = x[:1] - y
    expected = np.mean(
        error[:, 0] ** 2 + lambda_a * np.sum(error[:, 1:3] ** 2, 1) + lambda_s * np.sum(error[:, 3:] ** 2, 1)
    )
    scales = np.sqrt([1.0, *[lambda_a] * 2, *[lambda_s] * 3])
    assert L2()(KEY, jnp.array(scales * x[:1]), jnp.array(scales * y)) == pytest.approx(expected, rel=1e-12)


def test_l2_is_least_at_the_mean(x64: None) -> None:
    _, y = samples(3)
    slope = jax.jit(jax.grad(l2))(jnp.array(y.mean(axis=0, keepdims=True)), jnp.array(y))
    np.testing.assert_allclose(slope, np.zeros((1, 3)), atol=1e-14)


@pytest.mark.parametrize("gradient", ["norm", "component"])
def test_huber_is_least_between_two_targets(gradient: Any) -> None:
    """By symmetry about the middle, far out in the linear part of both."""
    y = jnp.array([[0.0, 0.0, 0.0], [10.0, 20.0, -6.0]])
    slope = jax.jit(jax.grad(lambda x: huber(x, y, gradient=gradient)))
    np.testing.assert_allclose(slope(jnp.array([[5.0, 10.0, -3.0]])), np.zeros((1, 3)), atol=1e-6)
    assert (slope(jnp.array([[9.99, 19.9, -5.99]])) * jnp.array([[1.0, 1.0, -1.0]]) > 0).all()


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_huber_of_square(u: float, delta: float) -> None:
    with jax.enable_x64(True):
        actual = float(huber_of_square(jnp.float64(u) ** 2, delta))
    assert actual == pytest.approx(scipy.special.huber(delta, u), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("gradient", ["norm", "component"])
def test_curvature_at_equal_points(gradient: Any, x64: None) -> None:
    """All errors 0: the second derivative is that of e_0²/2 + w |e_1:|²/2."""
    y = jnp.array([[0.3, -1.0, 2.0]])
    curvature = jax.jit(jax.hessian(lambda x: huber(x[None], y, 0.7, 5.0, gradient)))(y[0])
    np.testing.assert_allclose(curvature, np.diag([1.0, 5.0, 5.0]), atol=1e-14)


@pytest.mark.parametrize("gradient", ["norm", "component"])
def test_derivatives_are_finite_differences(gradient: Any, x64: None, differences: Callable[..., np.ndarray]) -> None:
    x, y = samples(3)
    loss = jax.jit(lambda x: huber(x.reshape(5, 3), jnp.array(y), 0.8, 2.0, gradient))
    slope = jax.jit(jax.grad(loss))
    np.testing.assert_allclose(slope(x.ravel()), differences(loss, x.ravel()), atol=1e-8)
    np.testing.assert_allclose(jax.hessian(loss)(x.ravel()), differences(slope, x.ravel()), atol=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_float32_at_all_scales(scale: float) -> None:
    x, y = (jnp.array(scale * z, dtype=jnp.float32) for z in samples(3))
    wide = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    assert huber(x, y) == pytest.approx(loop(*wide, 1.0, 1.0, "norm"), rel=1e-5)
    expected = np.mean(np.sum((wide[0][:, None] - wide[1]) ** 2, axis=-1))
    assert l2(x, y) == pytest.approx(expected, rel=1e-5)


def test_metrics_are_the_functions() -> None:
    x, y = map(jnp.array, samples(3))
    metric = registry.make("huber", delta=0.5, gradient_weight=2.0, gradient="component")
    assert metric(KEY, x, y) == huber(x, y, 0.5, 2.0, "component")
    assert registry.make("l2", gradient_weight=2.0)(KEY, x, y) == l2(x, y, 2.0)
    assert Huber().contraction_rate(0.5) is None
    assert L2().contraction_rate(0.5) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"delta": 0.0}, ("delta", "0.0")),
        ({"gradient_weight": -1.0}, ("gradient_weight", "-1.0")),
        ({"gradient": "norms"}, ("gradient", "'norms'", "'norm'", "component")),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], words: tuple[str, ...], named: Callable[..., str]) -> None:
    for call in (lambda: Huber(**arguments), lambda: huber(jnp.zeros((1, 2)), jnp.zeros((1, 2)), **arguments)):
        with pytest.raises(ValueError, match=named(*words)):
            call()


def test_wrong_weight_of_l2_and_shapes(named: Callable[..., str]) -> None:
    for call in (lambda: L2(-0.5), lambda: l2(jnp.zeros((1, 2)), jnp.zeros((1, 2)), -0.5)):
        with pytest.raises(ValueError, match=named("gradient_weight", "-0.5")):
            call()
    for loss in (huber, l2):
        with pytest.raises(ValueError, match=named("(4, 3)", "(5, 2)")):
            loss(jnp.zeros((4, 3)), jnp.zeros((5, 2)))


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_huber_of_error_and_its_derivatives(delta: float, x64: None) -> None:
    u = jnp.array([-3.0, -delta / 2, 0.0, 0.3, delta + 1e-3, 40.0])
    np.testing.assert_allclose(huber_of_error(u, delta), scipy.special.huber(delta, np.abs(u)), rtol=1e-14)

    def h(u: jax.Array) -> jax.Array:
        return huber_of_error(u, delta)

    slope, step = jax.vmap(jax.grad(h)), 1e-6
    np.testing.assert_allclose(slope(u), (h(u + step) - h(u - step)) / (2 * step), atol=1e-8)
    curvature = jax.vmap(jax.grad(jax.grad(h)))(u)
    np.testing.assert_allclose(curvature, (slope(u + step) - slope(u - step)) / (2 * step), atol=1e-8)
    np.testing.assert_array_equal(curvature, np.abs(u) < delta)
