import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.numerics import (
    safe_norm,
    safe_power,
    safe_sqrt,
    squared_distance,
    squared_distances,
    unit_vector,
)


@pytest.mark.parametrize("size", [1, 4])
def test_squared_distance(size: int, x64: None) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=size), rng.normal(size=size)
    value, slopes = jax.value_and_grad(squared_distance, argnums=(0, 1))(jnp.array(x), jnp.array(y))
    assert value.shape == ()
    np.testing.assert_allclose(value, np.sum((x - y) ** 2), rtol=1e-14)
    np.testing.assert_allclose(slopes, [2 * (x - y), 2 * (y - x)], rtol=1e-14)


def test_squared_distance_of_large_and_close_vectors() -> None:
    x = jnp.array([1e4, 1e4])
    assert squared_distance(x, x + jnp.array([2.0**-9, 0.0])) == 2.0**-18


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([[np.sum((x_i - y_j) ** 2) for y_j in y] for x_i in x])


@pytest.mark.parametrize("size", [1, 4])
def test_squared_distances_of_all_pairs(size: int, x64: None) -> None:
    """Values, slopes and, in reverse over reverse, second derivatives of a weighted sum."""
    rng = np.random.default_rng(0)
    x, y, weights = rng.normal(size=(5, size)), rng.normal(size=(3, size)), rng.normal(size=(5, 3))

    def total(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.sum(weights * squared_distances(x, y) ** 2)

    np.testing.assert_allclose(squared_distances(x, y), distances(x, y), rtol=1e-14)
    differences = x[:, None] - y[None]
    terms = 4.0 * (weights * distances(x, y))[..., None] * differences
    to_x, to_y = jax.jit(jax.grad(total, argnums=(0, 1)))(x, y)
    np.testing.assert_allclose(to_x, terms.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(to_y, -terms.sum(axis=0), rtol=1e-12)
    curvature = jax.jit(jax.jacrev(jax.grad(total)))(x, y)[2, :, 2, :]
    expected = 8.0 * np.einsum("j,jc,jd->cd", weights[2], differences[2], differences[2])
    expected += 4.0 * np.sum(weights[2] * distances(x, y)[2]) * np.eye(size)
    np.testing.assert_allclose(curvature, expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(4,), (3, 2), (3, 5), (2, 3, 4)])
def test_squared_distances_of_points_that_do_not_match(shape: tuple[int, ...]) -> None:
    for points in ((jnp.zeros((5, 4)), jnp.zeros(shape)), (jnp.zeros(shape), jnp.zeros((5, 4)))):
        with pytest.raises(ValueError, match=re.escape(str(shape))):
            squared_distances(*points)


def test_squared_distances_keep_their_digits() -> None:
    """Of points that are far from the origin, and of two close ones among others; in value and in slope."""
    far = jnp.array([[1e4, 1e4], [-1e4, 3.0]])
    near = far.at[0, 0].add(2.0**-9)
    value, back = jax.vjp(squared_distances, far, near)
    assert value[0, 0] == 2.0**-18
    slope = jnp.zeros((2, 2)).at[0, 0].set(0.5 * 2.0**9)  # that of the root of the first distance
    np.testing.assert_array_equal(back(slope)[0], [[-1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(back(slope)[1], [[1.0, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize("exponent", [0.5, 0.25, 0.75, 1.0, 1.5])
def test_safe_power(exponent: float, x64: None) -> None:
    x = jnp.array([1e-8, 0.3, 1.0, 7.0, 1e8])
    np.testing.assert_allclose(safe_power(x, exponent), np.asarray(x) ** exponent, rtol=1e-14)
    slope = jax.vmap(jax.grad(lambda x: safe_power(x, exponent)))(x)
    np.testing.assert_allclose(slope, exponent * np.asarray(x) ** (exponent - 1), rtol=1e-13)
    assert jax.value_and_grad(lambda x: safe_power(x, exponent))(0.0) == (0.0, 0.0)


def test_safe_sqrt(x64: None) -> None:
    x = jnp.array([1e-12, 0.25, 9.0])
    np.testing.assert_allclose(safe_sqrt(x), np.sqrt(x), rtol=1e-15)
    np.testing.assert_allclose(jax.vmap(jax.grad(safe_sqrt))(x), 0.5 / np.sqrt(x), rtol=1e-14)
    assert jax.value_and_grad(safe_sqrt)(0.0) == (0.0, 0.0)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_safe_norm_keeps_extreme_float32(scale: float) -> None:
    x = jnp.array([[3.0, 0.0, -4.0], [0.0, 0.0, 0.0]]) * scale
    np.testing.assert_allclose(safe_norm(x), [5 * scale, 0.0], rtol=1e-6)
    slope = jax.grad(lambda x: jnp.sum(safe_norm(x)))(x)
    np.testing.assert_allclose(slope, [[0.6, 0.0, -0.8], [0.0, 0.0, 0.0]], rtol=1e-6)


def test_safe_norm_curvature(x64: None, differences: Callable[..., np.ndarray]) -> None:
    """d² |x| = (I - u u^T) / |x| with u = x / |x|"""
    x = np.array([1.0, -2.0, 2.0])
    unit = x / 3
    curvature = jax.hessian(safe_norm)(jnp.array(x))
    np.testing.assert_allclose(curvature, (np.eye(3) - np.outer(unit, unit)) / 3, atol=1e-14)
    np.testing.assert_allclose(jax.grad(safe_norm)(jnp.array(x)), differences(safe_norm, x), rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_unit_vector(scale: float) -> None:
    """d (x / |x|) = (I - u u^T) / |x|: of u_0 at u = (0.6, 0.8) it is (0.64, -0.48) / |x|, |x| = 5 scale."""
    x = jnp.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]]) * scale
    np.testing.assert_allclose(unit_vector(x), [[0.6, 0.8], [0.0, 0.0], [0.0, -1.0]], rtol=1e-6)
    slope = np.asarray(jax.grad(lambda x: unit_vector(x)[0, 0])(x)) * scale
    np.testing.assert_allclose(slope, [[0.128, -0.096], [0.0, 0.0], [0.0, 0.0]], rtol=1e-5, atol=1e-7)
