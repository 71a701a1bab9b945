"""The loss of a world model that is unrolled, against a loop over its own steps and in closed form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import world_models
from sobolev.types import Array, Params, Simulator, Spec, Trajectory, Transition, WorldModel
from sobolev.world_models import ConditionalModel, residual_world_model

SPEC, H, DISCOUNT, KEY = Spec(3, 2), 4, 0.7, jax.random.key(3)
SMALL: dict[str, dict[str, Any]] = {
    "cvae": {"hidden_sizes": (4,), "latent_size": 2},
    "deterministic": {"hidden_sizes": (4,)},
    "mage": {"hidden_sizes": (4,), "members": 2},
}


def trajectory(ends: bool = False) -> Trajectory:
    """One that no model repeats; with an end, of its first two transitions."""
    keys = jax.random.split(jax.random.key(1), 4)
    s = jax.random.normal(keys[0], (H + 1, 3)) * jnp.array([1.0, 5.0, 0.1])
    steps = Transition(
        s[:-1], jax.random.uniform(keys[1], (H, 2)), 3.0 * jax.random.normal(keys[2], (H,)), jnp.ones(H), s[1:]
    )
    return Trajectory(steps, jnp.arange(H) < (2 if ends else H))


def fitted(name: str) -> tuple[Any, Params]:
    model = world_models.registry.make(name, SPEC, **SMALL[name])
    return model, model.fit_normalizer(jax.jit(model.init)(jax.random.key(0)), trajectory().steps)


def loop(model: Any, params: Params, one: Trajectory) -> float:
    steps, valid = one
    s, total = steps.s[0], 0.0
    simulate, infer = jax.jit(model.simulate), jax.jit(model.infer)
    for t, key in enumerate(jax.random.split(KEY, H)):
        recorded = jax.tree.map(lambda x, t=t: x[t], steps)
        n = infer(params, key, recorded)
        s, r, _ = simulate(params, s, recorded.a, n._replace(remainder=jnp.zeros(4)))
        error = np.append(s - recorded.s_next, r - recorded.r) / np.asarray(params["target"].std)
        total += 0.5 * DISCOUNT**t * np.sum(error**2) * bool(valid[t]) * (t > 0)
    return float(total)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_it_is_the_sum_over_the_models_own_steps(name: str, ends: bool) -> None:
    model, params = fitted(name)
    found = jax.jit(model.unrolled_loss)(params, KEY, trajectory(ends), DISCOUNT)
    assert float(found) == pytest.approx(loop(model, params, trajectory(ends)), rel=1e-4)


def test_one_transition_has_none() -> None:
    model, params = fitted("deterministic")
    one = jax.tree.map(lambda x: x[:1], trajectory())
    assert float(model.unrolled_loss(params, KEY, one, DISCOUNT)) == 0.0


def test_what_repeats_the_record_has_none() -> None:
    without = {"flow", "gaussian_ensemble", "known", "recorded"}
    nothing: Any = None
    simulator = Spec(3, 2, simulator=Simulator(nothing, nothing, nothing))
    for name in world_models.registry.names():
        small = {"hidden_sizes": (4,)} if name not in ("known", "recorded") else {}
        model = world_models.registry.make(name, simulator, **small)
        assert (model.unrolled_loss is None) is (name in without), name


def linear(repeats: bool, spec: Spec) -> WorldModel:
    """t = [w s, 0] + n; n is 0, or what repeats the record and so depends on w."""

    def mean(w: Array, x: Array) -> Array:
        return jnp.append(w * x[0], 0.0)

    model = ConditionalModel(
        init=lambda key: jnp.ones(()),
        loss=lambda w, key, x, t: jnp.zeros(()),
        noise=lambda key: jnp.zeros(2),
        infer=lambda w, key, x, t: t - mean(w, x) if repeats else jnp.zeros(2),
        sample=lambda w, x, n: mean(w, x) + n,
    )
    return residual_world_model(model, spec)


def constant(s: float) -> Trajectory:
    ones = jnp.ones((3, 1))
    return Trajectory(Transition(s * ones, 0.0 * ones, jnp.zeros(3), jnp.ones(3), s * ones), jnp.ones(3, bool))


def unrolled(repeats: bool, w: Array) -> Array:
    model = linear(repeats, Spec(1, 1))
    params = {**model.init(KEY), "model": w}
    assert model.unrolled_loss is not None
    return model.unrolled_loss(params, KEY, constant(1.0), 0.5)


def by_hand(w: float) -> float:
    """The state stays at 1; the model's after k steps is (1 + w)^k."""
    return 0.5 * (0.5 * (1 - (1 + w) ** 2) ** 2 + 0.25 * (1 - (1 + w) ** 3) ** 2)


def test_errors_go_through_all_steps(x64: None) -> None:
    w, step = 0.3, 1e-6
    value, slope = jax.value_and_grad(lambda w: unrolled(False, w))(jnp.float64(w))
    assert float(value) == pytest.approx(by_hand(w), rel=1e-12)
    assert float(slope) == pytest.approx((by_hand(w + step) - by_hand(w - step)) / (2 * step), rel=1e-6)


def test_noise_is_held_constant(x64: None) -> None:
    """With it the record is repeated: no loss, and no slope, though the noise depends on the parameter."""
    value, slope = jax.value_and_grad(lambda w: unrolled(True, w))(jnp.float64(0.3))
    assert (float(value), float(slope)) == (pytest.approx(0.0, abs=1e-12), pytest.approx(0.0, abs=1e-12))
