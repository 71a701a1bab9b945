"""Targets that look ahead: backups in a row, their fixed point, and what a mixture of them does to distances."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sobolev.bellman import look_ahead, sobolev_target
from sobolev.contraction import backup
from sobolev.environments.exact import finite_noise, linear_quadratic
from sobolev.environments.exact.linear import JointMoments, restrict
from sobolev.horizons import Geometric
from sobolev.joint import GRADIENTS, Gradient
from sobolev.linearise import linearise
from tests.theory import test_distances, test_exact_answers, test_operator
from tests.theory.test_distances import wasserstein
from tests.theory.test_operator import A

THEOREM = settings(max_examples=max(100, settings.get_profile("sobolev").max_examples))
SEEDS = st.integers(0, 2**32 - 1)
H = 3


def ahead(simulate: Any, policy: Any, noises: Any, gamma: Any, reached: Any) -> Any:
    """The step of H transitions along the policy of which ``1 + sum(reached)`` count; its own noise is the first."""

    def onward(s: Any, n: Any) -> Any:
        s_next, r, c = simulate(s, policy(s), n)
        return s_next, r, gamma * c

    return look_ahead(simulate, onward, jax.tree.map(lambda n: n[1:], noises), reached, gamma)


@jax.jit
def targets(world: Any, s: Any, a: Any, n: Any, xi: Any, gamma: Any, reached: Any) -> Any:
    """For each of the gradients, and through the first-order expansion of the whole path."""
    simulate, value, policy = (
        partial(f, world) for f in (test_operator.simulate, test_operator.value, test_operator.policy)
    )
    step = ahead(simulate, policy, n, gamma, reached)

    def of(gradient: Gradient, step: Any) -> Any:
        return sobolev_target(step, value, policy, s, a, n[0], xi, 1.0, gradient)

    linear = linearise(step, s, a, n[0], "state_action")
    return [of(gradient, step) for gradient in GRADIENTS], of("state_action", linear)


@THEOREM
@given(SEEDS, st.floats(0, 1), st.integers(1, H))
def test_a_target_that_looks_ahead_is_so_many_backups(seed: int, gamma: float, h: int) -> None:
    """x_t = b_t + gamma A_t x_{t+1} for t < h, affine in the critic's sample at s_h; ends multiply what follows."""
    world, s, a, noises, rng = test_operator.draw(seed)
    xi, here, there, path = rng.normal(), s, a, []
    for n in noises[:h]:
        b, linear, here, _ = test_operator.by_hand(world, here, there, n, ends=True)
        there = np.tanh(world.K @ here)
        path.append((b, linear))
    z = test_operator.sample_by_hand(world, here, there, xi)
    for b, linear in reversed(path):
        z = b + gamma * linear @ z
    slope = (1 - np.tanh(world.K @ s) ** 2)[:, None] * world.K
    along = np.concatenate([z[: 1 + A], z[1 + A :] + slope.T @ z[1 : 1 + A]])
    (none, action, complete, loop), expanded = targets(world, s, a, noises, xi, gamma, np.arange(1, H) < h)
    close: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-9}
    for found, expected in ((none, z[:1]), (action, z[: 1 + A]), (complete, z), (loop, along), (expanded, z)):
        np.testing.assert_allclose(found, expected, **close)


@jax.jit
def quadratic_targets(task: Any, gain: Any, gamma: Any, moments: Any, root: Any, w: Any, s: Any, a: Any) -> Any:
    """The mean and covariance of the complete target of each horizon, on nodes that are exact for this critic.

    The critic is that of ``test_exact_answers.quadratic_targets``; its moments along the policy are those given.
    """
    simulate, size = linear_quadratic.simulator(task).simulate, task.F.shape[0]

    def policy(s: Any) -> Any:
        return gain @ s

    def value(s: Any, a: Any, xi: Any) -> Any:
        return s @ moments.P @ s + moments.z + s @ root @ xi[1:] + jnp.sqrt(moments.u) * xi[0] + w @ (a - gain @ s)

    nodes, weights = map(jnp.asarray, test_exact_answers.hermite(size))
    xi = jnp.asarray(test_exact_answers.second_order(1 + size))
    every = jnp.array(list(itertools.product(range(len(nodes)), repeat=H)))

    def of(reached: Any) -> Any:
        def one(n: Any, xi: Any) -> Any:
            step = ahead(simulate, policy, n, gamma, reached)
            return sobolev_target(step, value, policy, s, a, n[0], xi, 1.0, "state_action")

        rows = jax.vmap(lambda i: jax.vmap(lambda xi: one(nodes[i], xi))(xi))(every)
        probability = jnp.prod(weights[every], axis=1)[:, None] / len(xi)
        mean = jnp.einsum("nx,nxd->d", jnp.broadcast_to(probability, rows.shape[:2]), rows)
        away = rows - mean
        return JointMoments(
            mean, jnp.einsum("nx,nxd,nxe->de", jnp.broadcast_to(probability, rows.shape[:2]), away, away)
        )

    return jax.vmap(of)(jnp.array([[k < h for k in range(1, H)] for h in range(1, H + 1)]))


BACKUP = jax.jit(linear_quadratic.backup)
JOINT = jax.jit(linear_quadratic.joint_moments)


@settings(max_examples=20)
@given(SEEDS, st.booleans())
def test_every_horizon_has_the_fixed_point_of_one_step(seed: int, is_fixed_point: bool) -> None:
    """T^h maps the moments of the exact task h times, so that the fixed point's stay as they are: for every mixture."""
    task, gain, gamma, rng = test_exact_answers.draw_quadratic(seed)
    root, p = rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
    moments = linear_quadratic.QuadraticMoments(p + p.T, rng.normal(), root @ root.T, rng.exponential())
    if is_fixed_point:
        moments = test_exact_answers.SOLVE(task, gain, gamma)
        root = np.linalg.cholesky(np.asarray(moments.U) + 1e-12 * np.trace(moments.U) * np.eye(2))
    s, a, w = rng.normal(size=2), rng.normal(size=2), rng.normal(size=2)
    found = quadratic_targets(task, gain, gamma, moments, root, w, s, a)
    first = JOINT(task, gamma, moments, s, a)
    for h in range(H):
        mean, covariance = (np.asarray(x[h]) for x in found)
        exact = JOINT(task, gamma, moments, s, a)
        size, spread = 1 + np.abs(exact.mean).max(), 1 + np.abs(exact.covariance).max()
        np.testing.assert_allclose(mean, exact.mean, atol=1e-8 * size)
        np.testing.assert_allclose(covariance, exact.covariance, atol=1e-8 * spread)
        if is_fixed_point:
            np.testing.assert_allclose(mean, first.mean, atol=1e-8 * size)
            np.testing.assert_allclose(covariance, first.covariance, atol=1e-8 * spread)
        moments = BACKUP(task, gain, gamma, moments)
    assert restrict(first, "action", gain).mean.shape == (3,)


COUNT, ATOMS, DEPTH = 2, 3, 2  # noises, atoms at each state, transitions at most
SHARES = (0.5, 0.5)  # of one and of two transitions


@jax.jit
def mixed(task: Any, gain: Any, s: Any, a: Any, near: Any, far: Any, gamma: Any) -> tuple[jax.Array, ...]:
    """The atoms of a geometric target with decay 1/2 and H = 2, and the linear parts of its backups.

    ``near[K, J, D]`` are the atoms at the next states, ``far[K, K, J, D]`` at those after them; a critic that is affine
    around (s_h, pi(s_h)) can have any value and gradient there. Atoms of one transition stand twice, since those of two
    are twice as many.
    """
    simulate, policy = finite_noise.simulator(task).simulate, partial(test_distances.policy, gain)

    def one(noises: Any, reached: Any, atom: Any) -> Any:
        step = ahead(simulate, policy, noises, gamma, reached)
        center = step(s, a, noises[0])[0]
        action = policy(center)

        def value(s: Any, a: Any, xi: Any) -> Any:
            return xi[0] + xi[1 : 1 + len(a)] @ (a - action) + xi[1 + len(a) :] @ (s - center)

        return sobolev_target(step, value, policy, s, a, noises[0], atom, 1.0, "state_action")

    def factors(n: Any, later: Any) -> Any:
        s_next = simulate(s, a, n)[0]
        return backup(simulate, policy, s, a, n).linear, backup(simulate, policy, s_next, policy(s_next), later).linear

    pairs = jnp.array(list(itertools.product(range(COUNT), repeat=DEPTH)))
    far = far.reshape(len(pairs), ATOMS, -1)
    of_one = jax.vmap(lambda n, atoms: jax.vmap(lambda x: one(jnp.array([n, n]), jnp.array([False]), x))(atoms))(
        jnp.arange(COUNT), near
    )
    of_two = jax.vmap(lambda n, atoms: jax.vmap(lambda x: one(n, jnp.array([True]), x))(atoms))(pairs, far)
    first, second = jax.vmap(lambda n: factors(*n))(pairs)
    return of_one.reshape(-1, of_one.shape[-1]), of_two.reshape(-1, of_two.shape[-1]), first, second


def draw_mixture(seed: int) -> Any:
    """The task, and two unrelated sets of distributions at all states that can be come to."""
    rng = np.random.default_rng(seed)
    task, gain = finite_noise.random_task(rng, COUNT, 2, 1), rng.normal(size=(1, 2))
    near, far = rng.normal(size=(2, COUNT, ATOMS, 4)), rng.normal(size=(2, COUNT, COUNT, ATOMS, 4))
    for atoms in (near, far):
        atoms[1] = rng.uniform(0, 2) * atoms[1] + rng.normal(size=(*atoms.shape[1:-2], 1, 4)) * rng.uniform(0, 3)
    return task, gain, rng.normal(size=2), rng.normal(size=1), near, far, rng


def together(of_one: Any, of_two: Any) -> np.ndarray:
    """Equally likely atoms of the mixture."""
    return np.concatenate([*[np.asarray(of_one)] * COUNT, np.asarray(of_two)])


@THEOREM
@given(SEEDS, st.floats(0.05, 1), st.sampled_from([1, 2]))
def test_wasserstein_distances_shrink_by_the_mixture_of_powers(seed: int, gamma: float, p: int) -> None:
    """W_p^p after, by sup W_p^p before, <= sum_h w_h gamma^(hp) E |A_1 … A_h|^p <= sum_h w_h (gamma kappa)^(hp)."""
    np.testing.assert_allclose(Geometric(DEPTH, decay=SHARES[1]).weights, SHARES)
    task, gain, s, a, near, far, _ = draw_mixture(seed)
    (x1, x2, first, second), (y1, y2, _, _) = (mixed(task, gain, s, a, near[i], far[i], gamma) for i in (0, 1))
    before = max(
        *(wasserstein(x, y, p) for x, y in zip(*near, strict=True)),
        *(wasserstein(x, y, p) for x, y in zip(*far.reshape(2, -1, ATOMS, 4), strict=True)),
    )
    after = wasserstein(together(x1, x2), together(y1, y2), p) ** p
    first, second = np.asarray(first), np.asarray(second)
    norms = [np.linalg.norm(x, ord=2, axis=(1, 2)) for x in (first, first @ second, second)]
    rate = sum(w * gamma ** (h * p) * np.mean(norms[h - 1] ** p) for h, w in enumerate(SHARES, start=1))
    assert after <= rate * before**p * (1 + 1e-9)
    kappa = max(1.0, norms[0].max(), norms[2].max())
    assert rate <= sum(w * (gamma * kappa) ** (h * p) for h, w in enumerate(SHARES, start=1)) * (1 + 1e-9)


@THEOREM
@given(SEEDS, st.sampled_from(test_distances.BASES), st.floats(0.1, 0.99))
def test_max_sliced_mmd_shrinks_by_the_mixture_of_rates(seed: int, kernel: Any, gamma_kappa: float) -> None:
    """Each slice after is at most sum_h w_h l((gamma kappa)^h) times the largest of slices before; l is the root."""
    task, gain, s, a, near, far, rng = draw_mixture(seed)
    _, _, first, second = map(np.asarray, mixed(task, gain, s, a, near[0], far[0], 0.5))
    kappa = max(1.0, *(np.linalg.norm(x, ord=2, axis=(1, 2)).max() for x in (first, second)))
    gamma = gamma_kappa / kappa
    (x1, x2, _, _), (y1, y2, _, _) = (mixed(task, gain, s, a, near[i], far[i], gamma) for i in (0, 1))
    theta = rng.normal(size=(32, 4))
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)
    after = np.sqrt(np.maximum(test_distances.slices(kernel, together(x1, x2), together(y1, y2), theta), 0.0))
    bound = np.zeros(len(theta))
    for h, (linear, atoms, pulled_by) in enumerate(
        ((first[::COUNT], near, gamma), (first @ second, far.reshape(2, -1, ATOMS, 4), gamma**2)), start=1
    ):
        largest = np.zeros(len(theta))
        for matrix, x, y in zip(linear, *atoms, strict=True):
            pulled = pulled_by * theta @ matrix
            c = np.linalg.norm(pulled, axis=1)
            assert np.all(c <= gamma_kappa**h * (1 + 1e-9))
            directions = pulled / np.maximum(c, 1e-300)[:, None]
            before = np.sqrt(np.maximum(test_distances.slices(kernel, x, y, directions), 0.0))
            largest = np.maximum(largest, before)
        bound += SHARES[h - 1] * np.sqrt(gamma_kappa**h) * largest
    assert np.all(after <= bound * (1 + 1e-7) + 1e-6)
