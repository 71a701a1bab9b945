"""The deterministic model: what it simulates is what its loss measures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.types import Spec, Transition
from sobolev.world_models import make_deterministic

KEY = jax.random.key(0)


def test_loss_is_the_squared_error_of_the_simulation() -> None:
    """|[s' - s, r] - f|² / 2 on average, where f is simulated without a remainder; the normalizers are 1."""
    model = make_deterministic(Spec(2, 1), hidden_sizes=(6,))
    keys = jax.random.split(jax.random.key(1), 4)
    s, s_next = (jax.random.normal(key, (7, 2)) for key in keys[:2])
    batch = Transition(s, jax.random.normal(keys[2], (7, 1)), jax.random.normal(keys[3], (7,)), jnp.ones(7), s_next)
    params = model.init(KEY)
    errors = []
    for row in range(7):
        predicted, r, _ = model.simulate(params, batch.s[row], batch.a[row], model.noise(KEY))
        errors.append(np.append(batch.s_next[row] - predicted, batch.r[row] - r))
    assert float(model.loss(params, KEY, batch)) == pytest.approx(0.5 * np.square(errors).sum(axis=1).mean(), rel=1e-5)


def test_the_mean_replaces_the_transition_without_exact_inference() -> None:
    step = Transition(jnp.array([0.3, -1.0]), jnp.array([0.4]), jnp.array(2.0), jnp.ones(()), jnp.array([1.0, 0.5]))
    exact = make_deterministic(Spec(2, 1), hidden_sizes=(6,))
    mean = make_deterministic(Spec(2, 1), hidden_sizes=(6,), exact_inference=False)
    params = exact.init(KEY)
    imagined = mean.simulate(params, step.s, step.a, mean.noise(KEY))
    inferred = mean.simulate(params, step.s, step.a, mean.infer(params, KEY, step))
    np.testing.assert_array_equal(np.append(*inferred[:2]), np.append(*imagined[:2]))
    recorded = exact.simulate(params, step.s, step.a, exact.infer(params, KEY, step))
    np.testing.assert_allclose(np.append(*recorded[:2]), [1.0, 0.5, 2.0], rtol=1e-5)
    assert np.abs(np.append(*imagined[:2]) - [1.0, 0.5, 2.0]).max() > 0.1
