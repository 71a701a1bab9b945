"""What metrics do with samples that are not plain float32: nothing is hidden, nothing refused without a reason."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import metrics
from sobolev.metrics import kernels
from sobolev.numerics import safe_norm, safe_power, safe_sqrt, unit_vector

KEY = jax.random.key(0)
N, M = 4, 6
LEVELS = jnp.array([0.1, 0.4, 0.6, 0.9])


def with_kernel(kernel: metrics.Kernel) -> Callable[..., jax.Array]:
    return lambda x, y: metrics.mmd2(x, y, kernel)


def as_loss(name: str) -> Callable[..., jax.Array]:
    metric = metrics.registry.make(name)
    return lambda x, y: metric(KEY, x, y, LEVELS)


LOSSES = {name: as_loss(name) for name in metrics.registry.names()} | {
    f"mmd2 under {name}": with_kernel(kernels.registry.make(name)) for name in kernels.registry.names()
}


def samples(name: str) -> tuple[np.ndarray, np.ndarray]:
    size = 1 if name == "wasserstein" else 3
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, size)).astype(np.float32), rng.normal(1.0, 2.0, size=(M, size)).astype(np.float32)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("place", ["x", "y", "last column of x"])
def test_nan_in_nan_out(name: str, place: str) -> None:
    x, y = samples(name)
    {"x": x[1], "y": y[4], "last column of x": x[3, -1:]}[place][0] = np.nan
    value, slope = jax.jit(jax.value_and_grad(LOSSES[name]))(x, y)
    assert np.isnan(value)
    assert np.isnan(slope).any()


def test_nan_among_points_that_are_sorted() -> None:
    x, y = np.linspace(0, 1, 40)[:, None], np.linspace(2, 3, 30)[:, None]
    y[7] = np.nan
    value, slope = jax.value_and_grad(lambda x: metrics.mmd2(x, jnp.asarray(y), metrics.Energy()))(jnp.asarray(x))
    assert np.isnan(value)
    assert np.isnan(slope).any()


@pytest.mark.parametrize("function", [safe_sqrt, lambda x: safe_power(x, 0.3), lambda x: safe_norm(x[None])])
def test_roots_of_nan_are_nan(function: Callable[[jax.Array], jax.Array]) -> None:
    value, slope = jax.value_and_grad(function)(jnp.float32(jnp.nan))
    assert np.isnan(value)
    assert np.isnan(slope)


def test_the_unit_vector_of_nan_is_nan() -> None:
    assert np.isnan(unit_vector(jnp.array([1.0, jnp.nan]))).all()


@pytest.mark.parametrize("name", LOSSES)
def test_integers_and_lists_are_the_same_numbers(name: str) -> None:
    x, y = (np.round(5 * z).astype(int) for z in samples(name))
    expected = LOSSES[name](jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    np.testing.assert_allclose(LOSSES[name](jnp.asarray(x), jnp.asarray(y)), expected, rtol=1e-6)
    np.testing.assert_allclose(LOSSES[name](x.tolist(), y.tolist()), expected, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_computed_in_float32(name: str, dtype: Any) -> None:
    """Also where squares overflow: 300² is beyond float16."""
    x, y = (jnp.asarray(300.0 * z).astype(dtype) for z in samples(name))
    value, slope = jax.jit(jax.value_and_grad(LOSSES[name]))(x, y)
    expected, its_slope = jax.jit(jax.value_and_grad(LOSSES[name]))(x.astype(jnp.float32), y.astype(jnp.float32))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert slope.dtype == dtype
    np.testing.assert_allclose(slope.astype(jnp.float32), its_slope.astype(dtype).astype(jnp.float32), rtol=0.02)


def test_the_multiquadric_of_far_points() -> None:
    """h |x - y| = 1e20, whose square is beyond float32; and 1e-12, whose gap is h² |x - y|² / 2."""
    kernel = metrics.Multiquadric(100.0)
    for distance, gap in ((1e18, 1e20), (1e-14, 0.5e-24)):
        x, y = jnp.array([distance]), jnp.zeros(1)
        np.testing.assert_allclose(kernel.gap(x, y), gap, rtol=1e-6)
        np.testing.assert_allclose(kernel(x, y), -max(gap, 1.0), rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_complex_numbers_are_refused(name: str) -> None:
    x, y = samples(name)
    with pytest.raises(ValueError, match=r"must hold real numbers, got complex64.*two columns"):
        LOSSES[name](x.astype(np.complex64), y)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ("energy", r"got 'energy': kernels.registry.make\('energy'\)"),
        (metrics.Energy, r"a class: Energy\(\) makes one"),
        (3.0, r"such as Energy\(\), got 3.0$"),
    ],
)
def test_what_is_no_kernel_is_refused(kernel: Any, message: str) -> None:
    x, y = samples("mmd")
    for make in (
        lambda: metrics.mmd2(x, y, kernel),
        lambda: metrics.MMD(kernel=kernel),
        lambda: metrics.SlicedMMD(kernel=kernel),
        lambda: metrics.MSMMD(kernel=kernel),
    ):
        with pytest.raises(TypeError, match=message):
            make()
