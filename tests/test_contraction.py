from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import contraction, world_models
from sobolev.types import Spec

S, A, B = 3, 2, 7


@pytest.fixture
def world() -> dict[str, np.ndarray]:
    """s' = tanh(F [s; a] + n), r = sin(w·[s; a]), c = sigmoid(k·[s; a]), pi = tanh(K s)"""
    rng = np.random.default_rng(0)
    return {
        "F": 1.5 * rng.normal(size=(S, S + A)),
        "w": rng.normal(size=S + A),
        "k": 2 * rng.normal(size=S + A),
        "K": rng.normal(size=(A, S)),
    }


@pytest.fixture
def points() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(B, S)), rng.normal(size=(B, A)), rng.normal(size=(B, S))


def bind(world: Any, ends: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def simulate(s: Any, a: Any, n: Any) -> Any:
        x = jnp.concatenate([s, a])
        c = jax.nn.sigmoid(world["k"] @ x) if ends else 1.0
        return jnp.tanh(world["F"] @ x + n), jnp.sin(world["w"] @ x), c

    return simulate, lambda s: jnp.tanh(world["K"] @ s)


def matrices(world: Any, points: Any, ends: bool, differences: Callable[..., np.ndarray]) -> list[np.ndarray]:
    """A of each point, by central differences: (c Z, its gradients) as a linear function of (Z, d_a' Z, d_s' Z)."""
    simulate, policy = bind(world, ends)
    found = []

    @jax.jit
    def step(x: Any, n: Any) -> Any:
        s_next, _, c = simulate(x[A:], x[:A], n)
        return jnp.concatenate([jnp.atleast_1d(c), policy(s_next), s_next])

    for s, a, n in zip(*points, strict=True):
        x = np.concatenate([a, s])
        jacobian, c = differences(lambda x, n=n: step(x, n), x), step(x, n)[0]
        matrix = np.zeros((1 + A + S, 1 + A + S))
        matrix[0, 0], matrix[1:, 0], matrix[1:, 1:] = c, jacobian[0], c * jacobian[1:].T
        found.append(matrix)
    return found


@pytest.mark.parametrize("ends", [False, True])
def test_kappa_is_the_largest_norm(
    ends: bool, world: Any, points: Any, x64: None, differences: Callable[..., np.ndarray]
) -> None:
    simulate, policy = bind(world, ends)
    exact = matrices(world, points, ends, differences)
    norms = [np.linalg.norm(matrix, 2) for matrix in exact]

    @jax.jit
    def found(s: Any, a: Any, n: Any) -> Any:
        linear = jax.vmap(lambda s, a, n: contraction.backup(simulate, policy, s, a, n).linear)(s, a, n)
        norms = jax.vmap(lambda s, a, n: contraction.expansion(simulate, policy, s, a, n))(s, a, n)
        return linear, norms, contraction.kappa(simulate, policy, s, a, n)

    linear, expansions, kappa = found(*points)
    np.testing.assert_allclose(linear, exact, atol=1e-8)
    np.testing.assert_allclose(expansions, norms, rtol=1e-7)
    assert max(norms) > 1.1
    np.testing.assert_allclose(kappa, max(norms), rtol=1e-7)


@pytest.mark.parametrize("ends", [False, True])
def test_power_iterations_approach_the_norm_from_below(ends: bool, world: Any, points: Any, x64: None) -> None:
    """At each point: never above, no worse with more of them, exact in the end. kappa is their largest."""
    simulate, policy = bind(world, ends)

    def at(iterations: int | None) -> np.ndarray:
        one = jax.jit(jax.vmap(lambda s, a, n: contraction.expansion(simulate, policy, s, a, n, iterations)))
        return np.asarray(one(*points))

    exact, some, more, most = at(None), at(1), at(4), at(300)
    assert np.all(some <= more * (1 + 1e-12))
    assert np.all(more <= exact * (1 + 1e-12))
    assert np.all(more > 0.9 * exact)
    np.testing.assert_allclose(most, exact, rtol=1e-6)
    kappa = jax.jit(lambda s, a, n: contraction.kappa(simulate, policy, s, a, n, iterations=300))
    np.testing.assert_allclose(kappa(*points), exact.max(), rtol=1e-6)


def test_kappa_is_never_below_1(points: Any) -> None:
    """The return's own row."""
    for iterations, c in ((None, 1.0), (5, 1.0), (None, 0.2), (5, 0.2)):

        def still(s: Any, a: Any, n: Any, c: float = c) -> Any:
            return 0.1 * s, 0.0 * s[0], c

        @jax.jit
        def found(s: Any, a: Any, n: Any, iterations: int | None = iterations, still: Any = still) -> jax.Array:
            return contraction.kappa(still, lambda s: jnp.zeros(A), s, a, n, iterations)

        assert found(*points) == pytest.approx(1.0, rel=1e-5)


def test_bounds_of_kappa(world: Any, points: Any, x64: None, differences: Callable[..., np.ndarray]) -> None:
    """L_f = sup |d s'|, L_pi = sup |d pi(s')|; the action-only constant sqrt(1 + |f_a|² (L_c + |Pi|)²)"""
    simulate, policy = bind(world, ends=False)
    next_state = jax.jit(lambda x, n: simulate(x[A:], x[:A], n)[0])
    jitted_policy = jax.jit(policy)
    models, slopes, rows = [], [], []
    for s, a, n in zip(*points, strict=True):
        model = differences(lambda x, n=n: next_state(x, n), np.concatenate([a, s]))
        slope = np.linalg.norm(differences(jitted_policy, next_state(np.concatenate([a, s]), n)), 2)
        models.append(np.linalg.norm(model, 2))
        slopes.append(slope)
        rows.append(np.hypot(1, np.linalg.norm(model[:, :A], 2) * (0.7 + slope)))
    bound = max(models) * np.hypot(1, max(slopes))

    @jax.jit
    def constants(s: Any, a: Any, n: Any) -> Any:
        return (
            contraction.kappa(simulate, policy, s, a, n),
            contraction.kappa_bound(simulate, policy, s, a, n),
            contraction.incomplete_kappa(simulate, policy, s, a, n, coupling=0.7),
        )

    exact, found, incomplete = constants(*points)
    np.testing.assert_allclose(found, bound, rtol=1e-7)
    assert exact <= bound
    np.testing.assert_allclose(incomplete, max(rows), rtol=1e-7)
    s, a, n = points
    with pytest.raises(ValueError, match=r"coupling.*-1\.0"):
        contraction.incomplete_kappa(simulate, policy, s, a, n, coupling=-1.0)


F = np.array([[1.0, 0.05], [0.0, 1.0]])
G = np.array([[0.0], [0.05]])
GAIN = np.array([[-4.0, -3.0]])


def feedback(s: Any) -> Any:
    return GAIN @ s


def double_integrator(s: Any, a: Any, n: Any) -> Any:
    return F @ s + G @ a + n, -jnp.sum(s**2), 1.0


def test_the_closed_loop_contracts_where_the_complete_backup_does_not(points: Any, x64: None) -> None:
    """A double integrator under K = (-4, -3): |H| = 5.2, so that gamma kappa < 1 needs gamma < 0.2. The closed loop has
    spectral radius 0.925, and for each rate above that a metric in which it contracts by less.
    """
    s, a, n = (jnp.asarray(x)[:, :size] for x, size in zip(points, (2, 1, 2), strict=True))
    complete = np.linalg.norm(np.vstack([np.eye(2), GAIN]) @ np.hstack([F, G]), 2)
    assert complete > 5
    np.testing.assert_allclose(contraction.kappa(double_integrator, feedback, s, a, n), float(complete), rtol=1e-10)
    loop = F + G @ GAIN
    radius, norm = np.abs(np.linalg.eigvals(loop)).max(), float(np.linalg.norm(loop, 2))
    np.testing.assert_allclose(contraction.closed_loop_jacobian(double_integrator, feedback, s[0], n[0]), loop)
    np.testing.assert_allclose(contraction.closed_loop_kappa(double_integrator, feedback, s, n), norm, rtol=1e-10)
    rate = radius + 0.005
    metric = contraction.lyapunov_metric(jnp.asarray(loop), rate)
    np.testing.assert_allclose(loop.T @ metric @ loop, rate**2 * (metric - np.eye(2)), rtol=1e-9)
    values, vectors = np.linalg.eigh(metric)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    in_metric = float(np.linalg.norm(root @ loop @ np.linalg.inv(root), 2))
    found = contraction.closed_loop_kappa(double_integrator, feedback, s, n, metric)
    np.testing.assert_allclose(found, in_metric, rtol=1e-9)
    assert radius <= found < rate < 1 < norm < complete


def test_closed_loop_kappa_is_the_largest(world: Any, points: Any, x64: None) -> None:
    simulate, policy = bind(world, ends=False)
    s, _, n = points
    each = [np.linalg.norm(contraction.closed_loop_jacobian(simulate, policy, *p), 2) for p in zip(s, n, strict=True)]
    assert max(each) > 1.1 * min(each)
    np.testing.assert_allclose(contraction.closed_loop_kappa(simulate, policy, s, n), max(each), rtol=1e-10)


def test_discounted_lyapunov_is_a_sum(x64: None) -> None:
    rng = np.random.default_rng(2)
    matrix, source = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    matrix *= 0.9 / np.abs(np.linalg.eigvals(matrix)).max()
    terms = [
        0.8**k * np.linalg.matrix_power(matrix.T, k) @ source @ np.linalg.matrix_power(matrix, k) for k in range(400)
    ]
    found = contraction.discounted_lyapunov(jnp.asarray(matrix), jnp.asarray(source), 0.8)
    np.testing.assert_allclose(found, sum(terms), rtol=1e-9)


def test_lyapunov_exponent_is_the_growth_of_the_product_of_jacobians(
    world: Any, x64: None, differences: Callable[..., np.ndarray]
) -> None:
    simulate, policy = bind(world, ends=False)
    rng = np.random.default_rng(3)
    s, noises = rng.normal(size=S), 0.3 * rng.normal(size=(60, S))
    found = jax.jit(lambda s, n: contraction.lyapunov_exponent(simulate, policy, s, n))(s, noises)
    triangle, growth = np.eye(S), np.zeros(S)
    for n in noises:
        jacobian = differences(lambda s, n=n: simulate(s, policy(s), n)[0], s)
        triangle, r = np.linalg.qr(jacobian @ triangle)
        growth += np.log(np.abs(np.diag(r)))
        s = np.asarray(simulate(s, policy(s), n)[0])
    assert abs(found - growth.max() / 60) < 5 / 60


def test_lyapunov_exponent_of_a_constant_loop_is_the_log_of_its_radius(x64: None) -> None:
    """Also -inf of a nilpotent loop, after which the tangent is 0."""
    found = contraction.lyapunov_exponent(double_integrator, feedback, jnp.ones(2), jnp.zeros((4000, 2)))
    radius = np.abs(np.linalg.eigvals(F + G @ GAIN)).max()
    assert abs(found - np.log(radius)) < 2e-3
    shift = jnp.array([[0.0, 1.0], [0.0, 0.0]])

    def nilpotent(s: Any, a: Any, n: Any) -> Any:
        return shift @ s, 0.0, 1.0

    assert contraction.lyapunov_exponent(nilpotent, lambda s: s, jnp.ones(2), jnp.zeros((5, 0))) == -jnp.inf


def test_a_learned_world_model_with_its_parameters_bound() -> None:
    """Compiled once, finite, and between the exact norm and 1 with few power iterations; float32."""
    model = world_models.make_cvae(Spec(S, A), hidden_sizes=(16, 16))
    params = jax.jit(model.init)(jax.random.key(0))
    s, a = jax.random.normal(jax.random.key(1), (B, S)), jax.random.normal(jax.random.key(2), (B, A))
    n = jax.vmap(model.noise)(jax.random.split(jax.random.key(3), B))

    def of(iterations: int | None) -> Any:
        bound = (lambda *x: model.simulate(params, *x)), lambda s: jnp.tanh(s[:A])
        return jax.jit(lambda s, a, n: contraction.kappa(*bound, s, a, n, iterations))(s, a, n)

    exact, cheap = float(of(None)), float(of(4))
    assert 1 < cheap <= exact * (1 + 1e-5)
    assert cheap > 0.9 * exact
