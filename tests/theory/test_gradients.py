"""Joint samples in use: inferred and imagined noise, truncation, the derivatives of a distribution, MAGE."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sobolev.bellman import sobolev_target, truncate
from sobolev.corrections import Truncate
from sobolev.joint import joint_samples
from sobolev.metrics import Energy, Multiquadric, mmd2
from sobolev.types import Spec, Transition
from sobolev.world_models import make_cvae
from sobolev.world_models.base import ConditionalModel, residual_world_model

THEOREM = settings(max_examples=max(100, settings.get_profile("sobolev").max_examples))
SEEDS = st.integers(0, 2**32 - 1)
S, A, LATENT = 1, 2, 3


def gaussian_model(w: Any, log_scale: Any, mixing: Any) -> ConditionalModel:
    """t = W x + exp(L x) B z, z has more components than t: its posterior, known exactly, has a spread."""
    inverse = jnp.linalg.pinv(mixing)
    free = jnp.eye(LATENT) - inverse @ mixing

    def infer(params: Any, key: Any, x: Any, t: Any) -> Any:
        known = inverse @ (jnp.exp(-log_scale @ x) * (t - w @ x))
        return known + free @ jax.random.normal(key, (LATENT,))

    def sample(params: Any, x: Any, z: Any) -> Any:
        return w @ x + jnp.exp(log_scale @ x) * (mixing @ z)

    return ConditionalModel(
        lambda key: {}, lambda *_: jnp.zeros(()), lambda key: jax.random.normal(key, (LATENT,)), infer, sample
    )


@partial(jax.jit, static_argnames="count")
def inferred_and_imagined(numbers: Any, s: Any, a: Any, count: int) -> Any:
    """For ``count`` noises of each kind (s', r) and its Jacobian in a; the last Jacobian is through the inference."""
    world = residual_world_model(gaussian_model(*numbers), Spec(S, A))
    params = world.init(jax.random.key(0))

    def outcome(s: Any, a: Any, n: Any) -> Any:
        return jnp.concatenate([jnp.atleast_1d(v) for v in world.simulate(params, s, a, n)[:2]])

    def one(key: Any) -> Any:
        key_n, key_infer, key_other = jax.random.split(key, 3)
        true, other = world.noise(key_n), world.noise(key_other)
        recorded = outcome(s, a, true)

        def explain(a: Any) -> Any:
            transition = Transition(s, a, recorded[-1], jnp.ones(()), recorded[:-1])
            return world.infer(params, key_infer, transition)

        n = explain(a)
        jacobian = jax.jacfwd(outcome, argnums=1)
        unblocked = jax.jacfwd(lambda a: outcome(s, a, explain(a)))(a)
        return recorded, outcome(s, a, n), jacobian(s, a, n), jacobian(s, a, other), unblocked, n.model

    return jax.vmap(one)(jax.random.split(jax.random.key(1), count))


@THEOREM
@given(SEEDS)
def test_inference_and_imagination_agree_under_the_exact_posterior(seed: int) -> None:
    """Inferred noise reproduces the transition and has the prior's distribution, and so does (s', d_a s').

    The Jacobian W_a + L_a exp(L x) B z has mean W_a and a known variance, under both. Through the inference it is 0: a
    perfect autoencoder returns the recorded s' for every action.
    """
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(S + 1, S + A)), 0.3 * rng.normal(size=(S + 1, S + A)), rng.normal(size=(S + 1, LATENT))
    s, a = rng.normal(size=S), rng.normal(size=A)
    recorded, rebuilt, inferred, imagined, unblocked, n = map(
        np.asarray, inferred_and_imagined(numbers, s, a, count=500)
    )
    w, log_scale, mixing = numbers
    size = 1e-9 * (1 + np.abs(recorded).max()) * (1 + np.linalg.cond(mixing))
    np.testing.assert_allclose(rebuilt, recorded, atol=size)
    np.testing.assert_allclose(unblocked, 0, atol=size)
    root = np.sqrt(len(n))
    assert np.all(np.abs(n.mean(axis=0)) < 6 / root)
    assert np.all(np.abs(n.T @ n / len(n) - np.eye(LATENT)) < 6 * np.sqrt(2) / root)
    spread = np.exp(log_scale @ np.concatenate([s, a])) * np.linalg.norm(mixing, axis=1)
    deviation = np.abs(log_scale[:, S:]) * spread[:, None]
    for jacobians in (inferred, imagined):
        assert np.all(np.abs(jacobians.mean(axis=0) - w[:, S:]) < 6 * deviation / root + 1e-9)
        assert np.all(np.abs(jacobians.std(axis=0) - deviation) < 6 * deviation / root + 1e-9)


def test_the_prior_moves_with_the_action() -> None:
    """A learned prior z = mu(x) + sigma(x) n: at fixed n, d_a of the decoder at z(a), not at a fixed z.

    The model with the same weights and no learned prior has the noise z; two draws of it give mu and sigma.
    """
    spec, sizes = Spec(2, 1), {"hidden_sizes": (8, 8), "latent_size": 2, "exact_inference": False}
    learned, standard = make_cvae(spec, **sizes), make_cvae(spec, **sizes, learned_prior=False)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), jax.jit(learned.init)(jax.random.key(0)))
    noise = jax.random.key(1), jax.random.key(2)
    s, a, r = jnp.array([0.3, -0.2]), jnp.array([0.4]), jnp.array(0.1)

    def prior(a: Any) -> tuple[Any, Any]:
        transition = Transition(s, a, r, jnp.ones(()), jnp.array([0.1, 0.2]))
        z, n = (
            jnp.stack([model.infer(params, key, transition).model for key in noise]) for model in (standard, learned)
        )
        std = (z[0] - z[1]) / (n[0] - n[1])
        return z[0] - std * n[0], std

    n = jnp.array([0.7, -1.1])
    latent = standard.noise(noise[0])

    @jax.jit
    def by_hand(a: Any) -> Any:
        mean, std = prior(a)
        return standard.simulate(params, s, a, latent._replace(model=mean + std * n))[0]

    @jax.jit
    def library(a: Any) -> Any:
        return learned.simulate(params, s, a, latent._replace(model=n))[0]

    @jax.jit
    def fixed(a: Any) -> Any:
        mean, std = jax.lax.stop_gradient(prior(a))
        return standard.simulate(params, s, a, latent._replace(model=mean + std * n))[0]

    np.testing.assert_allclose(library(a), by_hand(a), rtol=1e-9)
    step = 1e-5
    slope = (by_hand(a + step) - by_hand(a - step)) / (2 * step)
    np.testing.assert_allclose(jax.jacfwd(library)(a)[:, 0], slope, rtol=1e-5)
    assert np.abs(jax.jacfwd(fixed)(a)[:, 0] - slope).max() > 1e-2 * np.abs(slope).max()


@jax.jit
def all_truncated(rows: Any) -> list[tuple[jax.Array, jax.Array]]:
    """For each number of dropped rows, of one set and as a correction of three critics."""
    return [(truncate(rows, drop), Truncate(drop)(rows.reshape(3, 3, 3))) for drop in range(9)]


@THEOREM
@given(SEEDS, st.integers(0, 8))
def test_truncation_drops_returns_and_keeps_rows_whole(seed: int, drop: int) -> None:
    """The kept returns are the lowest, as in TQC; each has its own gradients; with more dropped the mean is lower."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(9, 3))
    truncated = [(np.asarray(one), np.asarray(other)) for one, other in all_truncated(rows)]
    kept, corrected = truncated[drop]
    np.testing.assert_array_equal(kept[:, 0], np.sort(rows[:, 0])[: 9 - drop])
    of_return = {row[0]: tuple(row) for row in rows}
    assert all(tuple(row) == of_return[row[0]] for row in kept)
    np.testing.assert_array_equal(all_truncated(rng.permutation(rows))[drop][0], kept)
    means = [one[:, 0].mean() for one, _ in truncated]
    assert np.all(np.diff(means) <= 1e-12)
    np.testing.assert_array_equal(corrected, kept)
    assert sorted(map(tuple, truncated[0][0])) == sorted(map(tuple, rows))


def smooth(weights: Any, s: Any, a: Any, xi: Any) -> Any:
    """A critic that is linear in none of its arguments."""
    x = jnp.concatenate([s, a, xi])
    return weights["out"] @ jnp.tanh(weights["hidden"] @ x) + 0.1 * jnp.sum(x**2) + xi[0]


def draw_critic(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"hidden": rng.normal(size=(6, S + A + 2)), "out": rng.normal(size=6)}


SAMPLES = jax.jit(lambda w, s, a, xi: joint_samples(smooth, w, s, a, xi))


@THEOREM
@given(SEEDS)
def test_joint_samples_are_compatible_with_the_distribution(seed: int) -> None:
    """d_a E phi(Z) = E phi'(Z) d_a Z, phi = sin, and d_a q_tau = the gradient of the sample that is the quantile.

    The left-hand sides by differences, for a distribution of 7 equally likely samples.
    """
    rng = np.random.default_rng(seed)
    weights, s, a, xi = draw_critic(rng), rng.normal(size=S), rng.normal(size=A), rng.normal(size=(7, 2))
    samples = np.asarray(SAMPLES(weights, s, a, xi))
    step, gap = 1e-5, np.diff(np.sort(samples[:, 0])).min()
    for i, unit in enumerate(step * np.eye(A)):
        up, down = (np.asarray(SAMPLES(weights, s, a + sign * unit, xi))[:, 0] for sign in (1, -1))
        slope = np.mean(np.sin(up) - np.sin(down)) / (2 * step)
        size = 1 + np.abs(samples).max() ** 3
        np.testing.assert_allclose(np.mean(np.cos(samples[:, 0]) * samples[:, 1 + i]), slope, atol=1e-8 * size)
        if gap > 10 * step * np.abs(samples[:, 1 + i]).max():
            quantiles = (np.sort(up) - np.sort(down)) / (2 * step)
            order = np.argsort(samples[:, 0])
            np.testing.assert_allclose(samples[order, 1 + i], quantiles, atol=1e-8 * size)


# Four equally likely points with the mean and covariance of a standard normal in the plane.
DESIGN = np.sqrt(2) * np.concatenate([np.eye(2), -np.eye(2)])


@jax.jit
def location_and_scale_samples(weights: Any, a: Any) -> jax.Array:
    """Z = m(a) + u(a) x + v(a) y, each coefficient c_0 + sin(c_1 a)."""

    def value(weights: Any, s: Any, a: Any, xi: Any) -> Any:
        m, u, v = (c[0] + jnp.sin(c[1] * a[0]) for c in weights)
        return m + u * xi[0] + v * xi[1]

    return joint_samples(value, weights, jnp.zeros(1), a, jnp.asarray(DESIGN))


@THEOREM
@given(SEEDS)
def test_conditional_means_of_the_gradient_are_slopes_of_quantiles(seed: int) -> None:
    """Z = m(a) + u(a) x + v(a) y, x and y normal: at Z = q_tau = m + sqrt(u² + v²) q the regression of the gradients on
    the returns, E[d_a Z | Z] = m' + (u u' + v v') / (u² + v²) (Z - m), is d_a q_tau.
    """
    rng = np.random.default_rng(seed)
    weights, a, level = rng.normal(size=(3, 2)), rng.normal(size=1), rng.normal()
    z, slope = np.asarray(location_and_scale_samples(weights, a)).T
    spread = np.mean((z - z.mean()) ** 2)
    regression = slope.mean() + np.mean(slope * (z - z.mean())) / spread * np.sqrt(spread) * level

    def quantile(a: float) -> float:
        m, u, v = (c[0] + np.sin(c[1] * a) for c in weights)
        return m + np.hypot(u, v) * level

    expected = (quantile(a[0] + 1e-6) - quantile(a[0] - 1e-6)) / 2e-6
    np.testing.assert_allclose(regression, expected, rtol=1e-6, atol=1e-7 * (1 + 1 / spread))


def rotated(s: Any, a: Any, n: Any) -> Any:
    c, d = jnp.cos(a[0]), jnp.sin(a[0])
    return jnp.stack([c * n[0] - d * n[1], d * n[0] + c * n[1]]), jnp.zeros(()), jnp.ones(())


def plain(s: Any, a: Any, n: Any) -> Any:
    return n, jnp.zeros(()), jnp.ones(())


@partial(jax.jit, static_argnames="simulate")
def targets_of(simulate: Any, v: Any, a: Any) -> jax.Array:
    """The target of Z = v·s' with gamma = 1, at each noise of the design."""
    target = partial(sobolev_target, simulate, lambda s, a, xi: v @ s, lambda s: s[:1], jnp.zeros(2), a)
    return jax.vmap(lambda n: target(n, None, 1.0))(jnp.asarray(DESIGN))


@THEOREM
@given(SEEDS)
def test_the_distribution_of_the_gradient_depends_on_the_parameterization_of_the_noise(seed: int) -> None:
    """s' = R(a) n, R a rotation, and s' = n have the same distribution for every action. With Z = v·s', n normal and
    gamma = 1, d_a Z has mean 0 and spread |v| in the first, and is 0 in the second; E[d_a Z | Z] = 0 in both.
    """
    rng = np.random.default_rng(seed)
    v, a = rng.normal(size=2), rng.normal(size=1)
    size = np.linalg.norm(v)
    for simulate, spread in ((rotated, size), (plain, 0.0)):
        rows = np.asarray(targets_of(simulate, v, a))
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-12)
        second = rows.T @ rows / len(rows)
        np.testing.assert_allclose(second, np.diag([size**2, spread**2]), atol=1e-10 * (1 + size**2))


class Mage:
    """s' = F s + G a, r = q·s + p·a, pi' = clip(K s', -1, 1), Q = [s; a]' H [s; a]: all derivatives by hand."""

    def __init__(self, rng: np.random.Generator, size: float) -> None:
        self.params: dict[str, Any] = {
            "model": (rng.normal(size=(2, 2)), rng.normal(size=(2, A)), rng.normal(size=2), rng.normal(size=A)),
            "actor": size * rng.normal(size=(A, 2)),
            "target": rng.normal(size=(2 + A, 2 + A)),
            "critic": rng.normal(size=(2 + A, 2 + A)),
        }
        self.s, self.a = rng.normal(size=2), rng.normal(size=A)

    def errors_by_hand(self, gamma: float) -> tuple[float, np.ndarray]:
        (f, g, q, p), k, target, critic = self.params.values()
        s_next = f @ self.s + g @ self.a
        raw = k @ s_next
        slope = np.where(np.abs(raw) < 1, 1.0, 0.0)[:, None] * k
        x, x_next = np.concatenate([self.s, self.a]), np.concatenate([s_next, np.clip(raw, -1, 1)])
        d_next = (target + target.T) @ x_next
        y = q @ self.s + p @ self.a + gamma * x_next @ target @ x_next
        d_y = p + gamma * g.T @ (d_next[:2] + slope.T @ d_next[2:])
        return y - x @ critic @ x, d_y - ((critic + critic.T) @ x)[2:]


def mage_errors(params: Any, s: Any, a: Any, gamma: Any) -> tuple[jax.Array, jax.Array]:
    """TD error and its action gradient, from the library's parts."""

    def simulate(s: Any, a: Any, n: Any) -> Any:
        f, g, q, p = params["model"]
        return f @ s + g @ a, q @ s + p @ a, jnp.ones(())

    def value(h: Any, s: Any, a: Any, xi: Any) -> Any:
        x = jnp.concatenate([s, a])
        return x @ h @ x

    def policy(s: Any) -> Any:
        return jnp.clip(params["actor"] @ s, -1.0, 1.0)

    y = sobolev_target(simulate, partial(value, params["target"]), policy, s, a, None, None, gamma)
    x = joint_samples(value, params["critic"], s, a, jnp.zeros((1, 0)))[0]
    return y[0] - x[0], y[1:] - x[1:]


def huber(x: Any) -> Any:
    return jnp.where(jnp.abs(x) < 1, 0.5 * x**2, jnp.abs(x) - 0.5)


MAGE_ERRORS = jax.jit(mage_errors)


@jax.jit
def mage_slopes(params: Any, s: Any, a: Any, gamma: Any) -> Any:
    def loss(params: Any) -> Any:
        error, gradient = mage_errors(params, s, a, gamma)
        return 0.5 * huber(error) + 2.5 * huber(jnp.sqrt(jnp.sum(gradient**2)))

    return jax.grad(loss)(params)


@THEOREM
@given(SEEDS, st.floats(0.1, 1), st.sampled_from([0.1, 10.0]))
def test_the_errors_of_mage(seed: int, gamma: float, size: float) -> None:
    """delta = y - Q and its action gradient, which passes through model, reward and policy (not where it is clipped).

    The loss huber(delta) / 2 + 5 huber(|d_a delta|) / 2 has a slope in the critic alone, from both terms.
    """
    case = Mage(np.random.default_rng(seed), size)
    error, gradient = case.errors_by_hand(gamma)
    found = MAGE_ERRORS(case.params, case.s, case.a, gamma)
    scale = 1 + np.abs(error) + np.abs(gradient).max()
    np.testing.assert_allclose(found[0], error, atol=1e-10 * scale)
    np.testing.assert_allclose(found[1], gradient, atol=1e-10 * scale)
    slopes = mage_slopes(case.params, case.s, case.a, gamma)
    for part in ("model", "actor", "target"):
        assert all(not np.any(leaf) for leaf in jax.tree.leaves(slopes[part]))
    x, norm = np.concatenate([case.s, case.a]), np.linalg.norm(gradient)
    pull = 2.5 * min(norm, 1.0) * np.concatenate([np.zeros(2), gradient / norm])
    by_hand = -0.5 * np.clip(error, -1, 1) * np.outer(x, x) - np.outer(pull, x) - np.outer(x, pull)
    np.testing.assert_allclose(slopes["critic"], by_hand, atol=1e-9 * (1 + np.abs(by_hand).max()))


@partial(jax.jit, static_argnames="kernel")
def slice_losses(weights: Any, theta: Any, s: Any, a: Any, xi: Any, y: Any, kernel: Any) -> Any:
    """The loss of one slice and its slope: by all gradients, and by one forward derivative along theta."""

    def full(weights: Any) -> Any:
        return mmd2((joint_samples(smooth, weights, s, a, xi) @ theta)[:, None], y, kernel)

    def forward(weights: Any) -> Any:
        def one(xi: Any) -> Any:
            z, slope = jax.jvp(lambda a: smooth(weights, s, a, xi), (a,), (theta[1:],))
            return theta[0] * z + slope

        return mmd2(jax.vmap(one)(xi)[:, None], y, kernel)

    return jax.value_and_grad(full)(weights), jax.value_and_grad(forward)(weights)


@THEOREM
@given(SEEDS, st.sampled_from([Energy(), Multiquadric(1.0)]))
def test_a_slice_needs_one_forward_derivative(seed: int, kernel: Any) -> None:
    """theta·[Z, d_a Z] = theta_0 Z + (d/dt) Z(a + t theta_a): same loss, same slope in the weights."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=1 + A)
    arguments = rng.normal(size=S), rng.normal(size=A), rng.normal(size=(5, 2)), rng.normal(size=(7, 1))
    full, forward = slice_losses(draw_critic(rng), theta, *arguments, kernel)
    for expected, actual in zip(jax.tree.leaves(full), jax.tree.leaves(forward), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-9)
