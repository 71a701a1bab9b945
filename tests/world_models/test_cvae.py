from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.integrate
import scipy.stats

from sobolev.types import Params, Spec, Transition, WorldModel
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
    """loss = error + beta KL(q || p), in which the inferred n = (z - mu_p) / sigma_p has the law q against N(0, 1)"""
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
    """|t - d(x, z)|² / 2 with z ~ q: what inference leaves as the remainder, in standardised units"""
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
    [({"beta": -0.5}, "got -0.5 and 4"), ({"latent_size": 0}, "latent_size at least 1, got .* 0")],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_cvae(Spec(3, 2), **arguments)


def known_steps(key: jax.Array, count: int) -> Transition:
    """s' = s + 0.5 a + 0.2 eps, r = s - a²"""
    keys = jax.random.split(key, 3)
    s = jax.random.uniform(keys[0], (count, 1), minval=-1.0)
    a = jax.random.uniform(keys[1], (count, 1), minval=-1.0)
    s_next = s + 0.5 * a + 0.2 * jax.random.normal(keys[2], (count, 1))
    return Transition(s, a, (s - a**2)[:, 0], jnp.ones(count), s_next)


@pytest.fixture(scope="module", params=[True, False], ids=["learned_prior", "standard_prior"])
def trained(request: pytest.FixtureRequest) -> tuple[WorldModel, Params]:
    steps = 2000
    model = make_cvae(Spec(1, 1), hidden_sizes=(32, 32), beta=0.01, learned_prior=request.param)
    optimiser = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def step(state: tuple[Params, Any], key: jax.Array) -> tuple[tuple[Params, Any], jax.Array]:
        params, optimiser_state = state
        data_key, loss_key = jax.random.split(key)
        loss, slope = jax.value_and_grad(model.loss)(params, loss_key, known_steps(data_key, 256))
        updates, optimiser_state = optimiser.update(slope, optimiser_state)
        return (optax.apply_updates(params, updates), optimiser_state), loss

    params = model.fit_normalizer(model.init(KEY), known_steps(KEY, 2000))
    keys = jax.random.split(jax.random.key(1), steps)
    (params, _), losses = jax.jit(lambda state: jax.lax.scan(step, state, keys))((params, optimiser.init(params)))
    assert losses[-100:].mean() < 0.2 * losses[:10].mean()
    return model, params


POINTS = [(-0.5, 0.5), (0.0, -0.6), (0.6, 0.2)]


def test_imagined_law_is_the_true_one(trained: tuple[WorldModel, Params]) -> None:
    model, params = trained
    imagine = jax.jit(jax.vmap(lambda s, a, key: model.simulate(params, s, a, model.noise(key)), (None, None, 0)))
    for s, a in POINTS:
        s_next, r, _ = imagine(jnp.array([s]), jnp.array([a]), jax.random.split(KEY, 2000))
        assert np.mean(s_next) == pytest.approx(s + 0.5 * a, abs=0.04)
        # The centre lacks the decoder's own variance, beta = 0.01 in units of the target's 0.25 / 3 + 0.04.
        assert np.std(s_next) == pytest.approx(np.sqrt(0.04 - 0.01 * (0.25 / 3 + 0.04)), rel=0.15)
        assert np.mean(r) == pytest.approx(s - a**2, abs=0.04)
        assert np.std(r) < 0.06


def test_jacobians_are_the_true_ones(trained: tuple[WorldModel, Params]) -> None:
    """d_a s' = 0.5, d_s s' = 1, d_a r = -2a, d_s r = 1, at imagined noise on average and at inferred noise"""
    model, params = trained

    def outcome(s: jax.Array, a: jax.Array, noise: Any) -> jax.Array:
        s_next, r, _ = model.simulate(params, s, a, noise)
        return jnp.stack([s_next[0], r])

    jacobians = jax.jit(jax.vmap(jax.jacrev(outcome, argnums=(0, 1)), (None, None, 0)))
    infer = jax.jit(jax.vmap(lambda key, step: model.infer(params, key, step), (0, 0)))
    for s, a in POINTS:
        state, action = jnp.array([s]), jnp.array([a])
        eps = jax.random.normal(jax.random.key(2), (200, 1))
        recorded = Transition(
            jnp.full((200, 1), s),
            jnp.full((200, 1), a),
            jnp.full(200, s - a**2),
            jnp.ones(200),
            s + 0.5 * a + 0.2 * eps,
        )
        imagined = jax.vmap(model.noise)(jax.random.split(KEY, 200))
        for noise in (imagined, infer(jax.random.split(KEY, 200), recorded)):
            d_s, d_a = jacobians(state, action, noise)
            np.testing.assert_allclose(np.mean(d_a[..., 0], axis=0), [0.5, -2 * a], atol=0.15)
            np.testing.assert_allclose(np.mean(d_s[..., 0], axis=0), [1.0, 1.0], atol=0.15)
