"""Each learned model, trained on a simulator whose law and derivatives are known, gives them back.

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
import optax
import pytest

from sobolev import world_models
from sobolev.types import Array, Key, Params, Spec, Transition, WorldModel

F = np.array([[-0.3, 0.5], [-0.4, -0.1]])
G = np.array([0.5, -0.3])
NOISE = np.array([0.15, 0.15, 0.1])
SPEC = Spec(state_size=2, action_size=1)
BETA = 0.03
MODELS: dict[str, dict[str, Any]] = {
    "cvae": {"hidden_sizes": (32, 32), "beta": BETA},
    "flow": {"hidden_sizes": (32,), "couplings": 2},
    "mage": {"hidden_sizes": (32, 32), "members": 3},
    "gaussian_ensemble": {"hidden_sizes": (32, 32), "members": 3},
    "deterministic": {"hidden_sizes": (32, 32)},
}


def recorded(key: Key, count: int) -> Transition:
    key_s, key_a, key_n = jax.random.split(key, 3)
    s = jax.random.uniform(key_s, (count, 2), minval=-1.0)
    a = jax.random.uniform(key_a, (count, 1), minval=-1.0)
    n = NOISE * jax.random.normal(key_n, (count, 3))
    s_next = s + s @ F.T + a * G + n[:, :2]
    return Transition(s, a, -(s[:, 0] ** 2) + s[:, 1] * a[:, 0] + n[:, 2], jnp.ones(count), s_next)


class Trained(NamedTuple):
    name: str
    model: WorldModel
    params: Params
    held_out: Transition


def train(model: WorldModel, data: Callable[[Key, int], Transition], steps: int = 2500, rate: float = 5e-3) -> Params:
    """Adam on fresh batches of 128, the rate annealed to zero."""
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def step(state: tuple[Params, Any], key: Key) -> tuple[tuple[Params, Any], None]:
        key_data, key_loss = jax.random.split(key)
        params, memory = state
        updates, memory = optimiser.update(jax.grad(model.loss)(params, key_loss, data(key_data, 128)), memory)
        return (optax.apply_updates(params, updates), memory), None

    @jax.jit
    def fit(key: Key) -> Params:
        key_init, key_scale, key_steps = jax.random.split(key, 3)
        params = model.fit_normalizer(model.init(key_init), data(key_scale, 2000))
        return jax.lax.scan(step, (params, optimiser.init(params)), jax.random.split(key_steps, steps))[0][0]

    return fit(jax.random.key(0))


@pytest.fixture(scope="module", params=MODELS)
def trained(request: pytest.FixtureRequest) -> Trained:
    model = world_models.registry.make(request.param, SPEC, **MODELS[request.param])
    # Within the data: a network's derivative at their edge is anybody's guess.
    held_out = recorded(jax.random.key(7), 64)
    inner = held_out._replace(s=0.8 * held_out.s, a=0.8 * held_out.a)
    return Trained(request.param, model, train(model, recorded), inner)


def imagined(trained: Trained, draws: int) -> tuple[Array, Array]:
    """[s', r] and its Jacobian in (s, a) at each held-out point, ``[64, draws, 3]`` and ``[64, draws, 3, 3]``."""
    model, params = trained.model, trained.params

    def outcome(x: Array, n: Any) -> tuple[Array, Array]:
        s_next, r, _ = model.simulate(params, x[:2], x[2:], n)
        return (joined := jnp.append(s_next, r)), joined

    def at(x: Array, key: Key) -> tuple[Array, Array]:
        jacobian, value = jax.jacrev(outcome, has_aux=True)(x, model.noise(key))
        return value, jacobian

    points = jnp.concatenate([trained.held_out.s, trained.held_out.a], axis=1)
    keys = jax.random.split(jax.random.key(3), (64, draws))
    return jax.jit(jax.vmap(jax.vmap(at, in_axes=(None, 0))))(points, keys)


def root_mean_square(error: Any) -> np.ndarray:
    """Over the held-out points."""
    return np.sqrt(np.mean(np.asarray(error) ** 2, axis=0))


def test_mean_spread_and_jacobians_are_the_simulators(trained: Trained) -> None:
    values, jacobians = imagined(trained, draws=400)
    s, a = (np.asarray(x, np.float64) for x in (trained.held_out.s, trained.held_out.a))
    ones = np.ones(64)

    mean = np.column_stack([s + s @ F.T + a * G, -(s[:, 0] ** 2) + s[:, 1] * a[:, 0]])
    assert np.all(root_mean_square(values.mean(axis=1) - mean) < 0.02)

    true = np.stack(
        [
            np.column_stack([1 + F[0, 0] * ones, F[0, 1] * ones, G[0] * ones]),
            np.column_stack([F[1, 0] * ones, 1 + F[1, 1] * ones, G[1] * ones]),
            np.column_stack([-2 * s[:, 0], a[:, 0], s[:, 1]]),
        ],
        axis=1,
    )
    assert np.all(root_mean_square(jacobians.mean(axis=1) - true) < 0.06)

    spread = np.asarray(values.std(axis=1)).mean(axis=0)
    np.testing.assert_allclose(spread, expected_spread(trained), rtol=0.1, atol=0.02)


def expected_spread(trained: Trained) -> np.ndarray:
    """NOISE where there is a law of the noise; a model of the mean has none.

    The centre of a Gaussian decoder lacks the decoder's own variance, beta in units of the standardised target: for
    loss / beta = |t - d|² / (2 beta) + KL is the bound of a model with that variance, and where t is Gaussian given x
    its optimum is probabilistic PCA, whose centre has variance lambda - beta along an axis of variance lambda > beta.
    """
    scale = np.asarray(trained.params["target"].std, np.float64)
    return {
        "cvae": np.sqrt(np.maximum(NOISE**2 - BETA * scale**2, 0.0)),
        "mage": np.zeros(3),
        "deterministic": np.zeros(3),
    }.get(trained.name, NOISE)


@pytest.mark.parametrize("trained", ["flow", "gaussian_ensemble"], indirect=True)
def test_likelihood_reaches_the_entropy(trained: Trained) -> None:
    batch = recorded(jax.random.key(11), 20_000)
    variances = NOISE**2 / np.asarray(trained.params["target"].std, np.float64) ** 2
    entropy = 0.5 * np.sum(np.log(2 * np.pi * np.e * variances))
    loss = float(jax.jit(trained.model.loss)(trained.params, jax.random.key(0), batch))
    # 20 000 draws of a sum of three squares / 2 are known to sqrt(3/2) / 141 = 0.009.
    assert entropy - 0.03 < loss < entropy + 0.04


@pytest.mark.parametrize("trained", ["flow", "gaussian_ensemble"], indirect=True)
def test_inferred_noise_has_the_law_of_the_prior(trained: Trained) -> None:
    """On transitions of the simulator: inference and imagination then agree in law. 20 000 draws."""
    batch = recorded(jax.random.key(12), 20_000)
    keys = jax.random.split(jax.random.key(5), 20_000)
    n = jax.jit(jax.vmap(trained.model.infer, in_axes=(None, 0, 0)))(trained.params, keys, batch).model
    normal = np.asarray(n if trained.name == "flow" else n.normal)
    np.testing.assert_allclose(normal.mean(axis=0), 0.0, atol=0.06)
    np.testing.assert_allclose(np.cov(normal.T), np.eye(3), atol=0.1)
    if trained.name == "gaussian_ensemble":
        np.testing.assert_allclose(np.bincount(n.member, minlength=3) / 20_000, 1 / 3, atol=0.02)
