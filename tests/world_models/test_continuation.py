"""The continuation head on a walk that ends where |s'| > 1.

s' = s + a/2 + 0.3 eps,  s, a uniform in [-1, 1];  given (s, a), mu = s + a/2 and with b_± = (±1 - mu) / 0.3

P(going on) = Phi(b_+) - Phi(b_-),   its derivative in a = -(phi(b_+) - phi(b_-)) / 2 / 0.3
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from sobolev import world_models
from sobolev.types import Array, Key, Params, Spec, Transition, WorldModel
from sobolev.world_models.continuation import make_continuation

SPEC = Spec(state_size=1, action_size=1, continuation=True)
SMALL: dict[str, Any] = {"hidden_sizes": (8,), "couplings": 0}
Explained = Callable[[float, float, float], tuple[float, float, float]]


def walk(key: Key, count: int) -> Transition:
    """The discount is 0.9, as of steps folded into one, where the episode goes on: any positive one counts."""
    key_s, key_a, key_n = jax.random.split(key, 3)
    s = jax.random.uniform(key_s, (count, 1), minval=-1.0)
    a = jax.random.uniform(key_a, (count, 1), minval=-1.0)
    s_next = s + a / 2 + 0.3 * jax.random.normal(key_n, (count, 1))
    return Transition(s, a, 0.5 * s[:, 0] - a[:, 0] ** 2, 0.9 * (jnp.abs(s_next[:, 0]) <= 1.0), s_next)


@pytest.fixture(scope="module")
def trained(train: Callable[..., Params]) -> tuple[WorldModel, Params]:
    model = world_models.make_flow(SPEC, **SMALL)
    return model, train(model, walk, 3000)


@pytest.fixture(scope="module")
def explained(trained: tuple[WorldModel, Params]) -> Explained:
    """c of a recorded step, and its derivatives in s and a."""
    model, params = trained

    @jax.jit
    def at(step: Transition) -> Any:
        n = model.infer(params, jax.random.key(0), step)
        return jax.value_and_grad(lambda s, a: model.simulate(params, s, a, n)[2], argnums=(0, 1))(step.s, step.a)

    def explain(s: float, a: float, s_next: float) -> tuple[float, float, float]:
        c, (d_s, d_a) = at(Transition(*(jnp.array(x) for x in ([s], [a], 0.5 * s - a**2, 1.0, [s_next]))))
        return float(c), float(d_s[0]), float(d_a[0])

    return explain


def test_head_learns_the_boundary(explained: Explained) -> None:
    for s, a in ((0.5, 0.4), (0.8, -0.3), (0.9, 0.9)):
        for sign in (1, -1):
            c = [explained(sign * s, sign * a, sign * s_next)[0] for s_next in (0.9, 1.1)]
            assert c[0] > 0.85
            assert c[1] < 0.15
    assert explained(0.0, 0.0, 0.1)[0] > 0.99


def test_derivative_points_away_from_the_boundary(explained: Explained) -> None:
    """At fixed noise s and a move s' by 1 and 1/2, outwards at +1 and inwards at -1."""
    for sign in (1, -1):
        _, d_s, d_a = explained(sign * 0.6, sign * 0.5, sign * 1.0)
        assert sign * d_s < -1.0
        assert sign * d_a < -0.5
        assert d_s / d_a == pytest.approx(2.0, rel=0.5)


def test_imagined_probability_and_its_derivative_are_the_true_ones(trained: tuple[WorldModel, Params]) -> None:
    """The mean over the noise of the derivative of c is that of the probability; a recorded end has derivative 0."""
    model, params = trained

    def probability(s: Array, a: Array, key: Key) -> Array:
        return model.simulate(params, s, a, model.noise(key))[2]

    points = np.array([(0.8, 0.4), (0.7, 0.6), (-0.7, -0.5), (-0.8, 0.2), (0.0, 0.0)])
    keys = jax.random.split(jax.random.key(3), 20_000)
    at = jax.jit(jax.vmap(jax.vmap(jax.value_and_grad(probability, argnums=1), (None, None, 0)), (0, 0, None)))
    c, d_a = at(jnp.array(points[:, :1]), jnp.array(points[:, 1:]), keys)
    mu = points[:, 0] + points[:, 1] / 2
    above, below = (1 - mu) / 0.3, (-1 - mu) / 0.3
    np.testing.assert_allclose(c.mean(axis=1), scipy.stats.norm.cdf(above) - scipy.stats.norm.cdf(below), atol=0.04)
    slope = -(scipy.stats.norm.pdf(above) - scipy.stats.norm.pdf(below)) / 2 / 0.3
    np.testing.assert_allclose(d_a.mean(axis=1)[:, 0], slope, atol=0.1)
    assert np.abs(slope).max() > 0.5


@pytest.mark.parametrize("goes_on", [True, False])
def test_loss_is_the_cross_entropy(goes_on: bool) -> None:
    head = make_continuation(SPEC, hidden_sizes=(4,))
    params, x, d = head.init(jax.random.key(0)), jnp.array([0.3, -2.0]), jnp.array([1.0])
    c = float(head.probability(params, x, d))
    assert 0.0 < c < 1.0
    assert float(head.loss(params, x, d, jnp.array(goes_on))) == pytest.approx(
        -np.log(c if goes_on else 1 - c), rel=1e-5
    )


def test_loss_is_finite_for_the_most_confident_heads() -> None:
    head = make_continuation(SPEC, hidden_sizes=(4,))
    params = jax.tree.map(lambda leaf: 1e4 * leaf, head.init(jax.random.key(0)))
    x, d = jnp.array([3.0, -2.0]), jnp.array([1.0])
    for goes_on in (True, False):
        loss, slope = jax.value_and_grad(head.loss)(params, x, d, jnp.array(goes_on))
        assert np.isfinite(loss)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


def test_loss_of_the_density_does_not_change() -> None:
    """With the head, the loss is that without it plus the head's; the slope of the density is the same."""
    batch, key = walk(jax.random.key(5), 9), jax.random.key(6)
    ending, endless = (world_models.make_flow(SPEC._replace(continuation=c), **SMALL) for c in (True, False))
    params = ending.init(jax.random.key(0))
    without = {**params, "continuation": ()}
    head = make_continuation(SPEC)
    x = jnp.concatenate([batch.s, batch.a], axis=1)
    losses = jax.vmap(head.loss, (None, 0, 0, 0))(params["continuation"], x, batch.s_next - batch.s, batch.discount > 0)
    assert ending.loss(params, key, batch) == pytest.approx(
        float(endless.loss(without, key, batch)) + float(losses.mean()), rel=1e-5
    )
    slope, plain = jax.grad(ending.loss)(params, key, batch), jax.grad(endless.loss)(without, key, batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), slope["model"], plain["model"])


def test_no_head_where_nothing_ends() -> None:
    model = world_models.make_flow(SPEC._replace(continuation=False), **SMALL)
    params = model.init(jax.random.key(0))
    assert params["continuation"] == ()
    with_head = world_models.make_flow(SPEC, **SMALL).init(jax.random.key(0))
    assert len(jax.tree.leaves(with_head["continuation"])) == 6  # three layers of weights and biases
    step = jax.tree.map(lambda leaf: leaf[0], walk(jax.random.key(5), 1))
    c, slope = jax.value_and_grad(lambda a: model.simulate(params, step.s, a, model.noise(jax.random.key(1)))[2])(
        step.a
    )
    assert c == 1.0
    assert not np.any(slope)
