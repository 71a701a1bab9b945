from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sobolev.metrics import MMD, Energy, Kernel, Multiquadric, energy_mmd2_sorted, mmd2

Case = tuple[Kernel, Callable[[Any], Any], Callable[[Any], Any]]

SHAPES = [(4, 7, 1), (5, 3, 3)]
COORDINATES = st.floats(-10.0, 10.0)


def pairs(function: Callable[[Any], Any], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([[function(np.linalg.norm(x_i - y_j)) for y_j in y] for x_i in x])


def loop_mmd2(value: Callable[[Any], Any], x: np.ndarray, y: np.ndarray, estimator: str) -> float:
    """From the kernel's values, not its gaps: E k(x, x') + E k(y, y') - 2 E k(x, y)."""
    own = []
    for sample in (x, y):
        n = len(sample)
        values = [value(np.linalg.norm(a - b)) for i, a in enumerate(sample) for j, b in enumerate(sample)]
        kept = [v for k, v in enumerate(values) if estimator == "v" or k // n != k % n]
        own.append(np.mean(kept))
    return own[0] + own[1] - 2 * np.mean(pairs(value, x, y))


def both(kernel: Kernel, x: Any, y: Any) -> jax.Array:
    """The u- and the v-statistic, ``[2]``."""
    return jnp.stack([mmd2(x, y, kernel, "u"), mmd2(x, y, kernel, "v")])


@pytest.mark.parametrize(("n", "m", "size"), [(4, 7, 1), (7, 4, 3), (5, 3, 376)])
def test_is_the_double_sum(kernel_case: Case, x64: None, n: int, m: int, size: int) -> None:
    """For samples of normal distributions, and for whole numbers, of which some tie within and between the samples."""
    kernel, value, _ = kernel_case
    rng = np.random.default_rng(n)
    normal = rng.normal(size=(n, size)), rng.normal(0.5, 2.0, size=(m, size))
    whole = [np.repeat(np.arange(count) % 3.0, size).reshape(count, size) for count in (n, m)]
    statistics = jax.jit(lambda x, y: both(kernel, x, y))
    for x, y in (normal, whole):
        expected = [loop_mmd2(value, x, y, estimator) for estimator in ("u", "v")]
        np.testing.assert_allclose(statistics(x, y), expected, rtol=1e-10, atol=1e-12)


def test_v_is_zero_at_equal_samples(kernel_case: Case) -> None:
    kernel, _, _ = kernel_case
    x = jax.random.normal(jax.random.key(0), (6, 3))
    between = float(2 * jnp.mean(jax.vmap(lambda a: jax.vmap(lambda b: kernel.gap(a, b))(x))(x)))
    assert abs(mmd2(x, x[::-1], kernel, "v")) <= 1e-5 * between


def test_one_sample(named: Callable[..., str]) -> None:
    x, y = jnp.array([[0.5]]), jnp.array([[0.0], [3.0]])
    for samples, name in (((x, y), "x"), ((y, x), "y")):
        with pytest.raises(ValueError, match=named("u-statistic", "1 in " + name, "estimator='v'")):
            mmd2(*samples, Energy())
    assert mmd2(x, y, Energy(), "v") == pytest.approx(2 * (0.5 + 2.5) / 2 - 2 * 3.0 / 4)


def test_float32_at_all_scales(kernel_case: Case) -> None:
    kernel, _, gap = kernel_case
    losses_and_slopes = jax.jit(lambda x, y: (both(kernel, x, y), jax.jacrev(partial(both, kernel))(x, y)))
    rng = np.random.default_rng(4)
    for scale in (1e-6, 1.0, 1e6):
        x = (scale * rng.normal(size=(6, 3))).astype(np.float32)
        y = (scale * rng.normal(2.0, 0.5, size=(9, 3))).astype(np.float32)
        wide = [sample.astype(np.float64) for sample in (x, y)]
        between = 2 * np.mean(pairs(gap, *wide))
        within = [(np.sum(pairs(gap, sample, sample)), len(sample)) for sample in wide]
        expected = [between - sum(total / (n * (n - less)) for total, n in within) for less in (1, 0)]
        losses, slopes = losses_and_slopes(x, y)
        assert losses.dtype == slopes.dtype == jnp.float32
        with jax.enable_x64(True):
            exact = np.asarray(losses_and_slopes(*map(jnp.array, wide))[1])
        np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6 * between)
        np.testing.assert_allclose(slopes, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max())


def test_gradient_is_finite_at_equal_samples(kernel_case: Case) -> None:
    """At N = M and x = y the derivative of v is 0: every point's pull within x undoes that of y."""
    kernel, _, _ = kernel_case
    slopes = jax.jit(jax.jacrev(partial(both, kernel)))
    for scale in (1e-6, 1.0, 1e6):
        x = scale * jax.random.normal(jax.random.key(1), (5, 3))
        u, v = np.asarray(slopes(x, x))
        assert np.isfinite(u).all()
        np.testing.assert_allclose(v, np.zeros((5, 3)), atol=1e-5 * np.abs(u).max())


def test_gradient_is_finite_differences(kernel_case: Case, x64: None, differences: Callable[..., np.ndarray]) -> None:
    kernel, _, _ = kernel_case
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(4, 2))
    loss = jax.jit(lambda x: mmd2(x.reshape(3, 2), jnp.array(y), kernel, "u"))
    actual = jax.grad(loss)(x.ravel())
    np.testing.assert_allclose(actual, differences(loss, x.ravel()), rtol=1e-4, atol=1e-6 * np.abs(actual).max())


_V = jax.jit(lambda x, y: mmd2(x, y, Multiquadric(2.0), "v"))
_U = jax.jit(lambda x, y: mmd2(x, y, Multiquadric(2.0), "u"))


@given(st.data(), st.sampled_from(SHAPES))
def test_invariance(data: st.DataObject, shape: tuple[int, int, int]) -> None:
    n, m, size = shape
    x, y = (
        data.draw(arrays(float, (n, size), elements=COORDINATES)),
        data.draw(arrays(float, (m, size), elements=COORDINATES)),
    )
    shift = data.draw(arrays(float, size, elements=COORDINATES))
    order = data.draw(st.permutations(range(n)))
    with jax.enable_x64(True):
        for statistic in (_U, _V):
            plain = float(statistic(x, y))
            assert float(statistic(x + shift, y + shift)) == pytest.approx(plain, rel=1e-9, abs=1e-9)
            assert float(statistic(x[order], y)) == pytest.approx(plain, rel=1e-9, abs=1e-9)
            assert float(statistic(y, x)) == pytest.approx(plain, rel=1e-9, abs=1e-9)
            assert float(statistic(-x, -y)) == pytest.approx(plain, rel=1e-9, abs=1e-9)
        assert _V(x, y) >= -1e-9


def line(n: int, m: int, seed: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 1)), rng.exponential(2.0, size=(m, 1))


@pytest.mark.parametrize("estimator", ["u", "v"])
@pytest.mark.parametrize(("n", "m"), [(2, 3), (9, 4), (40, 27)])
@pytest.mark.parametrize("tied", [False, True])
def test_sorted_is_the_double_sum(estimator: Any, n: int, m: int, tied: bool, x64: None) -> None:
    x, y = (np.round(sample) if tied else sample for sample in line(n, m))
    expected = loop_mmd2(lambda d: -d, x, y, estimator)
    assert energy_mmd2_sorted(jnp.array(x), jnp.array(y), estimator) == pytest.approx(expected, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("estimator", ["u", "v"])
def test_sorted_gradient_is_that_of_the_double_sum(
    estimator: Any, x64: None, differences: Callable[..., np.ndarray]
) -> None:
    x, y = line(6, 9)
    slopes, of_pairs = (
        jax.jit(jax.grad(loss, argnums=(0, 1)))(x, y)
        for loss in (
            lambda x, y: energy_mmd2_sorted(x, y, estimator),
            lambda x, y: mmd2(x, y, Energy(), estimator),
        )
    )
    for slope, by_pairs in zip(slopes, of_pairs, strict=True):
        np.testing.assert_allclose(slope, by_pairs, rtol=1e-10, atol=1e-12)
    by_differences = differences(lambda x: loop_mmd2(lambda d: -d, x.reshape(6, 1), y, estimator), x.ravel())
    np.testing.assert_allclose(slopes[0][:, 0], by_differences, atol=1e-8)


@pytest.mark.parametrize("estimator", ["u", "v"])
def test_sorted_float32_far_from_the_origin(estimator: Any) -> None:
    """Samples a unit apart at 10⁴ keep three digits in float32; the loss of what is kept is exact to six."""
    x, y = ((1e4 + sample).astype(np.float32) for sample in line(60, 35))
    expected = loop_mmd2(lambda d: -d, x.astype(float), y.astype(float), estimator)
    actual = energy_mmd2_sorted(jnp.array(x), jnp.array(y), estimator)
    assert actual.dtype == jnp.float32
    assert actual == pytest.approx(expected, rel=2e-6)


_SORTED = {
    e: jax.jit(jax.value_and_grad(lambda x, y, e=e: energy_mmd2_sorted(x[:, None], y[:, None], e))) for e in "uv"
}


@given(
    arrays(float, 5, elements=st.integers(-2, 2).map(float)), arrays(float, 8, elements=st.integers(-2, 2).map(float))
)
def test_sorted_with_ties(x: np.ndarray, y: np.ndarray) -> None:
    """The value is that of the double sum; the gradient, one of several one-sided ones, is finite."""
    with jax.enable_x64(True):
        for estimator, loss in _SORTED.items():
            value, slope = loss(x, y)
            assert value == pytest.approx(loop_mmd2(lambda d: -d, x[:, None], y[:, None], estimator), abs=1e-12)
            assert np.isfinite(slope).all()
        assert _SORTED["v"](x, y)[0] >= 0


@dataclass(frozen=True)
class Recording(Kernel):
    """The energy kernel, which says whether its gap is a distance, and records on what it was asked for gaps."""

    gap_is_distance: bool = True
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return -self.gap(x, y)

    def gap(self, x: jax.Array, y: jax.Array) -> jax.Array:
        self.asked.append(x.shape)
        return Energy().gap(x, y)


@pytest.mark.parametrize("estimator", ["u", "v"])
@pytest.mark.parametrize(
    ("says_so", "n", "m", "size", "is_sorted"),
    [
        (True, 40, 24, 1, True),
        (True, 2, 62, 1, True),
        (True, 40, 23, 1, False),
        (True, 40, 24, 2, False),
        (False, 40, 24, 1, False),
    ],
    ids=["many", "uneven", "few", "in the plane", "another gap"],
)
def test_many_points_on_the_line_are_sorted(
    estimator: Any, says_so: bool, n: int, m: int, size: int, is_sorted: bool, x64: None
) -> None:
    """Sorted points need no gaps of pairs; the number is the same."""
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(n, size)), rng.exponential(2.0, size=(m, size))
    kernel = Recording(says_so)
    actual = mmd2(jnp.array(x), jnp.array(y), kernel, estimator)
    np.testing.assert_allclose(actual, loop_mmd2(lambda d: -d, x, y, estimator), rtol=1e-11, atol=1e-13)
    assert is_sorted == (not kernel.asked)


def test_sorting_needs_the_line_and_two_samples(named: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=named("D = 1", "D = 3", "mmd2")):
        energy_mmd2_sorted(jnp.zeros((4, 3)), jnp.zeros((5, 3)))
    with pytest.raises(ValueError, match=named("1 in y", "estimator='v'")):
        energy_mmd2_sorted(jnp.zeros((4, 1)), jnp.zeros((1, 1)))


@pytest.mark.parametrize("estimator", ["u", "v"])
def test_compiled_is_eager(estimator: Any) -> None:
    x, y = jax.random.normal(jax.random.key(2), (4, 3)), jax.random.normal(jax.random.key(3), (6, 3))
    compiled = jax.jit(lambda x, y: mmd2(x, y, estimator=estimator))
    np.testing.assert_allclose(compiled(x, y), mmd2(x, y, Multiquadric(h=100.0), estimator), rtol=1e-5)


def test_metric_is_the_function() -> None:
    x, y = jax.random.normal(jax.random.key(2), (4, 3)), jax.random.normal(jax.random.key(3), (6, 3))
    metric = MMD(Energy(), "v")
    assert metric(jax.random.key(4), x, y) == mmd2(x, y, Energy(), "v")
    assert metric.contraction_rate(0.5) is None


@pytest.mark.parametrize(
    ("x", "y"), [((4, 3), (5, 2)), ((4,), (5,)), ((2, 4, 3), (2, 5, 3)), ((4, 3), (3,)), ((), (4, 3)), ((0, 3), (4, 3))]
)
def test_wrong_shapes(x: tuple[int, ...], y: tuple[int, ...], named: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=named(str(x), str(y))):
        mmd2(jnp.zeros(x), jnp.zeros(y), estimator="v")


def test_unknown_estimator(named: Callable[..., str]) -> None:
    estimator: Any = "uu"
    for call in (
        lambda: mmd2(jnp.zeros((2, 1)), jnp.ones((3, 1)), estimator=estimator),
        lambda: MMD(estimator=estimator),
    ):
        with pytest.raises(ValueError, match=named("estimator", "'uu'", "'u'", "v")):
            call()
