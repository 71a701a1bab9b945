from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sobolev.metrics import QuantileHuber, quantile_huber, registry
from sobolev.metrics.quantile import rows_at_levels

KEY = jax.random.key(0)
N, M = 5, 7


def samples(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, size)), rng.normal(0.5, 2.0, size=(M, size)), rng.uniform(0.05, 0.95, size=N)


def return_loop(x: np.ndarray, y: np.ndarray, levels: np.ndarray, kappa: float) -> float:
    terms = [
        abs(tau - (y_j < x_i)) * scipy.special.huber(kappa, y_j - x_i) / kappa
        for x_i, tau in zip(x, levels, strict=True)
        for y_j in y
    ]
    return float(np.mean(terms))


def gradient_targets(y: np.ndarray, levels: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
    """The mean gradient of the targets z with P(y < z) <= tau <= P(y <= z)."""
    targets = []
    for tau in levels:
        returns = y[:, 0]
        rows = [
            y_j[1:]
            for y_j in y
            if np.mean(returns < y_j[0]) <= tau + tolerance and tau - tolerance <= np.mean(returns <= y_j[0])
        ]
        targets.append(np.mean(rows, axis=0))
    return np.array(targets)


@pytest.mark.parametrize("kappa", [0.3, 1.0])
def test_return_alone_is_the_double_sum(kappa: float, x64: None) -> None:
    x, y, levels = samples(1)
    actual = quantile_huber(jnp.array(x), jnp.array(y), jnp.array(levels), kappa)
    assert actual == pytest.approx(return_loop(x[:, 0], y[:, 0], levels, kappa), rel=1e-12)


@pytest.mark.parametrize("gradient", ["squared", "huber"])
@pytest.mark.parametrize("tied", [False, True])
def test_joint_is_the_loop(gradient: Any, tied: bool, x64: None) -> None:
    x, y, levels = samples(4)
    if tied:
        y[:, 0] = np.round(y[:, 0] / 2)
        levels[1] = 3 / 7
    errors = np.linalg.norm(x[:, 1:] - gradient_targets(y, levels), axis=1)
    losses = errors**2 / 2 if gradient == "squared" else scipy.special.huber(0.7, errors) / 0.7
    expected = return_loop(x[:, 0], y[:, 0], levels, 0.7) + 5.0 * np.mean(losses)
    actual = quantile_huber(jnp.array(x), jnp.array(y), jnp.array(levels), 0.7, 5.0, gradient)
    assert actual == pytest.approx(expected, rel=1e-12)


def test_small_kappa_is_the_pinball_loss(x64: None) -> None:
    x, y, levels = samples(1)
    errors = y[None, :, 0] - x[:, None, 0]
    pinball = np.mean(np.maximum(levels[:, None] * errors, (levels[:, None] - 1) * errors))
    actual = quantile_huber(jnp.array(x), jnp.array(y), jnp.array(levels), kappa=1e-9)
    assert actual == pytest.approx(pinball, rel=1e-8)


_PINBALL = jax.jit(jax.vmap(lambda z, y, tau: quantile_huber(z[None, None], y, tau[None], 1e-9), (0, None, None)))


@given(arrays(float, (M, 1), elements=st.integers(-3, 3).map(float)), st.integers(0, 6), st.floats(0.1, 0.9))
def test_minimizer_is_the_quantile(y: np.ndarray, piece: int, within: float) -> None:
    """Of seven atoms, some of them equal, at levels within each piece of their distribution function."""
    tau = (piece + within) / M
    quantile = np.quantile(y[:, 0], tau, method="inverted_cdf")
    candidates = quantile + np.array([0.0, -3.0, -1.0, -0.25, 0.25, 1.0, 3.0])
    with jax.enable_x64(True):
        losses = np.asarray(_PINBALL(candidates, y, tau))
    assert (losses[1:] > losses[0] + 1e-3).all()


def test_rows_of_random_levels_are_the_quantile_function() -> None:
    y = np.random.default_rng(1).permutation(M).astype(np.float32)
    levels = jnp.array([0.01, 0.2, 0.5, 0.99])
    weights = rows_at_levels(jnp.array(y), levels)
    assert set(np.unique(weights)) == {0.0, 1.0}
    np.testing.assert_array_equal(weights @ y, np.quantile(y, levels, method="inverted_cdf"))


@pytest.mark.parametrize("n", [1, 3, 5, 10, 25, 32, 50])
def test_midpoints_share_out_twice_as_many_targets(n: int) -> None:
    """Level (2i + 1) / (2n) of 2n targets lies between two of them; in float32 it may not hit the whole number."""
    levels = (jnp.arange(n) + 0.5) / n
    weights = rows_at_levels(jnp.arange(2.0 * n), levels)
    np.testing.assert_array_equal(weights, np.kron(np.eye(n), [[0.5, 0.5]]))


def test_gradient_is_that_of_the_targets_at_the_level() -> None:
    """Three quantiles of targets whose gradient is ten times the square of the return, in no order."""
    returns = jnp.array([3.0, -1.0, 2.0, 0.0])
    y = jnp.stack([returns, 10 * returns**2], axis=1)
    levels = jnp.array([0.6, 0.1, 0.9])
    x = jnp.array([[2.0, 40.0], [-1.0, 10.0], [3.0, 90.0]])
    slope = jax.jit(jax.grad(lambda x: quantile_huber(x, y, levels)))
    np.testing.assert_array_equal(slope(x)[:, 1], np.zeros(3))
    np.testing.assert_allclose(slope(x + jnp.array([[0.0, 6.0]]))[:, 1], np.full(3, 6.0 / 3))
    np.testing.assert_array_equal(slope(x)[:, 0], slope(x + jnp.array([[0.0, 6.0]]))[:, 0])


def test_gradients_of_equal_returns_are_averaged() -> None:
    y = jnp.array([[1.0, 4.0], [0.0, 100.0], [1.0, 8.0]])
    slope = jax.jit(jax.grad(lambda x: quantile_huber(x, y, jnp.array([0.8]))))
    assert slope(jnp.array([[1.0, 6.0]]))[0, 1] == pytest.approx(0.0, abs=1e-6)


def test_the_gradient_at_a_level_does_not_depend_on_the_reparameterization() -> None:
    """y = <(cos a, sin a), e>, e normal: the distribution of y does not depend on a, and E[d_a y | y] = 0."""
    e = jax.random.normal(KEY, (4000, M, 2))
    levels = jnp.array([0.2, 0.7])
    targets = jax.vmap(lambda e: rows_at_levels(e[:, 0], levels) @ e[:, 1:])(e)[..., 0]
    assert np.std(targets) == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(np.mean(targets, axis=0), np.zeros(2), atol=4 / np.sqrt(4000))


_WEIGHTS = jax.jit(rows_at_levels)


@given(
    arrays(np.float32, M, elements=st.integers(-2, 2).map(float)),
    arrays(np.float32, N, elements=st.floats(0, 1, width=32)),
)
def test_weights_are_even_over_quantiles(returns: np.ndarray, levels: np.ndarray) -> None:
    weights = np.asarray(_WEIGHTS(returns, levels))
    np.testing.assert_allclose(weights.sum(axis=1), np.ones(N), rtol=1e-6)
    for row in weights:
        assert len(np.unique(row[row > 0])) == 1


def test_gradient_is_finite_differences(x64: None, differences: Callable[..., np.ndarray]) -> None:
    x, *rest = samples(3)
    y, levels = map(jnp.array, rest)
    loss = jax.jit(lambda x: quantile_huber(x.reshape(N, 3), y, levels, 0.5, 2.0, "huber"))
    np.testing.assert_allclose(jax.grad(loss)(x.ravel()), differences(loss, x.ravel()), atol=1e-8)


def test_metric_is_the_function() -> None:
    x, y, levels = map(jnp.array, samples(3))
    metric = registry.make("quantile_huber", kappa=0.5, gradient_weight=2.0, gradient="huber")
    assert metric(KEY, x, y, levels) == quantile_huber(x, y, levels, 0.5, 2.0, "huber")
    assert metric.contraction_rate(0.5) is None


def test_levels_are_needed(named: Callable[..., str]) -> None:
    x, y, levels = map(jnp.array, samples(3))
    with pytest.raises(ValueError, match=named("levels[N]", "quantile critic", "mmd", "msmmd")):
        QuantileHuber()(KEY, x, y)
    with pytest.raises(ValueError, match=named("levels", "5", "(4,)")):
        QuantileHuber()(KEY, x, y, levels[:4])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kappa": 0.0}, ("kappa", "0.0")),
        ({"gradient_weight": -1.0}, ("gradient_weight", "-1.0")),
        ({"gradient": "square"}, ("gradient", "'square'", "'squared'", "huber")),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], words: tuple[str, ...], named: Callable[..., str]) -> None:
    x, y, levels = map(jnp.array, samples(2))
    for call in (lambda: QuantileHuber(**arguments), lambda: quantile_huber(x, y, levels, **arguments)):
        with pytest.raises(ValueError, match=named(*words)):
            call()


def test_wrong_shapes(named: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=named("(4, 3)", "(5, 2)")):
        quantile_huber(jnp.zeros((4, 3)), jnp.zeros((5, 2)), jnp.zeros(4))
