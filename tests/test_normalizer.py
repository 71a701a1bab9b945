from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.normalizer import Scale, fit_scale, restore, standardise, unit_scale


def test_fit_is_the_mean_and_the_standard_deviation() -> None:
    x = np.random.default_rng(0).normal([1.0, -20.0, 0.0], [3.0, 0.1, 1e-3], size=(50, 3)).astype(np.float32)
    scale = normalizer.fit(jnp.array(x))
    np.testing.assert_allclose(scale.mean, np.mean(x, axis=0, dtype=np.float64), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(scale.std, np.std(x, axis=0, dtype=np.float64), rtol=1e-4)
    z = np.asarray(normalizer.normalize(scale, jnp.array(x)))
    np.testing.assert_allclose(np.mean(z, axis=0), np.zeros(3), atol=1e-4)
    np.testing.assert_allclose(np.std(z, axis=0), np.ones(3), rtol=1e-4)


def test_restore_is_the_inverse() -> None:
    x = jax.random.normal(jax.random.key(0), (7, 3)) * 5 + 2
    scale = Scale(jnp.array([1.0, -2.0, 3.0]), jnp.array([0.5, 2.0, 10.0]))
    np.testing.assert_allclose(normalizer.normalize(scale, x), (np.asarray(x) - [1, -2, 3]) / [0.5, 2, 10], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(restore(scale, normalizer.normalize(scale, x)), x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(normalizer.normalize(scale, restore(scale, x)), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 7.0, 1234.567, -1e6 / 3])
def test_a_constant_component_keeps_its_unit(constant: float) -> None:
    x = jnp.stack([jnp.linspace(-1, 1, 300), jnp.full(300, constant)], axis=1)
    scale = normalizer.fit(x)
    assert scale.std[1] == 1.0
    assert scale.mean[1] == pytest.approx(constant, rel=1e-5)
    assert scale.std[0] == pytest.approx(np.std(np.linspace(-1, 1, 300)), rel=1e-5)


def test_smallest_variation() -> None:
    x = jnp.array([[0.0, 0.0], [0.2, 0.02]])
    np.testing.assert_allclose(normalizer.fit(x, smallest=0.05).std, [0.1, 1.0], rtol=1e-6)


def test_unit_scale_changes_nothing() -> None:
    x = jnp.array([3.0, -4.0])
    np.testing.assert_array_equal(normalizer.normalize(normalizer.identity(2), x), x)
    np.testing.assert_array_equal(restore(normalizer.identity(2), x), x)


@pytest.mark.parametrize("function", [standardise, restore])
def test_the_scale_is_not_learned(function: Callable[..., jax.Array]) -> None:
    scale, x = Scale(jnp.array([1.0, 2.0]), jnp.array([2.0, 4.0])), jnp.array([3.0, 5.0])
    d_scale, d_x = jax.grad(lambda scale, x: jnp.sum(function(scale, x)), argnums=(0, 1))(scale, x)
    assert all(not np.any(leaf) for leaf in d_scale)
    np.testing.assert_allclose(d_x, [0.5, 0.25] if function is standardise else [2.0, 4.0])
