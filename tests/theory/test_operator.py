"""The Sobolev Bellman operator: affine in the joint sample, its norms and eigenvalues, its powers, its domain."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sobolev.bellman import sobolev_target
from sobolev.contraction import backup, closed_loop_jacobian, kappa, kappa_bound
from sobolev.joint import GRADIENTS, Gradient

THEOREM = settings(max_examples=max(100, settings.get_profile("sobolev").max_examples))
SEEDS = st.integers(0, 2**32 - 1)
S, A, STEPS = 3, 2, 3


class World(NamedTuple):
    """s' = tanh(F [s; a] + n), r = sin(w·[s; a]), c = sigmoid(k·[s; a]), pi = tanh(K s), Z = cos(v·[s; a] + xi)"""

    F: np.ndarray
    w: np.ndarray
    k: np.ndarray
    K: np.ndarray
    v: np.ndarray


def draw(seed: int) -> tuple[World, np.ndarray, np.ndarray, np.ndarray, np.random.Generator]:
    """A world, s, a and the noises of a few steps; drawn on scales from gentle to saturated."""
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.uniform(-1, 0.5)
    world = World(*(scale * rng.normal(size=shape) for shape in ((S, S + A), S + A, S + A, (A, S), S + A)))
    return world, rng.normal(size=S), rng.normal(size=A), rng.normal(size=(STEPS, S)), rng


def simulate(world: Any, s: Any, a: Any, n: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    x = jnp.concatenate([s, a])
    return jnp.tanh(world.F @ x + n), jnp.sin(world.w @ x), jax.nn.sigmoid(world.k @ x)


def endless(world: Any, s: Any, a: Any, n: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    s_next, r, _ = simulate(world, s, a, n)
    return s_next, r, jnp.ones(())


def policy(world: Any, s: Any) -> jax.Array:
    return jnp.tanh(world.K @ s)


def value(world: Any, s: Any, a: Any, xi: Any) -> jax.Array:
    return jnp.cos(world.v @ jnp.concatenate([s, a]) + xi)


def by_hand(world: World, s: np.ndarray, a: np.ndarray, n: np.ndarray, ends: bool) -> tuple[np.ndarray, ...]:
    """b, A, s' and the derivative of the policy at s', in numpy, with blocks in the order return, action, state."""
    x = np.concatenate([s, a])
    s_next = np.tanh(world.F @ x + n)
    model = (1 - s_next**2)[:, None] * world.F
    slope = (1 - np.tanh(world.K @ s_next) ** 2)[:, None] * world.K
    c = 1 / (1 + np.exp(-world.k @ x)) if ends else 1.0
    d_c = c * (1 - c) * world.k
    d_r = np.cos(world.w @ x) * world.w
    gradients = np.vstack([model[:, S:].T, model[:, :S].T]) @ np.hstack([slope.T, np.eye(S)])
    linear = np.zeros((1 + A + S, 1 + A + S))
    linear[0, 0] = c
    linear[1:, 0] = np.concatenate([d_c[S:], d_c[:S]])
    linear[1:, 1:] = c * gradients
    return np.concatenate([[np.sin(world.w @ x)], d_r[S:], d_r[:S]]), linear, s_next, slope


def sample_by_hand(world: World, s: np.ndarray, a: np.ndarray, xi: float) -> np.ndarray:
    """[Z, d_a Z, d_s Z]"""
    phase = world.v @ np.concatenate([s, a]) + xi
    return np.concatenate([[np.cos(phase)], -np.sin(phase) * world.v[S:], -np.sin(phase) * world.v[:S]])


@jax.jit
def targets(world: Any, s: Any, a: Any, n: Any, xi: Any, gamma: Any) -> list[jax.Array]:
    def of(gradient: Gradient) -> jax.Array:
        bound = (lambda *x: simulate(world, *x)), (lambda *x: value(world, *x)), (lambda s: policy(world, s))
        return sobolev_target(*bound, s, a, n, xi, gamma, gradient)

    return [of(gradient) for gradient in GRADIENTS]


BACKUP = jax.jit(lambda world, s, a, n: backup(lambda *x: simulate(world, *x), lambda s: policy(world, s), s, a, n))


@THEOREM
@given(SEEDS, st.floats(0, 1))
def test_the_target_is_an_affine_map_of_the_sample(seed: int, gamma: float) -> None:
    """[y, d_a y, d_s y] = b + gamma A x with x = [Z, d_a Z, d_s Z] at (s', pi(s')), and so are its other forms."""
    world, s, a, n, rng = draw(seed)
    xi = rng.normal()
    b, linear, s_next, _ = by_hand(world, s, a, n[0], ends=True)
    expected = b + gamma * linear @ sample_by_hand(world, s_next, np.tanh(world.K @ s_next), xi)
    slope = (1 - np.tanh(world.K @ s) ** 2)[:, None] * world.K
    along = expected[1 + A :] + slope.T @ expected[1 : 1 + A]
    none, action, complete, loop = targets(world, s, a, n[0], xi, gamma)
    close: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}
    np.testing.assert_allclose(complete, expected, **close)
    np.testing.assert_allclose(none, expected[:1], **close)
    np.testing.assert_allclose(action, expected[: 1 + A], **close)
    np.testing.assert_allclose(loop, np.concatenate([expected[: 1 + A], along]), **close)
    np.testing.assert_allclose(BACKUP(world, s, a, n[0]).offset, b, **close)
    np.testing.assert_allclose(BACKUP(world, s, a, n[0]).linear, linear, **close)


@jax.jit
def constants(world: Any, s: Any, a: Any, n: Any) -> tuple[jax.Array, ...]:
    bound = (lambda *x: endless(world, *x)), (lambda s: policy(world, s))
    matrix = jax.vmap(lambda n: backup(*bound, s, a, n).linear[1:, 1:])(n)
    points = jnp.tile(s, (STEPS, 1)), jnp.tile(a, (STEPS, 1)), n
    return matrix, kappa(*bound, *points), kappa_bound(*bound, *points)


@THEOREM
@given(SEEDS)
def test_eigenvalues_are_those_of_the_closed_loop_and_the_norm_is_bounded(seed: int) -> None:
    """tr H^k = tr M^k for all k, with M = f_s + f_a Pi(s'); rank H <= S; |H| <= |J| sqrt(1 + |Pi|²)"""
    world, s, a, noises, _ = draw(seed)
    matrices, exact, bound = constants(world, s, a, noises)
    norms: list[float] = []
    for n, matrix in zip(noises, np.asarray(matrices), strict=True):
        s_next = np.tanh(world.F @ np.concatenate([s, a]) + n)
        model = (1 - s_next**2)[:, None] * world.F
        slope = (1 - np.tanh(world.K @ s_next) ** 2)[:, None] * world.K
        loop = model[:, :S] + model[:, S:] @ slope
        for k in range(1, 1 + A + S):
            powers = [np.trace(np.linalg.matrix_power(m, k)) for m in (matrix, loop)]
            size = float(np.linalg.norm(matrix, 2)) ** k
            np.testing.assert_allclose(powers[0], powers[1], rtol=1e-8, atol=1e-10 * max(1, size))
        singular = np.linalg.svd(matrix, compute_uv=False)
        assert np.all(singular[S:] <= 1e-12 * max(1, singular[0]))
        product = np.linalg.norm(model, 2) * np.hypot(1, np.linalg.norm(slope, 2))
        assert singular[0] <= product * (1 + 1e-12) + 1e-12
        norms.append(singular[0])
    np.testing.assert_allclose(exact, np.max([1, *norms]), rtol=1e-12)
    assert exact <= bound * (1 + 1e-12)


@jax.jit
def along_the_policy(world: Any, s: Any, n: Any, xi: Any, gamma: Any) -> tuple[jax.Array, ...]:
    bound = (lambda *x: endless(world, *x)), (lambda *x: value(world, *x)), (lambda s: policy(world, s))
    a = policy(world, s)
    return (
        sobolev_target(*bound, s, a, n, xi, gamma, "closed_loop"),
        closed_loop_jacobian(bound[0], bound[2], s, n),
    )


@THEOREM
@given(SEEDS, st.floats(0, 1))
def test_the_gradient_along_the_policy_feeds_itself_alone(seed: int, gamma: float) -> None:
    """y(s) = h + gamma M^T y(s') and d_a = r_a + gamma f_a^T y(s'), with h = r_s + Pi^T r_a and M = f_s + f_a Pi(s)."""
    world, s, _, noises, rng = draw(seed)
    n, xi, a = noises[0], rng.normal(), np.tanh(world.K @ s)
    x = np.concatenate([s, a])
    s_next = np.tanh(world.F @ x + n)
    model = (1 - s_next**2)[:, None] * world.F
    here, there = ((1 - np.tanh(world.K @ v) ** 2)[:, None] * world.K for v in (s, s_next))
    sample = sample_by_hand(world, s_next, np.tanh(world.K @ s_next), xi)
    feedback = sample[1 + A :] + there.T @ sample[1 : 1 + A]
    d_r, loop = np.cos(world.w @ x) * world.w, model[:, :S] + model[:, S:] @ here
    found, jacobian = along_the_policy(world, s, n, xi, gamma)
    close: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}
    np.testing.assert_allclose(jacobian, loop, **close)
    np.testing.assert_allclose(found[1 + A :], d_r[:S] + here.T @ d_r[S:] + gamma * loop.T @ feedback, **close)
    np.testing.assert_allclose(found[1 : 1 + A], d_r[S:] + gamma * model[:, S:].T @ feedback, **close)


@jax.jit
def folded(world: Any, s: Any, a: Any, n: Any, xi: Any, gamma: Any, recorded: Any) -> list[jax.Array]:
    """The target of one jump of STEPS steps: its actions the policy's, and as recorded."""

    def jump(act: Any) -> Any:
        def simulate_all(s: Any, a: Any, n: Any) -> Any:
            total = 0.0
            for t in range(STEPS):
                s, r, _ = endless(world, s, a, n[t])
                total, a = total + gamma**t * r, act(s, t)
            return s, total, jnp.ones(())

        bound = simulate_all, (lambda *x: value(world, *x)), (lambda s: policy(world, s))
        return sobolev_target(*bound, s, a, n, xi, gamma**STEPS, "state_action")

    return [jump(lambda s, t: policy(world, s)), jump(lambda s, t: recorded[t])]


@THEOREM
@given(SEEDS, st.floats(0.1, 1))
def test_the_backup_of_n_steps_is_n_backups(seed: int, gamma: float) -> None:
    """x_t = b_t + gamma A_t x_{t+1}; replayed actions do not depend on the state: Pi is in the last factor alone."""
    world, s, a, noises, rng = draw(seed)
    xi, start, steps, recorded = rng.normal(), (s, a), [], []
    for n in noises:
        b, linear, s, slope = by_hand(world, s, a, n, ends=False)
        a = np.tanh(world.K @ s)
        steps.append((b, linear, slope))
        recorded.append(a)
    on_policy = replayed = sample_by_hand(world, s, a, xi)
    for t in reversed(range(STEPS)):
        b, linear, _ = steps[t]
        on_policy = b + gamma * linear @ on_policy
        still = np.diag(np.concatenate([[1.0], np.full(A, float(t == STEPS - 1)), np.ones(S)]))
        replayed = b + gamma * linear @ still @ replayed
    found = folded(world, *start, noises, xi, gamma, np.array(recorded))
    np.testing.assert_allclose(found[0], on_policy, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found[1], replayed, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)


@jax.jit
def witness(points: Any, n: Any, gamma: Any, k: Any) -> tuple[jax.Array, ...]:
    """Z = sin(n² s) / n on s' = k s + a, r = 0, pi = 0: the sample before, and the target from each point."""

    def step(s: Any, a: Any, noise: Any) -> Any:
        del noise
        return k * s + a, jnp.zeros(()), jnp.ones(())

    def wave(s: Any, a: Any, xi: Any) -> Any:
        del a, xi
        return jnp.sin(n**2 * s[0]) / n

    def of(gradient: Gradient, s: Any) -> Any:
        zero = jnp.zeros(1)
        return sobolev_target(step, wave, lambda s: zero, s[None], zero, None, None, gamma, gradient)

    before = jax.vmap(lambda s: jnp.stack([wave(s[None], 0, 0), n * jnp.cos(n**2 * s)]))(points)
    return (
        before,
        jax.vmap(lambda s: of("action", s))(points),
        jax.vmap(lambda s: of("state_action", s))(points),
    )


@THEOREM
@given(st.integers(1, 60), st.floats(0.05, 0.999), st.floats(0, 3))
def test_the_action_only_backup_is_unbounded_and_the_complete_one_is_not(n: int, gamma: float, k: float) -> None:
    """Z1 = 0 and Z2 = sin(n² s) / n have no action gradient: sup |.| is 1/n before the backup, and gamma n after it.

    The complete sample has the gradient of Z2 in s. Its gap grows by exactly gamma sqrt(1 + k²) = gamma kappa: the
    complete backup contracts these two if and only if gamma kappa < 1.
    """
    points = np.concatenate([[0.0], np.linspace(-1, 1, 64), [0.5 * np.pi / n**2]])
    before, incomplete, complete = map(np.asarray, witness(points, float(n), gamma, k))
    ratio = np.linalg.norm(incomplete, axis=1).max() / np.abs(before[:, 0]).max()
    np.testing.assert_allclose(ratio, gamma * n**2, rtol=1e-9)
    assert ratio >= gamma * n**2 / 2
    grown = np.linalg.norm(complete, axis=1).max() / np.linalg.norm(before, axis=1).max()
    expansion = np.hypot(1, k)
    np.testing.assert_allclose(grown, gamma * expansion, rtol=1e-9)
    if abs(gamma * expansion - 1) > 1e-6:
        assert (grown < 1) == (gamma * expansion < 1)
    one = jnp.ones((1, 1))
    exact = kappa(lambda s, a, n: (k * s + a, 0.0 * s[0], jnp.ones(())), lambda s: 0.0 * s, one, one, one)
    np.testing.assert_allclose(exact, expansion, rtol=1e-12)
