from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sobolev.metrics import RBF, Energy, Kernel, Laplace, Multiquadric, RationalQuadratic, gram, kernels, mmd2

Case = tuple[Kernel, Callable[[Any], Any], Callable[[Any], Any]]


@pytest.mark.parametrize("size", [1, 3])
def test_value_and_gram_are_the_formula(kernel_case: Case, x64: None, size: int) -> None:
    kernel, value, _ = kernel_case
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, size)), rng.normal(1.0, 3.0, size=(6, size))
    y[2] = x[1]
    expected = [[value(np.linalg.norm(x_i - y_j)) for y_j in y] for x_i in x]
    np.testing.assert_allclose(gram(kernel, jnp.array(x), jnp.array(y)), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("size", [1, 3])
def test_gap_is_half_the_squared_feature_distance(kernel_case: Case, x64: None, size: int) -> None:
    """g(x, y) = (k(x, x) + k(y, y)) / 2 - k(x, y)"""
    kernel, _, _ = kernel_case
    rng = np.random.default_rng(1)
    x, y = jnp.array(rng.normal(size=(4, size))), jnp.array(rng.normal(1.0, 3.0, size=(6, size)))
    own = jax.vmap(kernel)
    expected = (own(x, x)[:, None] + own(y, y)[None]) / 2 - gram(kernel, x, y)
    np.testing.assert_allclose(gram(kernel.gap, x, y), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("direction", [[1.0], [0.6, 0.0, -0.8]])
def test_float32_gap_keeps_its_digits_at_all_distances(kernel_case: Case, direction: list[float]) -> None:
    kernel, _, gap = kernel_case
    y = (np.logspace(-6, 6, 49)[:, None] * np.array(direction)).astype(np.float32)
    actual = jax.jit(lambda y: gram(kernel.gap, jnp.zeros((1, len(direction))), y))(y)[0]
    expected = [gap(distance) for distance in np.linalg.norm(y.astype(np.float64), axis=1)]
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_float32_gap_of_large_and_close_points(kernel_case: Case) -> None:
    kernel, _, gap = kernel_case
    x = np.array([1000.0, -3000.0, 500.0], dtype=np.float32)
    y = x + np.array([2.0**-12, 2.0**-11, 0.0], dtype=np.float32)
    expected = gap(np.linalg.norm(x.astype(np.float64) - y.astype(np.float64)))
    np.testing.assert_allclose(kernel.gap(jnp.array(x), jnp.array(y)), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_gradient_at_equal_points_is_zero(kernel_case: Case, size: int) -> None:
    kernel, _, _ = kernel_case
    x = jnp.linspace(0.5, 2.0, size)
    for function in (kernel, kernel.gap):
        for gradient in jax.grad(function, argnums=(0, 1))(x, x):
            np.testing.assert_array_equal(gradient, np.zeros(size))


@pytest.mark.parametrize("size", [1, 3])
def test_gradients_are_finite_differences(
    kernel_case: Case, x64: None, size: int, differences: Callable[..., np.ndarray]
) -> None:
    kernel, _, _ = kernel_case
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=size), rng.normal(size=size) + 0.5
    for function in (jax.jit(kernel), jax.jit(kernel.gap)):
        d_x, d_y = jax.grad(function, argnums=(0, 1))(x, y)
        scale = np.linalg.norm(d_x)
        np.testing.assert_allclose(d_x, differences(lambda x, f=function: f(x, y), x), rtol=1e-5, atol=1e-7 * scale)
        np.testing.assert_allclose(d_y, differences(lambda y, f=function: f(x, y), y), rtol=1e-5, atol=1e-7 * scale)


@pytest.mark.parametrize("kernel", [Multiquadric(0.5), Multiquadric(), Energy(), Energy(1.5)], ids=repr)
def test_scaling_law(kernel: Any) -> None:
    """MMD(cX, cY) <= l(c) MMD(X, Y) for c <= 1, with equality under homogeneous kernels."""
    squared = jax.jit(lambda x, y: mmd2(x, y, kernel, "v"))

    def root(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.sqrt(np.maximum(squared(x, y), 0.0)))

    @given(st.data(), st.sampled_from([1, 2, 3]), st.floats(0.0, 1.0))
    def law(data: st.DataObject, size: int, c: float) -> None:
        coordinates = st.floats(-20.0, 20.0)
        x, y = (
            data.draw(arrays(float, (4, size), elements=coordinates)),
            data.draw(arrays(float, (5, size), elements=coordinates)),
        )
        with jax.enable_x64(True):
            before, after, rate = root(x, y), root(c * x, c * y), kernel.scaling(c)
        rounding = 1e-6 * (1.0 + getattr(kernel, "h", 1.0))
        assert after <= rate * before + rounding
        if isinstance(kernel, Energy):
            assert after == pytest.approx(rate * before, rel=1e-6, abs=rounding)

    law()


def test_scaling_declarations() -> None:
    assert Multiquadric().scaling(0.25) == 0.5
    assert Multiquadric().scaling(1.3) is None
    assert Energy(1.5).scaling(16.0) == pytest.approx(8.0)
    assert [kernel.scaling(0.5) for kernel in (RBF(), RationalQuadratic(), Laplace())] == [None, None, None]


@pytest.mark.parametrize("kernel", [RBF((1.0,)), RationalQuadratic(), Laplace()], ids=repr)
def test_bounded_kernels_shrink_less_than_they_should(kernel: Kernel, x64: None) -> None:
    """Where c |x - y| is still far above the bandwidth nothing shrinks: no l(c) < 1 is possible."""
    x, y = jnp.array([[0.0]]), jnp.array([[1e6]])
    ratio = mmd2(0.5 * x, 0.5 * y, kernel, "v") / mmd2(x, y, kernel, "v")
    assert ratio == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", kernels.registry.names())
def test_contract_of_every_entry(name: str, x64: None) -> None:
    kernel = kernels.registry.make(name)
    rng = np.random.default_rng(3)
    x, y = jnp.array(rng.normal(size=(4, 2))), jnp.array(rng.normal(size=(6, 2)))
    gaps = gram(kernel.gap, x, y)
    assert isinstance(kernel, Kernel)
    assert isinstance(kernel.characteristic, bool)
    assert (np.asarray(gaps) > 0).all()
    np.testing.assert_array_equal(np.diag(gram(kernel.gap, x, x)), np.zeros(4))
    np.testing.assert_allclose(gram(kernel, y, x).T, gram(kernel, x, y), rtol=1e-12)
    np.testing.assert_allclose(gram(kernel.gap, x + 3.0, y + 3.0), gaps, rtol=1e-9)
    assert kernel.scaling(0.5) is None or 0 < kernel.scaling(0.5) < 1
    assert hash(kernel) == hash(kernels.registry.make(name))


def test_defaults_are_the_papers() -> None:
    assert Multiquadric().h == 100.0
    assert Energy().beta == 1.0
    assert RBF().bandwidths == (0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 100.0)
    assert RationalQuadratic().alpha == 1.0


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("multiquadric", {"h": -2.5}, "h must be positive, got -2.5"),
        ("multiquadric", {"h": float("nan")}, "h must be positive, got nan"),
        ("energy", {"beta": 2.0}, "beta .* got 2.0"),
        ("energy", {"beta": 0.0}, "beta .* got 0.0"),
        ("rbf", {"bandwidths": ()}, r"bandwidths .* got \(\)"),
        ("rbf", {"bandwidths": (1.0, -3.0)}, "bandwidths must be positive, got -3.0"),
        ("rational_quadratic", {"alpha": 0.0}, "alpha must be positive, got 0.0"),
        ("laplace", {"scale": -1.0}, "scale must be positive, got -1.0"),
    ],
)
def test_bad_parameters(name: str, arguments: dict[str, Any], value: str) -> None:
    with pytest.raises(ValueError, match=value):
        kernels.registry.make(name, **arguments)
