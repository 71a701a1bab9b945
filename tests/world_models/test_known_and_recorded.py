"""The two models that learn nothing: which simulator is used, and what is kept of a transition."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sobolev.types import Array, Key, Noise, Simulator, Spec, Transition
from sobolev.world_models import make_known, make_recorded

KEY = jax.random.key(0)


def drift(speed: float) -> Simulator:
    """s' = s + speed a + n,  r = -|s|², going on with chance exp(-|s'|)"""

    def simulate(s: Array, a: Array, n: Noise) -> tuple[Array, Array, Array]:
        s_next = s + speed * a + n
        return s_next, -jnp.sum(s**2), jnp.exp(-jnp.sum(jnp.abs(s_next)))

    def infer(key: Key, transition: Transition) -> Noise:
        return transition.s_next - transition.s - speed * transition.a

    return Simulator(lambda key: jax.random.normal(key, (2,)), infer, simulate)


STEP = Transition(jnp.array([1.0, 2.0]), jnp.array([0.5, -0.5]), jnp.array(-7.0), jnp.zeros(()), jnp.array([2.0, 0.5]))


def test_given_simulator_comes_before_the_environments() -> None:
    spec = Spec(2, 2, simulator=drift(1.0))
    for model, speed in (
        (make_known(spec), 1.0),
        (make_known(spec, drift(3.0)), 3.0),
        (make_known(Spec(2, 2), drift(3.0)), 3.0),
    ):
        s_next, r, c = model.simulate((), STEP.s, STEP.a, jnp.zeros(2))
        np.testing.assert_allclose(s_next, [1.0 + 0.5 * speed, 2.0 - 0.5 * speed])
        assert float(r) == -5.0
        assert float(c) == pytest.approx(np.exp(-3.0))
        np.testing.assert_allclose(model.infer((), KEY, STEP), [1.0 - 0.5 * speed, -1.5 + 0.5 * speed])
        np.testing.assert_array_equal(model.noise(KEY), jax.random.normal(KEY, (2,)))


def test_continuation_is_the_simulators_even_where_one_would_be_learned() -> None:
    model = make_known(Spec(2, 2, continuation=True, simulator=drift(1.0)))
    assert model.init(KEY) == ()
    assert float(model.simulate((), STEP.s, STEP.a, jnp.zeros(2))[2]) == pytest.approx(np.exp(-3.0))


def test_without_a_simulator_there_is_no_known_model() -> None:
    with pytest.raises(ValueError, match=r"'known'.*Spec\.simulator.*simulator="):
        make_known(Spec(2, 2))


def test_recorded_outcome_stands_whatever_was_done() -> None:
    model = make_recorded(Spec(2, 2, continuation=True))
    n = model.infer((), KEY, STEP)
    for s, a in ((STEP.s, STEP.a), (STEP.s + 5.0, -STEP.a)):
        s_next, r, c = model.simulate((), s, a, n)
        np.testing.assert_array_equal(s_next, [2.0, 0.5])
        assert float(r) == -7.0
        assert float(c) == 1.0  # the agent applies the recorded discount of 0
    assert not model.differentiable
    assert make_known(Spec(2, 2), drift(1.0)).differentiable


def test_optimizers_accept_models_without_parameters() -> None:
    batch = jax.tree.map(lambda leaf: leaf[None], STEP)
    optimizer = optax.adam(1e-3)
    for model in (make_recorded(Spec(2, 2)), make_known(Spec(2, 2), drift(1.0))):
        params = model.fit_normalizer(model.init(KEY), batch)
        loss, slope = jax.value_and_grad(model.loss)(params, KEY, batch)
        updates, _ = optimizer.update(slope, optimizer.init(params), params)
        assert optax.apply_updates(params, updates) == ()
        assert float(loss) == 0.0
