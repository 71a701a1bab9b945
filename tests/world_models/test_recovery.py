"""Each learned model, trained on a simulator, recovers its distribution and its derivatives.

The simulator is linear-Gaussian with a quadratic reward: with x = (s, a) uniform in [-1, 1]³ and eps, zeta ~ N(0, 1),

    s' = s + F s + G a + 0.15 eps,   r = -s_1² + s_2 a + 0.1 zeta

Given x, t = [s' - s, r] is Gaussian with independent components; in units of its own deviations v the noise has
variance noise² / v², and the loss of an exact likelihood cannot fall below the entropy sum log(2 pi e noise² / v²) / 2.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import world_models
from sobolev.types import Array, Key, Params, Spec, Transition, WorldModel

F = np.array([[-0.3, 0.5], [-0.4, -0.1]])
G = np.array([0.5, -0.3])
NOISE = np.array([0.15, 0.15, 0.1])
SPEC = Spec(state_size=2, action_size=1)
MODELS: dict[str, dict[str, Any]] = {
    "cvae": {"hidden_sizes": (32, 32), "beta": 0.03},
    "flow": {"hidden_sizes": (32,), "couplings": 2},
    "mage": {"hidden_sizes": (32, 32), "members": 3},
    "gaussian_ensemble": {"hidden_sizes": (32, 32), "members": 3},
    "deterministic": {"hidden_sizes": (32, 32)},
}


def step(s: Array, a: Array, key: Key) -> Transition:
    n = NOISE * jax.random.normal(key, (3,))
    return Transition(s, a, -(s[0] ** 2) + s[1] * a[0] + n[2], jnp.ones(()), s + F @ s + G * a + n[:2])


def recorded(key: Key, count: int) -> Transition:
    key_s, key_a, key_n = jax.random.split(key, 3)
    s = jax.random.uniform(key_s, (count, 2), minval=-1.0)
    a = jax.random.uniform(key_a, (count, 1), minval=-1.0)
    return jax.vmap(step)(s, a, jax.random.split(key_n, count))


class Trained(NamedTuple):
    name: str
    model: WorldModel
    params: Params
    held_out: Transition


@pytest.fixture(scope="module", params=MODELS)
def trained(request: pytest.FixtureRequest, train: Callable[..., Params]) -> Trained:
    model = world_models.registry.make(request.param, SPEC, **MODELS[request.param])
    # Within the range of the data: a network's derivative at the edge is not determined by them.
    held_out = recorded(jax.random.key(7), 64)
    inner = held_out._replace(s=0.8 * held_out.s, a=0.8 * held_out.a)
    return Trained(request.param, model, train(model, recorded, 2500), inner)


def outcomes(trained: Trained, draws: int, inferred: bool) -> tuple[Array, Array]:
    """[s', r] and its Jacobian in (s, a) at each held-out point, ``[64, draws, 3]`` and ``[64, draws, 3, 3]``.

    At imagined noise, or at noise that is inferred from as many transitions of the simulator at that point.
    """
    model, params = trained.model, trained.params

    def outcome(x: Array, n: Any) -> tuple[Array, Array]:
        s_next, r, _ = model.simulate(params, x[:2], x[2:], n)
        return (joined := jnp.append(s_next, r)), joined

    def at(x: Array, key: Key) -> tuple[Array, Array]:
        key_step, key_infer = jax.random.split(key)
        n = model.infer(params, key_infer, step(x[:2], x[2:], key_step)) if inferred else model.noise(key)
        jacobian, value = jax.jacrev(outcome, has_aux=True)(x, n)
        return value, jacobian

    points = jnp.concatenate([trained.held_out.s, trained.held_out.a], axis=1)
    keys = jax.random.split(jax.random.key(3), (64, draws))
    return jax.jit(jax.vmap(jax.vmap(at, in_axes=(None, 0))))(points, keys)


@pytest.fixture(scope="module")
def imagined(trained: Trained) -> tuple[Array, Array]:
    return outcomes(trained, draws=400, inferred=False)


def root_mean_square(error: Any) -> np.ndarray:
    """Over the held-out points."""
    return np.sqrt(np.mean(np.asarray(error) ** 2, axis=0))


def test_imagined_means_and_spreads_are_the_simulators(trained: Trained, imagined: tuple[Array, Array]) -> None:
    values, _ = imagined
    s, a = (np.asarray(x, np.float64) for x in (trained.held_out.s, trained.held_out.a))

    mean = np.column_stack([s + s @ F.T + a * G, -(s[:, 0] ** 2) + s[:, 1] * a[:, 0]])
    assert np.all(root_mean_square(values.mean(axis=1) - mean) < 0.02)
    spread = np.asarray(values.std(axis=1)).mean(axis=0)
    np.testing.assert_allclose(spread, expected_spread(trained), rtol=0.1, atol=0.02)


def test_mean_jacobians_are_the_simulators(trained: Trained, imagined: tuple[Array, Array]) -> None:
    """At imagined noise, and at noise that is inferred from transitions."""
    s, a = (np.asarray(x, np.float64) for x in (trained.held_out.s, trained.held_out.a))
    ones = np.ones(64)
    true = np.stack(
        [
            np.column_stack([1 + F[0, 0] * ones, F[0, 1] * ones, G[0] * ones]),
            np.column_stack([F[1, 0] * ones, 1 + F[1, 1] * ones, G[1] * ones]),
            np.column_stack([-2 * s[:, 0], a[:, 0], s[:, 1]]),
        ],
        axis=1,
    )
    for _, jacobians in (imagined, outcomes(trained, draws=100, inferred=True)):
        assert np.all(root_mean_square(jacobians.mean(axis=1) - true) < 0.06)


def expected_spread(trained: Trained) -> np.ndarray:
    """NOISE, or 0 for a model of the mean.

    The mean of a Gaussian decoder lacks the decoder's own variance, beta in units of the normalized target:
    loss / beta = |t - d|² / (2 beta) + KL is the bound of a model with that variance, and where t is Gaussian given x
    its optimum is probabilistic PCA, whose mean has variance lambda - beta along an axis of variance lambda > beta.
    """
    scale = np.asarray(trained.params["target"].std, np.float64)
    if trained.name in ("mage", "deterministic"):
        return np.zeros(3)
    return np.sqrt(np.maximum(NOISE**2 - MODELS[trained.name].get("beta", 0.0) * scale**2, 0.0))


@pytest.mark.parametrize("trained", ["flow", "gaussian_ensemble"], indirect=True)
def test_likelihood_reaches_the_entropy(trained: Trained) -> None:
    batch = recorded(jax.random.key(11), 20_000)
    variances = NOISE**2 / np.asarray(trained.params["target"].std, np.float64) ** 2
    entropy = 0.5 * np.sum(np.log(2 * np.pi * np.e * variances))
    loss = float(jax.jit(trained.model.loss)(trained.params, jax.random.key(0), batch))
    # The mean of 20 000 sums of three squares / 2 has standard error sqrt(3/2) / 141 = 0.009.
    assert entropy - 0.03 < loss < entropy + 0.04


@pytest.mark.parametrize("trained", ["flow", "gaussian_ensemble"], indirect=True)
def test_inferred_noise_has_the_distribution_of_the_prior(trained: Trained) -> None:
    """On 20 000 transitions of the simulator."""
    batch = recorded(jax.random.key(12), 20_000)
    keys = jax.random.split(jax.random.key(5), 20_000)
    n = jax.jit(jax.vmap(trained.model.infer, in_axes=(None, 0, 0)))(trained.params, keys, batch).model
    normal = np.asarray(n if trained.name == "flow" else n.normal)
    np.testing.assert_allclose(normal.mean(axis=0), 0.0, atol=0.06)
    np.testing.assert_allclose(np.cov(normal.T), np.eye(3), atol=0.1)
    if trained.name == "gaussian_ensemble":
        np.testing.assert_allclose(np.bincount(n.member, minlength=3) / 20_000, 1 / 3, atol=0.02)
