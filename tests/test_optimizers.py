"""The registries of optimizers and of schedules of their learning rate."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sobolev import optimizers, schedules

GRADIENT = {"w": jnp.array([0.5, -3.0]), "b": jnp.array(1.0)}
PARAMS = {"w": jnp.array([2.0, 4.0]), "b": jnp.array(-1.0)}
RATE = 0.1


@pytest.mark.parametrize("name", optimizers.registry.names())
def test_every_optimizer_finds_the_minimum_of_a_parabola(name: str) -> None:
    optimizer = optimizers.registry.make(name, learning_rate=0.05)

    def step(state: Any, _: None) -> Any:
        params, opt_state = state
        slope = jax.grad(lambda params: jnp.sum((params["w"] - 1.0) ** 2) + params["b"] ** 2)(params)
        changes, opt_state = optimizer.update(slope, opt_state, params)
        return (optax.apply_updates(params, changes), opt_state), None

    (params, _), _ = jax.jit(lambda state: jax.lax.scan(step, state, length=600))((PARAMS, optimizer.init(PARAMS)))
    np.testing.assert_allclose(params["w"], 1.0, atol=0.02)
    np.testing.assert_allclose(params["b"], 0.0, atol=0.02)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("sgd", {}, lambda g, p: -RATE * g),
        ("adam", {}, lambda g, p: -RATE * np.sign(g)),  # the bias-corrected moments of one gradient are g and g²
        ("adamw", {"weight_decay": 0.01}, lambda g, p: -RATE * (np.sign(g) + 0.01 * p)),
        ("radam", {}, lambda g, p: -RATE * g),  # not adaptive before the variance can be rectified
    ],
)
def test_the_first_step(name: str, arguments: dict[str, float], expected: Any) -> None:
    optimizer = optimizers.registry.make(name, learning_rate=RATE, **arguments)
    changes, _ = optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS)
    jax.tree.map(lambda c, g, p: np.testing.assert_allclose(c, expected(g, p), rtol=1e-5), changes, GRADIENT, PARAMS)


@pytest.mark.parametrize("name", optimizers.registry.names())
def test_the_learning_rate_may_be_a_schedule(name: str) -> None:
    """From 1 to 0 in one update: the second changes nothing."""
    schedule = schedules.registry.make("linear", init_value=1.0, end_value=0.0, transition_steps=1)
    optimizer = optimizers.registry.make(name, learning_rate=schedule)
    first, state = optimizer.update(GRADIENT, optimizer.init(PARAMS), PARAMS)
    second, _ = optimizer.update(GRADIENT, state, PARAMS)
    assert all(np.all(leaf != 0) for leaf in jax.tree.leaves(first))
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(second))


def test_schedules_follow_their_formulas() -> None:
    linear = schedules.registry.make("linear", init_value=2.0, end_value=1.0, transition_steps=4, transition_begin=2)
    np.testing.assert_allclose([linear(t) for t in (0, 2, 4, 6, 9)], [2.0, 2.0, 1.5, 1.0, 1.0])
    cosine = schedules.registry.make("cosine_decay", init_value=3.0, decay_steps=10)
    expected = [3.0 * (1 + math.cos(math.pi * min(t, 10) / 10)) / 2 for t in (0, 3, 10, 20)]
    np.testing.assert_allclose([cosine(t) for t in (0, 3, 10, 20)], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("registry", "wrong", "right"),
    [(optimizers.registry, "adan", "adam"), (schedules.registry, "cosine_decey", "cosine_decay")],
)
def test_unknown_names_are_refused(registry: Any, wrong: str, right: str) -> None:
    with pytest.raises(ValueError, match=f"{registry.kind}.*'{wrong}'.*'{right}'"):
        registry.make(wrong)
