"""The ensembles: how members are drawn and resampled, and the likelihood and posterior of the Gaussians."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from sobolev.types import Params, Spec, Transition
from sobolev.world_models import make_gaussian_ensemble, make_mage

SPEC = Spec(state_size=2, action_size=1)
MEMBERS = 5
SMALL: dict[str, Any] = {"hidden_sizes": (6,), "members": MEMBERS}


@pytest.fixture(scope="module")
def batch() -> Transition:
    keys = jax.random.split(jax.random.key(1), 4)
    s, s_next = (jax.random.normal(key, (7, 2)) for key in keys[:2])
    a, r = jax.random.normal(keys[2], (7, 1)), jax.random.normal(keys[3], (7,))
    return Transition(s, a, r, jnp.ones(7), s_next)


def outcomes(model: Any, params: Params, step: Transition, noises: Callable[[int], Any]) -> np.ndarray:
    """[s' - s, r] of each member, ``[M, 3]``: the member's own output, as the normalizers are 1."""
    rows = []
    for member in range(MEMBERS):
        s_next, r, _ = model.simulate(params, step.s, step.a, noises(member))
        rows.append(np.append(s_next - step.s, r))
    return np.array(rows, np.float64)


def mage_means(model: Any, params: Params, step: Transition) -> np.ndarray:
    plain = model.noise(jax.random.key(0))
    return outcomes(model, params, step, lambda member: plain._replace(model=jnp.array(member)))


def gaussians(model: Any, params: Params, step: Transition) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations by simulation at n = 0 and n = 1."""
    plain = model.noise(jax.random.key(0))

    def at(normal: float) -> np.ndarray:
        return outcomes(
            model,
            params,
            step,
            lambda member: plain._replace(
                model=plain.model._replace(member=jnp.array(member), normal=jnp.full(3, normal))
            ),
        )

    return at(0.0), at(1.0) - at(0.0)


def errors_of_mage(batch: Transition) -> tuple[Any, Params, np.ndarray]:
    """|t - f_m(x)|² / 2 of each transition and member, ``[7, 5]``."""
    model = make_mage(SPEC, **SMALL)
    params = model.init(jax.random.key(2))
    errors = []
    for row in range(7):
        step = jax.tree.map(lambda leaf, row=row: leaf[row], batch)
        target = np.append(step.s_next - step.s, step.r)
        errors.append(0.5 * np.sum((target - mage_means(model, params, step)) ** 2, axis=1))
    return model, params, np.array(errors)


def test_loss_is_that_of_a_poisson_bootstrap(batch: Transition) -> None:
    """With counts w ~ Poisson(1), one per transition and member, mean(w e) has mean mean(e), variance sum e² / 35²."""
    model, params, errors = errors_of_mage(batch)
    keys = jax.random.split(jax.random.key(3), 20_000)
    losses = np.asarray(jax.jit(jax.vmap(lambda key: model.loss(params, key, batch)))(keys), np.float64)
    deviation = np.sqrt(np.sum(errors**2)) / errors.size
    assert losses.mean() == pytest.approx(errors.mean(), abs=5 * deviation / np.sqrt(20_000))
    assert losses.std() == pytest.approx(deviation, rel=0.03)


def test_members_learn_from_different_resamples(batch: Transition) -> None:
    """Equal members, one batch: their slopes differ by the resamples alone."""
    model = make_mage(SPEC, **SMALL)
    params = model.init(jax.random.key(2))
    same = {**params, "model": jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape), params["model"])}
    slope = jax.jit(jax.grad(model.loss))(same, jax.random.key(4), batch)["model"]
    flat = np.concatenate([np.reshape(leaf, (MEMBERS, -1)) for leaf in jax.tree.leaves(slope)], axis=1)
    assert all(np.abs(flat[i] - flat[j]).max() > 1e-4 for i in range(MEMBERS) for j in range(i))


def test_each_member_is_drawn_equally_often() -> None:
    keys = jax.random.split(jax.random.key(5), 20_000)
    for model, member_of in (
        (make_mage(SPEC, **SMALL), lambda n: n.model),
        (make_gaussian_ensemble(SPEC, **SMALL), lambda n: n.model.member),
    ):
        counts = np.bincount(member_of(jax.jit(jax.vmap(model.noise))(keys)), minlength=MEMBERS)
        # A count has deviation sqrt(20000 · 0.2 · 0.8) = 57.
        np.testing.assert_allclose(counts, 4000, atol=5 * 57)


def test_members_start_apart_and_simulate_what_they_predict(batch: Transition) -> None:
    model = make_mage(SPEC, **SMALL)
    params = model.init(jax.random.key(2))
    means = mage_means(model, params, jax.tree.map(lambda leaf: leaf[0], batch))
    assert all(np.abs(means[i] - means[j]).max() > 1e-2 for i in range(MEMBERS) for j in range(i))


def test_papers_reading_of_mage_simulates_a_mean(batch: Transition) -> None:
    """Without exact inference the recorded outcome has no effect."""
    model, step = make_mage(SPEC, exact_inference=False, **SMALL), jax.tree.map(lambda leaf: leaf[0], batch)
    params = model.init(jax.random.key(2))
    n = model.infer(params, jax.random.key(6), step)
    s_next, r, _ = model.simulate(params, step.s, step.a, n)
    np.testing.assert_allclose(np.append(s_next - step.s, r), mage_means(model, params, step)[n.model], rtol=1e-5)
    assert n.model == model.infer(params, jax.random.key(6), step._replace(r=step.r + 9.0)).model


def test_gaussian_loss_is_the_likelihood(batch: Transition) -> None:
    """Its mean over bootstraps is the mean of -log N(t; f_m, sigma_m²), which scipy gives."""
    model = make_gaussian_ensemble(SPEC, **SMALL)
    params = model.init(jax.random.key(2))
    expected = []
    for row in range(7):
        step = jax.tree.map(lambda leaf, row=row: leaf[row], batch)
        target = np.append(step.s_next - step.s, step.r)
        expected.append(-scipy.stats.norm.logpdf(target, *gaussians(model, params, step)).sum(axis=1))
    keys = jax.random.split(jax.random.key(3), 20_000)
    losses = np.asarray(jax.jit(jax.vmap(lambda key: model.loss(params, key, batch)))(keys), np.float64)
    deviation = np.sqrt(np.sum(np.square(expected))) / np.size(expected)
    assert losses.mean() == pytest.approx(np.mean(expected), abs=5 * deviation / np.sqrt(20_000))
    assert losses.std() == pytest.approx(deviation, rel=0.03)


def test_gaussian_member_is_drawn_from_its_posterior(batch: Transition) -> None:
    """p(m | t) = N(t; f_m, sigma_m²) / sum; and the normal noise solves t = f_m + sigma_m n."""
    model = make_gaussian_ensemble(SPEC, log_var_bounds=(-1.0, 1.0), **SMALL)
    params, step = model.init(jax.random.key(2)), jax.tree.map(lambda leaf: leaf[0], batch)
    mean, std = gaussians(model, params, step)
    target = np.append(step.s_next - step.s, step.r)
    densities = np.exp(scipy.stats.norm.logpdf(target, mean, std).sum(axis=1))
    posterior = densities / densities.sum()
    keys = jax.random.split(jax.random.key(7), 20_000)
    n = jax.jit(jax.vmap(lambda key: model.infer(params, key, step)))(keys)
    share = np.bincount(n.model.member, minlength=MEMBERS) / 20_000
    np.testing.assert_allclose(share, posterior, atol=5 * 0.5 / np.sqrt(20_000))
    assert np.abs(posterior - 1 / MEMBERS).max() > 0.05
    member = int(n.model.member[0])
    np.testing.assert_allclose(n.model.normal[0], (target - mean[member]) / std[member], rtol=1e-3, atol=1e-4)
    assert not np.any(n.remainder)


@pytest.mark.parametrize(
    ("bounds", "least", "largest"), [((-5.0, -1.0), 0.0820850, 0.6065307), ((-8.0, 2.0), np.exp(-4), np.e)]
)
def test_deviations_stay_within_their_bounds(
    batch: Transition, bounds: tuple[float, float], least: float, largest: float
) -> None:
    """exp(-5/2) = 0.0821 and exp(-1/2) = 0.6065, MAGE's; weights a hundred times too large reach them."""
    model = make_gaussian_ensemble(SPEC, log_var_bounds=bounds, **SMALL)
    params = jax.tree.map(lambda leaf: 100.0 * leaf, model.init(jax.random.key(2))["model"])
    params = {**model.init(jax.random.key(2)), "model": params}
    step = jax.tree.map(lambda leaf: leaf[0], batch)
    plain = model.noise(jax.random.key(0))

    def spread(member: int) -> np.ndarray:
        def outcome(normal: jax.Array) -> jax.Array:
            n = plain._replace(model=plain.model._replace(member=jnp.array(member), normal=normal))
            s_next, r, _ = model.simulate(params, step.s, step.a, n)
            return jnp.append(s_next, r)

        return np.diag(jax.jacfwd(outcome)(jnp.zeros(3)))

    deviations = np.array([spread(member) for member in range(MEMBERS)])
    assert deviations.min() == pytest.approx(least, rel=1e-3)
    assert deviations.max() == pytest.approx(largest, rel=1e-3)


@pytest.mark.parametrize("make", [make_mage, make_gaussian_ensemble])
def test_an_ensemble_has_members(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"members.* 1.* 0"):
        make(SPEC, members=0)


def test_bounds_ascend() -> None:
    with pytest.raises(ValueError, match=r"log_var_bounds.*\(1\.0, -1\.0\)"):
        make_gaussian_ensemble(SPEC, log_var_bounds=(1.0, -1.0))
