import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sobolev.metrics import Wasserstein, registry, wasserstein
from sobolev.metrics.wasserstein import quantile_coupling

N, M = 5, 8
ORDERS = [1.0, 1.5, 2.0, 3.0]
LOSSES = {p: jax.jit(lambda x, y, p=p: wasserstein(x, y, p)) for p in ORDERS}
# Whole numbers tie often.
COORDINATES = st.one_of(st.floats(-10.0, 10.0), st.integers(-2, 2).map(float))


def fine_levels(x: np.ndarray, y: np.ndarray, p: float) -> float:
    """Each sample split into equal parts, N M of them on either side, matched in order."""
    return float(np.mean(np.abs(np.repeat(np.sort(x), len(y)) - np.repeat(np.sort(y), len(x))) ** p))


def transport(x: np.ndarray, y: np.ndarray, p: float) -> float:
    """The linear program over all couplings."""
    n, m = len(x), len(y)
    cost = np.abs(x[:, None] - y[None]) ** p
    marginals = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    masses = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return float(scipy.optimize.linprog(cost.ravel(), A_eq=marginals, b_eq=masses).fun)


@given(st.integers(1, 40), st.integers(1, 40))
def test_coupling(n: int, m: int) -> None:
    rows, columns, masses = quantile_coupling(n, m)
    assert len(masses) == n + m - math.gcd(n, m)
    assert (masses > 0).all()
    assert (np.diff(rows) >= 0).all()
    assert (np.diff(columns) >= 0).all()
    np.testing.assert_allclose(np.bincount(rows, masses), np.full(n, 1 / n), rtol=1e-12)
    np.testing.assert_allclose(np.bincount(columns, masses), np.full(m, 1 / m), rtol=1e-12)


@given(arrays(float, N, elements=COORDINATES), arrays(float, M, elements=COORDINATES))
def test_is_the_integral_over_levels(x: np.ndarray, y: np.ndarray) -> None:
    with jax.enable_x64(True):
        for p, loss in LOSSES.items():
            assert loss(x, y) == pytest.approx(fine_levels(x, y, p), rel=1e-12, abs=1e-12)
        assert LOSSES[1.0](x, y) == pytest.approx(scipy.stats.wasserstein_distance(x, y), rel=1e-9, abs=1e-9)
        assert LOSSES[2.0](y, x) == pytest.approx(float(LOSSES[2.0](x, y)), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("tied", [False, True])
def test_is_the_best_of_all_couplings(p: float, tied: bool, x64: None) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=N), rng.exponential(2.0, size=M)
    if tied:
        x, y = np.round(x), np.round(y)
    assert LOSSES[p](x, y) == pytest.approx(transport(x, y, p), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (6, 6), (6, 3)])
def test_sizes_with_a_common_divisor(n: int, m: int, x64: None) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 1)), rng.normal(1.0, 2.0, size=(m, 1))
    assert wasserstein(jnp.array(x), jnp.array(y), 2.0) == pytest.approx(fine_levels(x[:, 0], y[:, 0], 2.0), rel=1e-12)


@pytest.mark.parametrize("p", ORDERS)
def test_shift(p: float) -> None:
    """W_p^p(P, P + c) = |c|^p"""
    x = jnp.array([0.5, -1.0, 3.0])
    assert wasserstein(x, x - 2.0, p) == pytest.approx(2.0**p, rel=1e-6)


@pytest.mark.parametrize("p", ORDERS)
def test_gradient_is_finite_differences(p: float, x64: None, differences: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=N), rng.normal(size=M)
    np.testing.assert_allclose(jax.grad(LOSSES[p])(x, y), differences(lambda x: LOSSES[p](x, y), x), atol=1e-8)


@pytest.mark.parametrize("p", ORDERS)
def test_gradient_at_ties(p: float) -> None:
    """Zero at equal distributions; where all of x is one point, each of its samples has an equal mass of y."""
    loss = jax.jit(jax.grad(lambda x, y: wasserstein(x, y, p)))
    x = jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_array_equal(loss(x, jnp.repeat(x, 2)), np.zeros(3))
    pull = loss(jnp.zeros(3), jnp.array([2.0, 2.0]))
    np.testing.assert_allclose(pull, np.full(3, -p * 2.0 ** (p - 1) / 3), rtol=1e-5)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_float32_at_all_scales(p: float) -> None:
    loss_and_slope = jax.jit(jax.value_and_grad(lambda x, y: wasserstein(x, y, p)))
    rng = np.random.default_rng(2)
    for scale in (1e-6, 1.0, 1e6):
        x, y = ((scale * rng.normal(m, s, size=n)).astype(np.float32) for n, m, s in ((60, 0.0, 1.0), (35, 1.0, 2.0)))
        loss, slope = loss_and_slope(x, y)
        assert loss.dtype == slope.dtype == jnp.float32
        assert loss == pytest.approx(fine_levels(x.astype(float), y.astype(float), p), rel=1e-5)
        with jax.enable_x64(True):
            exact = loss_and_slope(x.astype(float), y.astype(float))[1]
        np.testing.assert_allclose(slope, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_contraction(p: float, x64: None) -> None:
    """r + gamma Z over two noises r: the mixtures are at most gamma times as far apart, and just so at a constant r."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=N), rng.exponential(size=M)
    before = float(LOSSES[p](x, y)) ** (1 / p)
    rate = Wasserstein(p).contraction_rate(0.9)
    assert rate is not None

    def after(*rewards: float) -> float:
        mixed = [np.concatenate([r + 0.9 * z for r in rewards]) for z in (x, y)]
        return float(LOSSES[p](*mixed)) ** (1 / p)

    assert after(3.0) == pytest.approx(rate * before, rel=1e-12)
    assert after(3.0, 3.5) < rate * before


def test_both_shapes() -> None:
    x, y = jnp.array([0.0, 1.0, 5.0]), jnp.array([2.0, 4.0])
    assert wasserstein(x[:, None], y) == wasserstein(x, y[:, None]) == wasserstein(x, y)


def test_whole_numbers() -> None:
    assert wasserstein(jnp.array([0, 4]), jnp.array([1, 1, 1])) == pytest.approx(2.0)  # (1 + 3) / 2


def test_metric_is_the_function() -> None:
    x, y = jnp.array([[0.0], [1.0]]), jnp.array([[2.0], [4.0], [7.0]])
    assert registry.make("wasserstein", p=2.0)(jax.random.key(0), x, y) == wasserstein(x, y, 2.0)
    assert Wasserstein().contraction_rate(1.0) is None


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ((4, 3), (5, 3), ("3", "x", "sliced_wasserstein", "max_sliced_wasserstein")),
        ((4,), (5, 2), ("2", "y", "sliced_wasserstein", "max_sliced_wasserstein")),
        ((), (5,), ("x", "[N]", "[N, 1]", "()")),
        ((4,), (2, 5, 1), ("y", "[N]", "[N, 1]", "(2, 5, 1)", "vmap")),
        ((0,), (5,), ("x", "[N]", "(0,)")),
    ],
)
def test_wrong_shapes(x: tuple[int, ...], y: tuple[int, ...], words: tuple[str, ...], named: Any) -> None:
    with pytest.raises(ValueError, match=named(*words)):
        wasserstein(jnp.zeros(x), jnp.zeros(y))


@pytest.mark.parametrize("p", [0.5, math.nan])
def test_wrong_order(p: float, named: Callable[..., str]) -> None:
    calls: list[Callable[[], Any]] = [lambda: wasserstein(jnp.zeros(2), jnp.zeros(3), p), lambda: Wasserstein(p)]
    for call in calls:
        with pytest.raises(ValueError, match=named("p", str(p), "1")):
            call()
