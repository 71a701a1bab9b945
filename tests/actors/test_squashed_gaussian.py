"""The squashed Gaussian policy against scipy's densities, quadrature and its own samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from sobolev import actors
from sobolev.actors.squashed_gaussian import log_density
from sobolev.types import Actor, Params, Spec

SPEC = Spec(state_size=3, action_size=2)
KEY = jax.random.key(0)
STATE = jnp.array([0.3, -1.0, 2.0])


@pytest.fixture(scope="module")
def actor() -> Actor:
    return actors.make_squashed_gaussian(SPEC, hidden_sizes=(8, 8), initial_temperature=0.25)


@pytest.fixture(scope="module")
def params(actor: Actor) -> Params:
    return actor.init(KEY)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.7, -1.0), (-1.5, 0.5)])
def test_density_is_that_of_the_squashed_normal(mean: float, log_std: float) -> None:
    def density(a: float) -> float:
        u = np.arctanh(a)
        n = (u - mean) / np.exp(log_std)
        return float(np.exp(log_density(jnp.array([n]), jnp.array([log_std]), jnp.array([u]))))

    for a in (-0.9, 0.1, 0.8):
        expected = stats.norm.pdf(np.arctanh(a), mean, np.exp(log_std)) / (1 - a**2)
        assert density(a) == pytest.approx(expected, rel=1e-5)
    with jax.enable_x64(True):
        assert integrate.quad(density, -1 + 1e-9, 1 - 1e-9, limit=200)[0] == pytest.approx(1.0, abs=1e-4)


def test_density_is_exact_for_large_outputs() -> None:
    u = jnp.array([30.0, -30.0])
    assert np.isfinite(log_density(jnp.zeros(2), jnp.zeros(2), u))
    expected = -np.log(2 * np.pi) - 2 * (2 * np.log(2) - 60)
    assert float(log_density(jnp.zeros(2), jnp.zeros(2), u)) == pytest.approx(expected, rel=1e-6)


def test_bonus_is_the_temperature_times_the_entropy(actor: Actor, params: Params) -> None:
    keys = jax.random.split(KEY, 20_000)
    actions = np.asarray(jax.vmap(lambda key: actor.act(params, key, STATE))(keys))
    bonus = np.asarray(jax.vmap(lambda key: actors.decide(actor, params, key, STATE).entropy_bonus)(keys))
    u = np.arctanh(actions.astype(np.float64))
    entropy = sum(
        stats.norm.entropy(u[:, i].mean(), u[:, i].std()) + np.mean(np.log(1 - actions[:, i] ** 2)) for i in range(2)
    )
    assert bonus.mean() == pytest.approx(0.25 * entropy, abs=5 * bonus.std() / np.sqrt(len(bonus)) + 2e-3)


def test_temperature_rises_where_entropy_is_missing(actor: Actor, params: Params) -> None:
    slope = jax.jit(jax.grad(lambda params, key: actors.decide(actor, params, key, STATE).auxiliary_loss))
    for wanted, sign in ((50.0, -1.0), (-50.0, 1.0)):
        other = actors.make_squashed_gaussian(SPEC, hidden_sizes=(8, 8), target_entropy=wanted)
        gradient = jax.grad(lambda params, other=other: actors.decide(other, params, KEY, STATE).auxiliary_loss)(params)
        assert np.sign(float(gradient["log_temperature"])) == sign
        assert all(np.all(x == 0) for x in jax.tree.leaves(gradient["network"]))
    keys = jax.random.split(KEY, 2_000)
    mean_bonus = np.mean([float(actors.decide(actor, params, key, STATE).entropy_bonus) for key in keys[:200]])
    slopes = [float(slope(params, key)["log_temperature"]) for key in keys[:200]]
    assert np.mean(slopes) == pytest.approx(
        mean_bonus / 0.25 + SPEC.action_size, rel=1e-4
    )  # the entropy less its target -A


def test_bonus_has_no_slope_in_the_temperature(actor: Actor, params: Params) -> None:
    gradient = jax.grad(lambda params: actors.decide(actor, params, KEY, STATE).entropy_bonus)(params)
    assert float(gradient["log_temperature"]) == 0.0
    assert any(np.any(x != 0) for x in jax.tree.leaves(gradient["network"]))


def test_the_mode_is_the_median_of_the_samples(actor: Actor, params: Params) -> None:
    assert actor.mode is not None
    mode = actor.mode(params, KEY, STATE)
    samples = np.asarray(jax.vmap(lambda key: actor.act(params, key, STATE))(jax.random.split(KEY, 4_000)))
    np.testing.assert_allclose(np.median(samples, axis=0), mode, atol=0.06)


def test_temperature_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"initial_temperature.*0\.0"):
        actors.make_squashed_gaussian(SPEC, initial_temperature=0.0)
