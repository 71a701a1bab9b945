from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from sobolev.types import Key, Params, Spec, Transition, WorldModel
from sobolev.world_models import make_cvae
from sobolev.world_models.cvae import Gaussian, kl_divergence

KEY = jax.random.key(0)


def test_kl_divergence_is_the_integral(x64: None) -> None:
    """∫ q log(q / p), component by component"""
    q_mean, q_std = np.array([0.3, -1.0]), np.array([0.5, 2.0])
    p_mean, p_std = np.array([-0.2, 0.5]), np.array([1.5, 0.8])
    integral = 0.0
    for parameters in zip(q_mean, q_std, p_mean, p_std, strict=True):
        q, p = scipy.stats.norm(*parameters[:2]), scipy.stats.norm(*parameters[2:])
        integral += scipy.integrate.quad(
            lambda z, q=q, p=p: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), q.mean() - 12 * q.std(), q.mean() + 12 * q.std()
        )[0]
    q, p = Gaussian(jnp.array(q_mean), jnp.array(q_std)), Gaussian(jnp.array(p_mean), jnp.array(p_std))
    assert kl_divergence(q, p) == pytest.approx(integral, rel=1e-8)
    assert kl_divergence(p, p) == 0.0


def test_latent_size_and_prior() -> None:
    spec = Spec(3, 2)
    papers = make_cvae(spec, hidden_sizes=(4,), learned_prior=False)
    later = make_cvae(spec, hidden_sizes=(4,), latent_size=7)
    assert papers.noise(KEY).model.shape == (4,)
    assert later.noise(KEY).model.shape == (7,)
    assert not any("prior" in name for name in papers.init(KEY)["model"])
    assert any("prior" in name for name in later.init(KEY)["model"])


@pytest.mark.parametrize("learned_prior", [True, False])
def test_beta_weighs_the_divergence(learned_prior: bool) -> None:
    """loss = error + beta KL(q || p), in which the inferred n = (z - mu_p) / sigma_p has the distribution q"""
    step = Transition(jnp.array([0.3, -1.0]), jnp.array([0.4]), jnp.array(2.0), jnp.ones(()), jnp.array([1.0, 0.5]))
    batch = jax.tree.map(lambda leaf: leaf[None], step)
    losses = []
    for beta in (0.0, 1.0, 3.0):
        model = make_cvae(Spec(2, 1), hidden_sizes=(4,), beta=beta, learned_prior=learned_prior)
        params = jax.tree.map(lambda leaf: 1.5 * leaf, model.init(KEY))
        losses.append(float(jax.jit(model.loss)(params, KEY, batch)))
    draws = jax.jit(jax.vmap(lambda key: model.infer(params, key, step).model))(jax.random.split(KEY, 20000))
    mean, std = np.mean(draws, axis=0), np.std(draws, axis=0)
    divergence = float(np.sum(-np.log(std) + (std**2 + mean**2) / 2 - 0.5))
    assert divergence > 0.1
    assert losses[1] - losses[0] == pytest.approx(divergence, rel=0.05)
    assert losses[2] - losses[0] == pytest.approx(3 * (losses[1] - losses[0]), rel=1e-4)


def test_loss_without_divergence_is_the_error_of_the_reconstruction() -> None:
    """|t - d(x, z)|² / 2 with z ~ q: what inference leaves as the remainder, normalized"""
    model = make_cvae(Spec(2, 1), hidden_sizes=(4,), beta=0.0)
    params = model.init(KEY)
    step = Transition(jnp.array([0.3, -1.0]), jnp.array([0.4]), jnp.array(2.0), jnp.ones(()), jnp.array([1.0, 0.5]))
    batch = jax.tree.map(lambda leaf: leaf[None], step)
    count = 10000
    losses = jax.jit(jax.vmap(lambda key: model.loss(params, key, batch)))(jax.random.split(KEY, count))
    infer = jax.jit(jax.vmap(lambda key: model.infer(params, key, step).remainder))
    errors = 0.5 * np.sum(np.asarray(infer(jax.random.split(jax.random.key(1), count))) ** 2, axis=1)
    assert np.mean(losses) == pytest.approx(float(np.mean(errors)), rel=0.03)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"beta": -0.5}, r"beta.*-0\.5"), ({"latent_size": 0}, r"latent_size.* 1.* 0")],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_cvae(Spec(3, 2), **arguments)


def known_steps(key: Key, count: int) -> Transition:
    """s' = s + 0.5 a + 0.2 eps, r = s - a²"""
    keys = jax.random.split(key, 3)
    s = jax.random.uniform(keys[0], (count, 1), minval=-1.0)
    a = jax.random.uniform(keys[1], (count, 1), minval=-1.0)
    s_next = s + 0.5 * a + 0.2 * jax.random.normal(keys[2], (count, 1))
    return Transition(s, a, (s - a**2)[:, 0], jnp.ones(count), s_next)


@pytest.fixture(scope="module")
def trained(train: Callable[..., Params]) -> tuple[WorldModel, Params]:
    """V24's, without a learned prior; tests/world_models/test_recovery.py has the one with it."""
    model = make_cvae(Spec(1, 1), hidden_sizes=(32, 32), beta=0.01, learned_prior=False)
    return model, train(model, known_steps, 2500)


@pytest.mark.parametrize(("s", "a"), [(-0.5, 0.5), (0.0, -0.6), (0.6, 0.2)])
def test_the_standard_prior_recovers_a_known_step(trained: tuple[WorldModel, Params], s: float, a: float) -> None:
    """Means and spreads of (s', r); d_a s' = 0.5, d_s s' = 1, d_a r = -2a, d_s r = 1."""
    model, params = trained

    @jax.jit
    @jax.vmap
    def imagine(key: Key) -> Any:
        def outcome(s: Any, a: Any) -> Any:
            s_next, r, _ = model.simulate(params, s, a, model.noise(key))
            return jnp.append(s_next, r)

        state, action = jnp.array([s]), jnp.array([a])
        return outcome(state, action), *jax.jacrev(outcome, argnums=(0, 1))(state, action)

    values, d_s, d_a = (np.asarray(x) for x in imagine(jax.random.split(KEY, 2000)))
    np.testing.assert_allclose(values.mean(axis=0), [s + 0.5 * a, s - a**2], atol=0.04)
    # The mean lacks the decoder's own variance, beta = 0.01 in units of the target's 0.25 / 3 + 0.04.
    assert values[:, 0].std() == pytest.approx(np.sqrt(0.04 - 0.01 * (0.25 / 3 + 0.04)), rel=0.15)
    assert values[:, 1].std() < 0.06
    np.testing.assert_allclose(d_a.mean(axis=0)[:, 0], [0.5, -2 * a], atol=0.15)
    np.testing.assert_allclose(d_s.mean(axis=0)[:, 0], [1.0, 1.0], atol=0.15)
