"""The flow's likelihood against the change of variables, its inverse, and a distribution that is not Gaussian."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from sobolev.types import Key, Params, Spec, Transition
from sobolev.world_models import make_flow

SPEC = Spec(state_size=3, action_size=2)
STEP = Transition(
    s=jnp.array([0.3, -1.0, 0.5]),
    a=jnp.array([0.4, -0.8]),
    r=jnp.array(0.7),
    discount=jnp.ones(()),
    s_next=jnp.array([1.0, 0.5, 0.1]),
)


def scattered(couplings: int, spec: Spec = SPEC) -> tuple[Any, Params]:
    """A flow whose weights are all of order one, far from the identity."""
    model = make_flow(spec, hidden_sizes=(5, 5), couplings=couplings)
    params = model.init(jax.random.key(0))
    leaves, tree = jax.tree.flatten(params["model"])
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [0.7 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return model, {**params, "model": jax.tree.unflatten(tree, drawn)}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("couplings", [0, 1, 4])
def test_loss_is_the_change_of_variables(couplings: int) -> None:
    """-log p(t) = -sum log N(n_i) + log |det dt/dn|, by the Jacobian of the simulation; here t = [s' - s, r]."""
    model, params = scattered(couplings)
    step = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), STEP)
    n = model.infer(params, jax.random.key(2), step)

    def outcome(normal: jax.Array) -> jax.Array:
        s_next, r, _ = model.simulate(params, step.s, step.a, n._replace(model=normal))
        return jnp.append(s_next, r)

    jacobian = np.asarray(jax.jacfwd(outcome)(n.model))
    expected = -scipy.stats.norm.logpdf(n.model).sum() + np.linalg.slogdet(jacobian)[1]
    assert float(model.loss(params, jax.random.key(3), jax.tree.map(lambda leaf: leaf[None], step))) == pytest.approx(
        expected, rel=1e-9
    )
    np.testing.assert_allclose(outcome(n.model), jnp.append(step.s_next, step.r), rtol=1e-10)
    assert not np.any(n.remainder)
    assert (np.count_nonzero(np.abs(jacobian) > 1e-12) > 4) == (couplings > 0)


def test_linear_gaussian_step_is_in_the_family() -> None:
    """Networks of zeros leave [s' - s, r] = W [s, a] + b + n, whose likelihood scipy knows."""
    model = make_flow(SPEC, hidden_sizes=(5,), couplings=2)
    params = model.init(jax.random.key(0))
    key_w, key_b = jax.random.split(jax.random.key(1))
    linear = {"w": jax.random.normal(key_w, (5, 4)), "b": jax.random.normal(key_b, (4,))}
    weights = {name: jax.tree.map(jnp.zeros_like, leaves) for name, leaves in params["model"].items()}
    params = {**params, "model": {**weights, "linear": linear}}
    mean = np.concatenate([STEP.s, STEP.a]) @ np.asarray(linear["w"]) + np.asarray(linear["b"])
    n = model.noise(jax.random.key(2))
    s_next, r, _ = model.simulate(params, STEP.s, STEP.a, n)
    np.testing.assert_allclose(np.append(s_next - STEP.s, r), mean + n.model, rtol=1e-4, atol=1e-5)
    target = np.append(STEP.s_next - STEP.s, STEP.r)
    loss = model.loss(params, jax.random.key(3), jax.tree.map(lambda leaf: leaf[None], STEP))
    assert float(loss) == pytest.approx(-scipy.stats.norm.logpdf(target, mean).sum(), rel=1e-5)


def test_inference_inverts_simulation() -> None:
    model, params = scattered(couplings=4)
    n = model.noise(jax.random.key(4))
    s_next, r, _ = model.simulate(params, STEP.s, STEP.a, n)
    again = model.infer(params, jax.random.key(5), STEP._replace(s_next=s_next, r=r))
    np.testing.assert_allclose(again.model, n.model, rtol=1e-4, atol=1e-4)


def test_couplings_transform_every_component_by_turns() -> None:
    """Two couplings: each component's derivative in its own noise is not that of the affine layer alone."""
    spec = Spec(state_size=1, action_size=1)
    with jax.enable_x64(True):
        for couplings, entries in ((0, [[1, 0], [0, 1]]), (1, [[1, 0], [1, 1]]), (2, [[1, 1], [1, 1]])):
            model, params = scattered(couplings, spec)

            def outcome(normal: jax.Array, model: Any = model, params: Params = params) -> jax.Array:
                n = model.noise(jax.random.key(0))._replace(model=normal)
                s_next, r, _ = model.simulate(params, jnp.array([0.2]), jnp.array([0.1]), n)
                return jnp.append(s_next, r)

            jacobian = jax.jacfwd(outcome)(jnp.array([0.3, -0.7]))
            np.testing.assert_array_equal(np.abs(jacobian) > 1e-9, np.array(entries, bool))


def test_starts_close_to_a_conditional_gaussian() -> None:
    """The couplings' first parameters are small: t is nearly affine in n."""
    model = make_flow(SPEC, hidden_sizes=(8, 8), couplings=4)
    params = model.init(jax.random.key(0))

    def outcome(normal: jax.Array) -> jax.Array:
        n = model.noise(jax.random.key(0))._replace(model=normal)
        s_next, r, _ = model.simulate(params, STEP.s, STEP.a, n)
        return jnp.append(s_next, r)

    at = jax.jit(jax.jacfwd(outcome))
    zero, one = at(jnp.zeros(4)), at(jnp.ones(4))
    np.testing.assert_allclose(one, zero, atol=0.1)
    assert np.abs(np.diag(zero)).min() > 0.1


def test_a_negative_number_of_couplings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"couplings.*-1"):
        make_flow(SPEC, couplings=-1)


def test_distrax_is_loaded_on_first_use_alone() -> None:
    program = (
        "import sys\n"
        "from sobolev import world_models\n"
        "assert 'flow' in world_models.registry.names()\n"
        "print([name for name in ('distrax', 'tensorflow_probability') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout.strip() == "[]"


def bent(key: Key, count: int) -> Transition:
    """s' = s + tanh(2s) / 2 + sigma(a) eps, sigma = 0.2 exp(a),  r = s a + 0.3 eps² + 0.1 zeta: a crescent"""
    key_s, key_a, key_n = jax.random.split(key, 3)
    s = jax.random.uniform(key_s, (count, 1), minval=-1.0)
    a = jax.random.uniform(key_a, (count, 1), minval=-1.0)
    n = jax.random.normal(key_n, (count, 2))
    s_next = s + jnp.tanh(2 * s) / 2 + 0.2 * jnp.exp(a) * n[:, :1]
    return Transition(s, a, (s * a)[:, 0] + 0.3 * n[:, 0] ** 2 + 0.1 * n[:, 1], jnp.ones(count), s_next)


def test_a_crescent_is_learned_to_its_entropy(train: Callable[..., Params]) -> None:
    """(eps, zeta) -> (s', r) has determinant 0.1 sigma(a), so the entropy is log(2 pi e) + log 0.1 + E log sigma(a),
    with E log sigma = log 0.2 since E a = 0; less the logarithms of the normalizer's standard deviations.
    """
    model = make_flow(Spec(1, 1), hidden_sizes=(32,), couplings=4)
    params = train(model, bent, 2500)
    units = np.log(np.asarray(params["target"].std, np.float64)).sum()
    entropy = np.log(2 * np.pi * np.e) + np.log(0.1) + np.log(0.2) - units
    loss = float(jax.jit(model.loss)(params, jax.random.key(3), bent(jax.random.key(4), 20_000)))
    assert entropy - 0.05 < loss < entropy + 0.1
