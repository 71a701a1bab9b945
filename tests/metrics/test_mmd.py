import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
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


@pytest.mark.parametrize("estimator", ["u", "v"])
@pytest.mark.parametrize(("n", "m", "size"), [(4, 7, 1), (7, 4, 3), (5, 3, 376)])
def test_is_the_double_sum(kernel_case: Case, x64: None, estimator: Any, n: int, m: int, size: int) -> None:
    kernel, value, _ = kernel_case
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, size)), rng.normal(0.5, 2.0, size=(m, size))
    actual = jax.jit(lambda x, y: mmd2(x, y, kernel, estimator))(x, y)
    assert actual.shape == ()
    np.testing.assert_allclose(actual, loop_mmd2(value, x, y, estimator), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("estimator", ["u", "v"])
def test_ties(kernel_case: Case, x64: None, estimator: Any) -> None:
    kernel, value, _ = kernel_case
    x, y = np.array([[0.0], [0.0], [1.0], [0.0]]), np.array([[1.0], [1.0], [0.0]])
    actual = mmd2(jnp.array(x), jnp.array(y), kernel, estimator)
    np.testing.assert_allclose(actual, loop_mmd2(value, x, y, estimator), rtol=1e-10, atol=1e-12)


def test_v_is_zero_at_equal_samples(kernel_case: Case) -> None:
    kernel, _, _ = kernel_case
    x = jax.random.normal(jax.random.key(0), (6, 3))
    between = float(2 * jnp.mean(jax.vmap(lambda a: jax.vmap(lambda b: kernel.gap(a, b))(x))(x)))
    assert abs(mmd2(x, x[::-1], kernel, "v")) <= 1e-5 * between


def enumerated(kernel: Kernel, estimator: Any, n: int, m: int) -> tuple[float, float, float, float]:
    """E of the statistic over all tuples of two finite laws, their MMD², and E g within each."""
    p_atoms, p = np.array([[0.0, 1.0], [2.0, 0.0], [-1.0, 3.0]]), np.array([0.5, 0.2, 0.3])
    q_atoms, q = np.array([[1.0, 1.0], [4.0, -2.0]]), np.array([0.25, 0.75])
    p_tuples = np.array(list(itertools.product(range(3), repeat=n)))
    q_tuples = np.array(list(itertools.product(range(2), repeat=m)))
    weights = np.prod(p[p_tuples], axis=1)[:, None] * np.prod(q[q_tuples], axis=1)[None]
    statistic = jax.jit(jax.vmap(jax.vmap(lambda x, y: mmd2(x, y, kernel, estimator), (None, 0)), (0, None)))
    mean = np.sum(weights * np.asarray(statistic(p_atoms[p_tuples], q_atoms[q_tuples])))

    def mean_gap(a: np.ndarray, weights_a: np.ndarray, b: np.ndarray, weights_b: np.ndarray) -> float:
        gaps = [[float(kernel.gap(jnp.array(a_i), jnp.array(b_j))) for b_j in b] for a_i in a]
        return weights_a @ np.array(gaps) @ weights_b

    within_p, within_q = mean_gap(p_atoms, p, p_atoms, p), mean_gap(q_atoms, q, q_atoms, q)
    return mean, 2 * mean_gap(p_atoms, p, q_atoms, q) - within_p - within_q, within_p, within_q


@pytest.mark.parametrize("kernel", [Multiquadric(3.0), Energy(1.3)], ids=repr)
def test_u_is_unbiased(kernel: Kernel, x64: None) -> None:
    mean, truth, _, _ = enumerated(kernel, "u", 3, 2)
    assert mean == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("kernel", [Multiquadric(3.0), Energy(1.3)], ids=repr)
def test_v_has_the_bias_of_its_own_pairs(kernel: Kernel, x64: None) -> None:
    """E v - MMD² = E g(x, x') / N + E g(y, y') / M, g = k(0) - k"""
    mean, truth, within_p, within_q = enumerated(kernel, "v", 3, 2)
    assert mean - truth == pytest.approx(within_p / 3 + within_q / 2, rel=1e-12)


def test_one_sample() -> None:
    x, y = jnp.array([[0.5]]), jnp.array([[0.0], [3.0]])
    with pytest.raises(ValueError, match=r"two samples or more .* got 1 in x.*estimator='v' or draw more"):
        mmd2(x, y, Energy())
    with pytest.raises(ValueError, match=r"got 1 in y"):
        mmd2(y, x, Energy())
    assert mmd2(x, y, Energy(), "v") == pytest.approx(2 * (0.5 + 2.5) / 2 - 2 * 3.0 / 4)


@pytest.mark.parametrize("estimator", ["u", "v"])
def test_float32_at_all_scales(kernel_case: Case, estimator: Any) -> None:
    kernel, _, gap = kernel_case
    weight = {"u": lambda n: n * (n - 1), "v": lambda n: n * n}[estimator]
    loss_and_slope = jax.jit(jax.value_and_grad(lambda x, y: mmd2(x, y, kernel, estimator)))
    rng = np.random.default_rng(4)
    for scale in (1e-6, 1.0, 1e6):
        x = (scale * rng.normal(size=(6, 3))).astype(np.float32)
        y = (scale * rng.normal(2.0, 0.5, size=(9, 3))).astype(np.float32)
        wide = [sample.astype(np.float64) for sample in (x, y)]
        between = 2 * np.mean(pairs(gap, *wide))
        expected = between - sum(np.sum(pairs(gap, sample, sample)) / weight(len(sample)) for sample in wide)
        loss, slope = loss_and_slope(x, y)
        with jax.enable_x64(True):
            _, exact = loss_and_slope(*map(jnp.array, wide))
        np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6 * between)
        np.testing.assert_allclose(slope, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max())


def test_gradient_is_finite_at_equal_samples(kernel_case: Case) -> None:
    """At N = M and x = y the derivative of v is 0: every point's pull within x undoes that of y."""
    kernel, _, _ = kernel_case
    u, v = [jax.jit(jax.grad(lambda x, y, e=estimator: mmd2(x, y, kernel, e))) for estimator in ("u", "v")]
    for scale in (1e-6, 1.0, 1e6):
        x = scale * jax.random.normal(jax.random.key(1), (5, 3))
        assert np.isfinite(u(x, x)).all()
        np.testing.assert_allclose(v(x, x), np.zeros((5, 3)), atol=1e-5 * float(jnp.abs(u(x, x)).max()))


def test_gradient_is_finite_differences(kernel_case: Case, x64: None, differences: Callable[..., np.ndarray]) -> None:
    kernel, _, _ = kernel_case
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(4, 2))
    loss = jax.jit(lambda x: mmd2(x.reshape(3, 2), y, kernel, "u"))
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


_ENERGY = jax.jit(lambda x, y: mmd2(x[:, None], y[:, None], Energy(), "v"))


@given(arrays(float, 5, elements=COORDINATES), arrays(float, 8, elements=COORDINATES))
def test_energy_is_twice_the_squared_distance_of_the_distribution_functions(x: np.ndarray, y: np.ndarray) -> None:
    """2 ∫ (F - G)²"""
    grid = np.sort(np.concatenate([x, y]))
    f, g = [np.searchsorted(np.sort(sample), grid[:-1], side="right") / len(sample) for sample in (x, y)]
    integral = np.sum((f - g) ** 2 * np.diff(grid))
    with jax.enable_x64(True):
        actual = float(_ENERGY(x, y))
    assert actual == pytest.approx(2 * integral, rel=1e-9, abs=1e-9)
    assert actual == pytest.approx(scipy.stats.energy_distance(x, y) ** 2, rel=1e-9, abs=1e-9)


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
    slopes = jax.grad(lambda x, y: energy_mmd2_sorted(x, y, estimator), argnums=(0, 1))(x, y)
    for slope, by_pairs in zip(
        slopes, jax.grad(lambda x, y: mmd2(x, y, Energy(), estimator), (0, 1))(x, y), strict=True
    ):
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


def operations(kernel: Kernel, n: int, m: int, size: int) -> str:
    return str(jax.make_jaxpr(lambda x, y: mmd2(x, y, kernel))(jnp.zeros((n, size)), jnp.zeros((m, size))))


def test_many_points_on_the_line_are_sorted() -> None:
    """Nothing of size N M is left; with another kernel, in more dimensions, or for few points, pairs are compared."""
    assert "40,24" not in operations(Energy(), 40, 24, 1)
    assert "sort" in operations(Energy(), 40, 24, 1)
    for case in ((Energy(1.5), 40, 24, 1), (Multiquadric(), 40, 24, 1), (Energy(), 40, 24, 2), (Energy(), 40, 23, 1)):
        assert "sort" not in operations(*case)
        assert f"{case[1]},{case[2]}" in operations(*case)


def test_sorting_needs_the_line_and_two_samples() -> None:
    with pytest.raises(ValueError, match="on the line, D = 1, got D = 3: use mmd2"):
        energy_mmd2_sorted(jnp.zeros((4, 3)), jnp.zeros((5, 3)))
    with pytest.raises(ValueError, match="got 1 in y"):
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
    ("x", "y"), [((4, 3), (5, 2)), ((4,), (5,)), ((2, 4, 3), (2, 5, 3)), ((4, 3), (3,)), ((), (4, 3))]
)
def test_wrong_shapes(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x\[N, D\] and y\[M, D\]") as error:
        mmd2(jnp.zeros(x), jnp.zeros(y))
    assert str(x) in str(error.value)
    assert str(y) in str(error.value)


def test_empty_samples() -> None:
    with pytest.raises(ValueError, match=r"must not be empty, got shapes \(0, 3\) and \(4, 3\)"):
        mmd2(jnp.zeros((0, 3)), jnp.zeros((4, 3)), estimator="v")


def test_unknown_estimator() -> None:
    estimator: Any = "uu"
    for call in (
        lambda: mmd2(jnp.zeros((2, 1)), jnp.ones((3, 1)), estimator=estimator),
        lambda: MMD(estimator=estimator),
    ):
        with pytest.raises(ValueError, match="unknown estimator 'uu'; did you mean 'u'"):
            call()
