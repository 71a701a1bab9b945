"""The separable part of the reward, beside every learned density."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import world_models
from sobolev.types import Params, Spec, Transition, WorldModel
from sobolev.world_models import make_deterministic

SPEC = Spec(state_size=3, action_size=2)
KEY = jax.random.key(0)
LEARNED = [name for name in world_models.registry.names() if name not in ("known", "recorded")]
LINEAR, SQUARES = np.array([0.5, -1.0, 0.2, 2.0, 0.0]), np.array([0.0, 0.3, -0.7, -1.5, 1.0])


def make(name: str, **arguments: Any) -> WorldModel:
    factory = world_models.registry.get(name)
    small = {"members": 3} if "members" in inspect.signature(factory).parameters else {}
    return factory(SPEC, hidden_sizes=(8, 8), **small, **arguments)


@pytest.fixture(scope="module")
def transitions() -> Transition:
    keys = jax.random.split(jax.random.key(2), 4)
    s, s_next = (3.0 * jax.random.normal(key, (7, 3)) + 1.0 for key in keys[:2])
    a, r = jax.random.uniform(keys[2], (7, 2), minval=-1.0), 5.0 * jax.random.normal(keys[3], (7,))
    return Transition(s, a, r, jnp.ones(7), s_next)


def with_term(model: WorldModel, transitions: Transition) -> Params:
    """Parameters of which the term is that of LINEAR and SQUARES."""
    params = model.fit_normalizer(model.init(KEY), transitions)
    assert set(params["reward"]) == {"linear", "squares"}
    return {**params, "reward": {"linear": jnp.asarray(LINEAR), "squares": jnp.asarray(SQUARES)}}


def standard(transitions: Transition) -> np.ndarray:
    """The normalized inputs, ``[B, S + A]``."""
    inputs = np.concatenate([transitions.s, transitions.a], axis=1)
    return (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)


@pytest.mark.parametrize("name", LEARNED)
def test_the_reward_is_that_of_the_density_and_the_term(name: str, transitions: Transition) -> None:
    plain, model = make(name), make(name, separable_reward=True)
    params, noise = with_term(model, transitions), model.noise(KEY)
    s, a = transitions.s[0], transitions.a[0]
    s_next, r, c = model.simulate(params, s, a, noise)
    without = plain.simulate({**params, "reward": ()}, s, a, noise)
    x = standard(transitions)[0]
    q = LINEAR @ x + SQUARES @ (x**2 - 1.0)
    np.testing.assert_allclose(s_next, without[0], rtol=1e-6)
    np.testing.assert_allclose(r, without[1] + np.std(transitions.r) * q, rtol=1e-4)
    assert float(c) == float(without[2])


@pytest.mark.parametrize("name", LEARNED)
def test_inference_explains_what_was_recorded(name: str, transitions: Transition) -> None:
    model, recorded = make(name, separable_reward=True), jax.tree.map(lambda leaf: leaf[4], transitions)
    params = with_term(model, transitions)
    s_next, r, _ = model.simulate(params, recorded.s, recorded.a, model.infer(params, KEY, recorded))
    np.testing.assert_allclose(s_next, recorded.s_next, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(r, recorded.r, rtol=1e-3, atol=1e-3)


def test_the_loss_teaches_the_term(transitions: Transition) -> None:
    """Of squared errors: dL/du = -mean[e x], dL/dw = -mean[e (x² - 1)], e the error of the normalized reward."""
    model, plain = make_deterministic(SPEC, (8,), separable_reward=True), make_deterministic(SPEC, (8,))
    params = with_term(model, transitions)
    found = jax.grad(model.loss, allow_int=True)(params, KEY, transitions)["reward"]
    mean = jax.vmap(lambda s, a: plain.simulate({**params, "reward": ()}, s, a, plain.noise(KEY))[1])
    x = standard(transitions)
    q = x @ LINEAR + (x**2 - 1.0) @ SQUARES
    error = (np.asarray(transitions.r) - np.asarray(mean(transitions.s, transitions.a))) / np.std(transitions.r) - q
    np.testing.assert_allclose(found["linear"], -(error[:, None] * x).mean(axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found["squares"], -(error[:, None] * (x**2 - 1.0)).mean(axis=0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", LEARNED)
def test_it_begins_at_zero_and_is_off_by_default(name: str) -> None:
    assert make(name).init(KEY)["reward"] == ()
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(make(name, separable_reward=True).init(KEY)["reward"]))
