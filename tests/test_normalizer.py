from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import normalizer
from sobolev.normalizer import Normalizer


def test_fit_is_the_mean_and_the_standard_deviation() -> None:
    x = np.random.default_rng(0).normal([1.0, -20.0, 0.0], [3.0, 0.1, 1e-3], size=(50, 3)).astype(np.float32)
    fitted = normalizer.fit(jnp.array(x))
    np.testing.assert_allclose(fitted.mean, np.mean(x, axis=0, dtype=np.float64), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(fitted.std, np.std(x, axis=0, dtype=np.float64), rtol=1e-4)
    z = np.asarray(normalizer.normalize(fitted, jnp.array(x)))
    np.testing.assert_allclose(np.mean(z, axis=0), np.zeros(3), atol=1e-4)
    np.testing.assert_allclose(np.std(z, axis=0), np.ones(3), rtol=1e-4)


def test_denormalize_is_the_inverse() -> None:
    x = jax.random.normal(jax.random.key(0), (7, 3)) * 5 + 2
    given = Normalizer(jnp.array([1.0, -2.0, 3.0]), jnp.array([0.5, 2.0, 10.0]))
    z = normalizer.normalize(given, x)
    np.testing.assert_allclose(z, (np.asarray(x) - [1, -2, 3]) / [0.5, 2, 10], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(normalizer.denormalize(given, z), x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(normalizer.normalize(given, normalizer.denormalize(given, x)), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 7.0, 1234.567, -1e6 / 3])
def test_a_constant_component_keeps_its_unit(constant: float) -> None:
    x = jnp.stack([jnp.linspace(-1, 1, 300), jnp.full(300, constant)], axis=1)
    fitted = normalizer.fit(x)
    assert fitted.std[1] == 1.0
    assert fitted.mean[1] == pytest.approx(constant, rel=1e-5)
    assert fitted.std[0] == pytest.approx(np.std(np.linspace(-1, 1, 300)), rel=1e-5)


def test_smallest_standard_deviation() -> None:
    x = jnp.array([[0.0, 0.0], [0.2, 0.02]])
    np.testing.assert_allclose(normalizer.fit(x, smallest=0.05).std, [0.1, 1.0], rtol=1e-6)


def test_identity_changes_nothing() -> None:
    x = jnp.array([3.0, -4.0])
    np.testing.assert_array_equal(normalizer.normalize(normalizer.identity(2), x), x)
    np.testing.assert_array_equal(normalizer.denormalize(normalizer.identity(2), x), x)


@pytest.mark.parametrize(
    ("function", "slope"), [(normalizer.normalize, [0.5, 0.25]), (normalizer.denormalize, [2.0, 4.0])]
)
def test_no_gradient_flows_into_it(function: Callable[..., jax.Array], slope: list[float]) -> None:
    given, x = Normalizer(jnp.array([1.0, 2.0]), jnp.array([2.0, 4.0])), jnp.array([3.0, 5.0])
    d_normalizer, d_x = jax.grad(lambda given, x: jnp.sum(function(given, x)), argnums=(0, 1))(given, x)
    assert all(not np.any(leaf) for leaf in d_normalizer)
    np.testing.assert_allclose(d_x, slope)
