"""A function operation by operation: the same values, and the operation that is not finite first."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.agent import example_batch, make_agent
from sobolev.numerics import safe_sqrt, squared_distances
from sobolev.training import repeat
from sobolev.types import Array, Spec
from tests.helpers import tiny_agent


def values(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.value, tree, is_leaf=lambda leaf: isinstance(leaf, repeat.Traced))


def loops(x: Array) -> tuple[Array, ...]:
    """Every kind of control flow."""
    carry, rows = jax.lax.scan(lambda c, x: (c * 0.5 + x, c - x), x[0], x)
    _, backwards = jax.lax.scan(lambda c, x: (c + x, c * x), x[0], (x, x)[0], reverse=True)
    counted = jax.lax.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] * 1.5), (0, x[1]))
    chosen = jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x[1])
    switched = jax.lax.switch(jnp.int32(9), [jnp.sin, jnp.cos, jnp.tanh], x[1])  # out of range: the last
    gradient = jax.grad(lambda x: jnp.sum(squared_distances(x[:, None], x[::-1, None] ** 2)))(x)
    keys = jax.random.split(jax.random.key(3), 2)
    return carry, rows, backwards, counted[1], chosen, switched, gradient, jax.vmap(jax.random.normal)(keys)


def test_control_flow_is_followed() -> None:
    x = jnp.array([1.0, -2.0, 0.5])
    for found, expected in zip(values(repeat.origins(loops, x)), loops(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_an_update_is_the_compiled_one() -> None:
    agent = make_agent(tiny_agent(batch_size=3), Spec(3, 2))
    state = agent.init(jax.random.key(0))
    batch = jax.tree.map(lambda x: x + jnp.arange(x.size).reshape(x.shape) / 10, example_batch(Spec(3, 2), 3))
    found, expected = values(repeat.origins(agent.update, state, batch)), jax.jit(agent.update)(state, batch)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5)


def test_the_first_operation_that_is_not_finite_is_named_with_its_place() -> None:
    def function(x: Array) -> Array:
        inner = jax.jit(lambda x: jnp.log(x) + 1.0)
        return jnp.sum(jax.vmap(inner)(x) * 2.0)

    origin = repeat.origins(function, jnp.array([1.0, -1.0])).origin
    assert origin.name == "log"
    assert origin.place.startswith(Path(__file__).name)
    assert "function" in origin.place or "lambda" in origin.place
    assert origin.operands == ("float32[2] in [-1, 1]",)
    assert origin.result == "float32[2], 1 of 2 not finite"


def test_what_a_where_leaves_out_does_not_count() -> None:
    x = jnp.array([0.0, 4.0])
    found = repeat.origins(lambda x: (jnp.where(x > 0, 1.0 / x, 0.0), jax.grad(lambda x: safe_sqrt(x).sum())(x)), x)
    assert [leaf.origin for leaf in found] == [None, None]


def test_constants_that_are_meant_to_be_nan_do_not_count() -> None:
    assert repeat.origins(lambda x: (x, jnp.full(2, jnp.nan)), jnp.ones(2))[1].origin is None


@pytest.mark.parametrize("loop", ["scan", "while"])
def test_an_argument_and_a_step_of_a_loop_are_found(loop: str) -> None:
    def function(x: Array, y: Array) -> Array:
        if loop == "scan":
            return jax.lax.scan(lambda c, _: (c * y, None), x, None, length=4)[0]
        return jax.lax.fori_loop(0, x.astype(int), lambda _, c: c * y, x)

    assert repeat.origins(function, jnp.float32(3), jnp.float32(jnp.nan)).origin == repeat.Operation(
        "argument", "1", (), "float32[], 1 of 1 not finite"
    )
    origin = repeat.origins(function, jnp.float32(3), jnp.float32(1e30)).origin
    assert (origin.name, origin.operands[0]) == ("mul", "float32[] in [3e+30, 3e+30]")
