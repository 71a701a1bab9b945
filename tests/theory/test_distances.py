"""What a backup does to distances of distributions: Wasserstein, MMD under each kernel, and max-sliced MMD."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.optimize import linear_sum_assignment
from scipy.special import comb

from sobolev.bellman import sobolev_target
from sobolev.contraction import expansion, kappa
from sobolev.environments.exact import finite_noise
from sobolev.metrics import MSMMD, RBF, Energy, Kernel, Laplace, Multiquadric, RationalQuadratic, mmd2, msmmd2

THEOREM = settings(max_examples=max(100, settings.get_profile("sobolev").max_examples))
SEEDS = st.integers(0, 2**32 - 1)
BASES: list[Any] = [Multiquadric(1.0), Energy()]


@partial(jax.jit, static_argnames=("kernel", "estimator"))
def squared(kernel: Kernel, x: Any, y: Any, estimator: Any = "v") -> jax.Array:
    """The MMD² of two discrete distributions, or its u-statistic."""
    return mmd2(x, y, kernel, estimator)


@partial(jax.jit, static_argnames="kernel")
def slices(kernel: Kernel, x: Any, y: Any, directions: Any) -> jax.Array:
    """The MMD² of the projections on each direction."""
    return jax.vmap(lambda d: mmd2((x @ d)[:, None], (y @ d)[:, None], kernel, "v"))(directions)


def pair(rng: np.random.Generator, size: int, n: int = 5, m: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Two discrete distributions, on scales from far below to far above the kernels' bandwidths."""
    scale = 10 ** rng.uniform(-2, 2)
    x = rng.normal(size=(n, size)) @ rng.normal(size=(size, size))
    y = rng.exponential(size=(m, size)) + rng.normal(size=size) * rng.uniform(0, 2)
    return scale * x, scale * y


def wasserstein(x: np.ndarray, y: np.ndarray, p: int) -> float:
    """W_p of two distributions with equally many, equally likely atoms: an assignment problem."""
    cost = np.linalg.norm(x[:, None] - y[None], axis=-1) ** p
    return float(np.mean(cost[linear_sum_assignment(cost)]) ** (1 / p))


def policy(gain: Any, s: jax.Array) -> jax.Array:
    return jnp.tanh(gain @ s)


@jax.jit
def backed_up(task: Any, gain: Any, s: Any, a: Any, atoms: Any, gamma: Any) -> tuple[jax.Array, ...]:
    """The atoms of the target where ``atoms[K, J, D]`` are those at the next states, by target and by push-forward.

    A critic that is affine around (s', pi(s')) can have any value and gradient there.
    """
    simulate, noises = finite_noise.simulator(task).simulate, jnp.arange(task.c.shape[0])

    def one(n: Any, atom: Any) -> jax.Array:
        center = simulate(s, a, n)[0]
        action = policy(gain, center)

        def value(s: Any, a: Any, xi: Any) -> Any:
            return xi[0] + xi[1 : 1 + len(a)] @ (a - action) + xi[1 + len(a) :] @ (s - center)

        return sobolev_target(simulate, value, partial(policy, gain), s, a, n, atom, gamma, "state_action")

    target = jax.vmap(lambda n, each: jax.vmap(lambda atom: one(n, atom))(each))(noises, atoms)
    pushed = finite_noise.push_forward(simulate, partial(policy, gain), s, a, noises, atoms, gamma)
    points = jnp.tile(s, (len(noises), 1)), jnp.tile(a, (len(noises), 1)), noises
    norms = jax.vmap(lambda n: expansion(simulate, partial(policy, gain), s, a, n))(noises)
    return target.reshape(pushed.shape), pushed, norms, kappa(simulate, partial(policy, gain), *points)


@THEOREM
@given(SEEDS, st.floats(0.05, 1), st.sampled_from([1, 2]))
def test_wasserstein_distances_shrink_by_gamma_kappa(seed: int, gamma: float, p: int) -> None:
    """W_p(T eta1, T eta2) <= gamma (E |A_n|^p)^(1/p) sup W_p <= gamma kappa sup W_p, the supremum over next states.

    The distributions at different next states are unrelated.
    """
    rng = np.random.default_rng(seed)
    task, gain = finite_noise.random_task(rng, 3, 2, 1), rng.normal(size=(1, 2))
    s, a, atoms = rng.normal(size=2), rng.normal(size=1), rng.normal(size=(2, 3, 4, 4))
    atoms[1] = rng.uniform(0, 2) * atoms[1] + rng.normal(size=(3, 1, 4)) * rng.uniform(0, 3)
    (x, pushed, norms, bound), (y, *_) = (backed_up(task, gain, s, a, each, gamma) for each in atoms)
    np.testing.assert_allclose(x, pushed, rtol=1e-9, atol=1e-10)
    before = max(wasserstein(one, other, p) for one, other in zip(*atoms, strict=True))
    after = wasserstein(np.asarray(x), np.asarray(y), p)
    mean = np.mean(np.asarray(norms) ** p) ** (1 / p)
    assert after <= gamma * mean * before * (1 + 1e-9)
    assert mean <= bound * (1 + 1e-12)
    assert bound >= 1


@THEOREM
@given(SEEDS, st.sampled_from([0.5, 1.0, 1.5]), st.floats(0, 5), st.sampled_from(["u", "v"]))
def test_the_energy_kernel_is_homogeneous(seed: int, beta: float, c: float, estimator: str) -> None:
    """MMD(cX, cY) = c^(beta/2) MMD(X, Y), also for X + b and for -X; the declared scaling is this one."""
    rng = np.random.default_rng(seed)
    x, y = pair(rng, 3)
    kernel, shift = Energy(beta), rng.normal(size=3)
    before = squared(kernel, x, y, estimator)
    size = np.abs(before) + 1e-9 * np.abs(x).max() ** beta
    np.testing.assert_allclose(squared(kernel, c * x, c * y, estimator), c**beta * before, atol=1e-9 * size * 5**beta)
    np.testing.assert_allclose(squared(kernel, x + shift, y + shift, estimator), before, atol=1e-7 * size)
    np.testing.assert_allclose(squared(kernel, -x, -y, estimator), before, atol=1e-9 * size)
    np.testing.assert_allclose(kernel.scaling(c), c ** (beta / 2), rtol=1e-12)


@THEOREM
@given(SEEDS, st.sampled_from([1, 2, 3]), st.floats(0, 1))
def test_the_multiquadric_shrinks_by_the_root(seed: int, size: int, c: float) -> None:
    """MMD(cX, cY) <= sqrt(c) MMD(X, Y) for c <= 1, in any dimension; the declared scaling is this one."""
    kernel = Multiquadric(1.0)
    x, y = pair(np.random.default_rng(seed), size)
    assert squared(kernel, c * x, c * y) <= c * squared(kernel, x, y) * (1 + 1e-7) + 1e-13
    scaling = kernel.scaling(c)
    assert scaling is not None
    np.testing.assert_allclose(scaling, np.sqrt(c), rtol=1e-12)


@pytest.mark.parametrize("c", [1.1, 1.3, 2.0])
def test_the_multiquadric_has_no_scaling_for_expansions(c: float) -> None:
    """X - Y = (-1)^j binomial(8, j) at points 1 / h apart, a difference of high frequency: it grows by more than c."""
    counts = comb(8, np.arange(9)).astype(int)
    x, y = (np.repeat(np.arange(9.0), np.where(np.arange(9) % 2 == odd, counts, 0))[:, None] for odd in (0, 1))
    kernel = Multiquadric(1.0)
    assert squared(kernel, c * x, c * y) > c**2 * squared(kernel, x, y) > 0
    assert kernel.scaling(c) is None


@pytest.mark.parametrize("kernel", [RBF((1.0,)), Laplace(), RationalQuadratic()], ids=repr)
@pytest.mark.parametrize("c", [0.5, 0.9])
def test_bounded_kernels_have_no_scaling(kernel: Kernel, c: float) -> None:
    """Two points at a distance d far above the bandwidth: MMD² = 2 - 2 k(d) is nearly 2, before and after."""
    x, y = np.array([[0.0]]), np.array([[1e6]])
    assert squared(kernel, c * x, c * y) > c * squared(kernel, x, y) * 1.05
    np.testing.assert_allclose(squared(kernel, c * x, c * y), 2.0, rtol=1e-6)
    assert kernel.scaling(c) is None


@THEOREM
@given(SEEDS, st.sampled_from(BASES), st.floats(0, 1))
def test_a_slice_of_a_backup_is_a_slice_before_it(seed: int, kernel: Kernel, norm: float) -> None:
    """MMD(theta·(b + A x)) <= sqrt(c) MMD(theta'·x) with c = |A^T theta|, theta' = A^T theta / c, for every theta.

    Hence MSMMD(b + A x, b + A y) <= sqrt(|A|) MSMMD(x, y); no supremum has to be computed.
    """
    rng = np.random.default_rng(seed)
    x, y = pair(rng, 3)
    linear = rng.normal(size=(3, 3)) * (rng.random((3, 1)) < 0.8)
    linear *= norm / max(np.linalg.norm(linear, 2), 1e-12)
    offset, theta = rng.normal(size=3), rng.normal(size=(64, 3))
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    pulled = theta @ linear
    c = np.linalg.norm(pulled, axis=1)
    after = np.asarray(slices(kernel, offset + x @ linear.T, offset + y @ linear.T, theta))
    before = np.asarray(slices(kernel, x, y, pulled / np.maximum(c, 1e-300)[:, None]))
    slack = 1e-9 * np.abs(x).max() + 1e-9
    assert np.all(after <= c * before + slack)
    assert after.max() <= norm * max(before.max(), 0.0) + slack


@partial(jax.jit, static_argnames="kernel")
def max_sliced(kernel: Kernel, x: Any, y: Any) -> jax.Array:
    return msmmd2(jax.random.key(0), x, y, kernel, "v")


@pytest.mark.parametrize("kernel", BASES, ids=repr)
@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.99])
def test_max_sliced_mmd_shrinks_where_mmd_grows(kernel: Any, gamma: float) -> None:
    """X = (0, sigma z), Y = (1, sigma z), backup diag(gamma, 0), which removes the spread that both share.

    The energy kernel's MMD² grows from 2 E[sqrt(1 + w²) - |w|], w ~ N(0, 2 sigma²), to 2 gamma: by a factor without
    bound in sigma. The largest slice is along the return, before and after: 2 and 2 gamma.
    """
    spread = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    ratios = []
    for sigma in (1.0, 10.0, 100.0):
        x, y = (np.stack([np.full(400, value), sigma * spread], axis=1) for value in (0.0, 1.0))
        backup = np.array([gamma, 0.0])
        ratios.append(float(np.sqrt(squared(kernel, x * backup, y * backup) / squared(kernel, x, y))))
        small = x[::20], y[::20]
        largest = [float(max_sliced(kernel, *(sample * scale for sample in small))) for scale in (1.0, backup)]
        rate = MSMMD(kernel).contraction_rate(gamma)
        assert rate is not None
        assert np.sqrt(largest[1] / largest[0]) <= rate * (1 + 1e-9)
        if isinstance(kernel, Energy):
            np.testing.assert_allclose(largest, [2, 2 * gamma], rtol=1e-6)
            density = stats.norm(scale=np.sqrt(2) * sigma).pdf
            hidden = 4 * integrate.quad(lambda w: density(w) / (np.hypot(1, w) + w), 0, 20 * sigma, limit=500)[0]  # noqa: B023
            np.testing.assert_allclose(ratios[-1] ** 2, 2 * gamma / hidden, rtol=0.05)
    assert ratios[2] > ratios[1] > ratios[0]
    assert ratios[2] > 1
    assert ratios[2] > 1.4 * ratios[1]


@THEOREM
@given(SEEDS, st.sampled_from(BASES), st.booleans())
def test_axioms_and_convexity(seed: int, kernel: Kernel, sliced: bool) -> None:
    """d(x, x) = 0 < d(x, y) = d(y, x) <= d(x, z) + d(z, y), and d of mixtures <= the mixture of d.

    d is MMD, or MSMMD with the supremum over a grid of directions, which has the same properties.
    """
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, np.pi, 90, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x, y = pair(rng, 2)
    z, w = pair(rng, 2)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        found = slices(kernel, a, b, directions).max() if sliced else squared(kernel, a, b)
        return float(np.sqrt(max(float(found), 0.0)))

    size = 1e-6 * np.sqrt(max(np.abs(v).max() for v in (x, y, z, w)) + 1)
    assert distance(x, x) <= size
    assert distance(x, y) > size
    np.testing.assert_allclose(distance(x, y), distance(y, x), rtol=1e-6, atol=size)
    assert distance(x, y) <= distance(x, w) + distance(w, y) + size
    mixed = distance(np.concatenate([x, z]), np.concatenate([y, w]))
    assert mixed <= (distance(x, y) + distance(z, w)) / 2 + size


@THEOREM
@given(SEEDS, st.sampled_from([0.5, 1.0, 1.5]))
def test_how_far_mmd_can_grow(seed: int, beta: float) -> None:
    """MMD(AX, AY)² <= |A|^(D + beta) / |det A| MMD(X, Y)²: to contract all pairs A must be nearly conformal."""
    rng = np.random.default_rng(seed)
    x, y = pair(rng, 2)
    linear = rng.normal(size=(2, 2))
    linear *= rng.uniform(0.1, 2) / np.linalg.norm(linear, 2)
    bound = np.linalg.norm(linear, 2) ** (2 + beta) / np.abs(np.linalg.det(linear))
    before, after = squared(Energy(beta), x, y), squared(Energy(beta), x @ linear.T, y @ linear.T)
    assert after <= bound * before * (1 + 1e-9) + 1e-12


@THEOREM
@given(SEEDS, st.floats(0.01, 100))
def test_the_multiquadric_lies_below_energy_and_wasserstein(seed: int, h: float) -> None:
    """MMD²(h) <= h MMD²(energy) <= 2 h W_1: finite for distributions with a mean; h multiplies the samples."""
    x, y = pair(np.random.default_rng(seed), 1)
    multiquadric, energy = squared(Multiquadric(1.0), h * x, h * y), squared(Energy(), x, y)
    distance = stats.wasserstein_distance(x[:, 0], y[:, 0])
    assert multiquadric <= h * energy * (1 + 1e-9) + 1e-12
    assert energy <= 2 * distance * (1 + 1e-9) + 1e-12


@THEOREM
@given(SEEDS)
def test_what_a_distance_says_of_the_mean_gradient(seed: int) -> None:
    """|E X - E Y| <= sqrt(R / 2) MMD(energy) on an interval of length R (Cauchy-Schwarz), and <= W_1 anywhere."""
    x, y = pair(np.random.default_rng(seed), 1)
    gap = np.abs(x.mean() - y.mean())
    length = np.ptp(np.concatenate([x, y]))
    assert gap <= np.sqrt(length / 2 * squared(Energy(), x, y)) * (1 + 1e-9) + 1e-12
    assert gap <= stats.wasserstein_distance(x[:, 0], y[:, 0]) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("kernel", [RBF((1.0,)), Laplace(), RationalQuadratic()], ids=repr)
def test_bounded_kernels_say_nothing_of_the_mean(kernel: Kernel) -> None:
    """MMD² <= 2 sup k = 2, while the means are 1e6 apart."""
    x, y = np.array([[0.0]]), np.array([[1e6]])
    assert squared(kernel, x, y) <= 2
    assert np.abs(x - y) > 1e5 * np.sqrt(squared(kernel, x, y))
