from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.metrics import (
    MMD,
    MSMMD,
    RBF,
    DirectionSearch,
    Energy,
    Kernel,
    Laplace,
    Multiquadric,
    RationalQuadratic,
    gram,
    kernels,
)

Case = tuple[Kernel, Callable[[Any], Any], Callable[[Any], Any]]


@dataclass(frozen=True)
class Gaussian(Kernel):
    """``RBF((1.0,))`` by its value alone: a kernel that no registry has, with every default of the contract."""

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.exp(-0.5 * jnp.sum((x - y) ** 2))


@pytest.mark.parametrize("size", [1, 3])
def test_value_and_gram_are_the_formula(kernel_case: Case, x64: None, size: int) -> None:
    kernel, value, _ = kernel_case
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, size)), rng.normal(1.0, 3.0, size=(6, size))
    y[2] = x[1]
    expected = [[value(np.linalg.norm(x_i - y_j)) for y_j in y] for x_i in x]
    np.testing.assert_allclose(gram(kernel, jnp.array(x), jnp.array(y)), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("size", [1, 3])
def test_gaps_of_all_pairs_are_those_of_each(kernel_case: Case, x64: None, size: int) -> None:
    """So are their slopes, at equal points too."""
    kernel, _, _ = kernel_case
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(4, size)), rng.normal(1.0, 3.0, size=(6, size))
    y[2], weights = x[1], rng.normal(size=(4, 6))
    ours, pairwise = (
        jax.jit(jax.value_and_grad(lambda x, y, gaps=gaps: jnp.sum(weights * gaps(x, y)), argnums=(0, 1)))(x, y)
        for gaps in (kernel.gaps, lambda x, y: gram(kernel.gap, x, y))
    )
    np.testing.assert_allclose(ours[0], pairwise[0], rtol=1e-12)
    for slope, expected in zip(ours[1], pairwise[1], strict=True):
        np.testing.assert_allclose(slope, expected, rtol=1e-10, atol=1e-10)


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
    value_and_gap = jax.jit(lambda x, y: jnp.stack([kernel(x, y), kernel.gap(x, y)]))
    d_x, d_y = jax.jit(jax.jacrev(value_and_gap, argnums=(0, 1)))(x, y)
    tolerance = {"rtol": 1e-5, "atol": 1e-7 * float(np.abs(d_x).max())}
    np.testing.assert_allclose(d_x, differences(lambda x: value_and_gap(x, y), x), **tolerance)
    np.testing.assert_allclose(d_y, differences(lambda y: value_and_gap(x, y), y), **tolerance)


def test_scaling_declarations() -> None:
    assert Multiquadric().scaling(0.25) == 0.5
    assert Multiquadric().scaling(1.3) is None
    assert Energy(1.5).scaling(16.0) == pytest.approx(8.0)
    assert [kernel.scaling(0.5) for kernel in (RBF(), RationalQuadratic(), Laplace())] == [None, None, None]


@pytest.mark.parametrize("name", [*kernels.registry.names(), "unregistered"])
def test_contract(name: str, x64: None) -> None:
    kernel, again = (Gaussian() if name == "unregistered" else kernels.registry.make(name) for _ in range(2))
    rng = np.random.default_rng(3)
    x, y = jnp.array(rng.normal(size=(4, 2))), jnp.array(rng.normal(size=(6, 2)))
    gaps = gram(kernel.gap, x, y)
    assert isinstance(kernel, Kernel)
    assert isinstance(kernel.characteristic, bool)
    assert kernel == again
    assert hash(kernel) == hash(again)
    assert (np.asarray(gaps) > 0).all()
    np.testing.assert_array_equal(np.diag(gram(kernel.gap, x, x)), np.zeros(4))
    np.testing.assert_allclose(gram(kernel, y, x).T, gram(kernel, x, y), rtol=1e-12)
    np.testing.assert_allclose(gram(kernel.gap, x + 3.0, y + 3.0), gaps, rtol=1e-9)
    for gradient in jax.grad(kernel.gap, argnums=(0, 1))(x[0], x[0]):
        np.testing.assert_array_equal(gradient, np.zeros(2))
    scaling = kernel.scaling(0.5)
    assert scaling is None or 0 < scaling < 1


def test_defaults_of_a_kernel_that_has_a_value_alone(x64: None) -> None:
    """Its gap is (k(x, x) + k(y, y)) / 2 - k(x, y), and it promises nothing."""
    kernel, reference = Gaussian(), RBF((1.0,))
    rng = np.random.default_rng(4)
    x, y = jnp.array(rng.normal(size=(4, 3))), jnp.array(rng.normal(1.0, 2.0, size=(6, 3)))
    np.testing.assert_allclose(gram(kernel.gap, x, y), gram(reference.gap, x, y), rtol=1e-12)
    assert (kernel.characteristic, kernel.scaling(0.5), kernel.gap_is_distance) == (False, None, False)


@pytest.mark.parametrize(
    ("metric", "arguments", "size"),
    [
        (MMD, {"estimator": "v"}, 1),
        (MMD, {"estimator": "u"}, 3),
        (MSMMD, {"search": DirectionSearch(num_directions=2, num_climbs=1, num_steps=2)}, 3),
    ],
)
def test_metrics_take_a_kernel_that_has_a_value_alone(
    metric: Any, arguments: dict[str, Any], size: int, x64: None
) -> None:
    """Also for many points on the line, which other kernels may sort."""
    rng = np.random.default_rng(5)
    x, y = jnp.array(rng.normal(size=(40, size))), jnp.array(rng.normal(1.0, 2.0, size=(30, size)))
    own, reference = (metric(kernel=kernel, **arguments) for kernel in (Gaussian(), RBF((1.0,))))
    value, slope = jax.jit(jax.value_and_grad(own, argnums=1))(jax.random.key(0), x, y)
    expected, expected_slope = jax.jit(jax.value_and_grad(reference, argnums=1))(jax.random.key(0), x, y)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-7, atol=1e-12)
    assert own.contraction_rate(0.5) is None


def test_a_kernel_needs_a_value() -> None:
    """What lacks it is refused where it is made, by the name of what is missing."""
    incomplete: Any = type("Incomplete", (Kernel,), {})
    with pytest.raises(TypeError, match="__call__"):
        incomplete()


_ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "multiquadric": [{"h": 0.01}, {"h": 1.0}],
    "energy": [{"beta": 0.5}, {"beta": 1.0}, {"beta": 1.0 + 1e-5}, {"beta": 1.9}],
    "rbf": [{"bandwidths": (1.0,)}, {"bandwidths": (1e3,)}],
    "rational_quadratic": [{"alpha": 0.5}, {"alpha": 3.0}],
    "laplace": [{"scale": 0.5}, {"scale": 1e6}],
}


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    ("name", "arguments"), [(name, a) for name in kernels.registry.names() for a in [{}, *_ARGUMENTS.get(name, [])]]
)
def test_gap_is_distance_where_it_says_so_and_only_there(
    name: str, arguments: dict[str, Any], size: int, x64: None
) -> None:
    """gap(x, y) = |x - y| at distances from 1e-4 to 1e4, hence MMD² on the line by sorting is right."""
    kernel = kernels.registry.make(name, **arguments)
    distances = np.logspace(-4, 4, 33)
    direction = np.array([[1.0], [0.6, 0.0, -0.8]][size // 2])
    gaps = gram(kernel.gap, jnp.zeros((1, size)), jnp.array(distances[:, None] * direction))[0]
    assert kernel.gap_is_distance == np.allclose(gaps, distances, rtol=1e-7, atol=0.0)


def test_one_of_them_is_a_distance() -> None:
    assert [name for name in kernels.registry.names() if kernels.registry.make(name).gap_is_distance] == ["energy"]


def test_defaults_are_the_papers() -> None:
    assert Multiquadric().h == 100.0
    assert Energy().beta == 1.0
    assert RBF().bandwidths == (0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 100.0)
    assert RationalQuadratic().alpha == 1.0


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("multiquadric", {"h": -2.5}, ("h", "-2.5")),
        ("multiquadric", {"h": float("nan")}, ("h", "nan")),
        ("energy", {"beta": 2.0}, ("beta", "0", "2", "2.0")),
        ("energy", {"beta": 0.0}, ("beta", "0", "2", "0.0")),
        ("rbf", {"bandwidths": ()}, ("bandwidths", "()")),
        ("rbf", {"bandwidths": (1.0, -3.0)}, ("bandwidths", "-3.0")),
        ("rational_quadratic", {"alpha": 0.0}, ("alpha", "0.0")),
        ("laplace", {"scale": -1.0}, ("scale", "-1.0")),
    ],
)
def test_bad_parameters(name: str, arguments: dict[str, Any], words: tuple[str, ...], named: Any) -> None:
    with pytest.raises(ValueError, match=named(*words)):
        kernels.registry.make(name, **arguments)
