from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.control_flow import anywhere, update_where

E = 5
NONE, SOME, ALL = (np.array(pattern) for pattern in ([False] * E, [True, False, True, True, False], [True] * E))


def update(tree: dict[str, Any]) -> dict[str, Any]:
    return {"x": 2.0 * tree["x"] + 1.0, "n": tree["n"] + 7}


def selected(predicate: Any, tree: dict[str, Any]) -> dict[str, Any]:
    """``where`` leaf by leaf, with the predicate along the leading axes."""
    new = update(tree)
    masks = {
        name: np.reshape(predicate, np.shape(predicate) + (1,) * (tree[name].ndim - predicate.ndim)) for name in tree
    }
    return {name: np.where(masks[name], new[name], tree[name]) for name in tree}


@pytest.fixture
def tree() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(E, 3)).astype(np.float32), "n": rng.integers(0, 9, size=E).astype(np.int32)}


@pytest.mark.parametrize("predicate", [NONE, SOME, ALL], ids=["none", "some", "all"])
def test_rows_are_selected_by_a_predicate_of_rows(predicate: np.ndarray, tree: dict[str, Any]) -> None:
    found = jax.jit(lambda p, tree: update_where(p, update, tree))(predicate, tree)
    jax.tree.map(np.testing.assert_array_equal, found, selected(predicate, tree))


@pytest.mark.parametrize("predicate", [False, True])
def test_all_rows_are_selected_by_a_scalar(predicate: bool, tree: dict[str, Any]) -> None:
    found = jax.jit(lambda p, tree: update_where(p, update, tree))(jnp.array(predicate), tree)
    jax.tree.map(np.testing.assert_array_equal, found, update(tree) if predicate else tree)


@pytest.mark.parametrize("predicate", [NONE, SOME, ALL], ids=["none", "some", "all"])
def test_elements_of_a_vmap_are_selected_one_by_one(predicate: np.ndarray, tree: dict[str, Any]) -> None:
    found = jax.jit(jax.vmap(lambda p, tree: update_where(p, update, tree)))(predicate, tree)
    jax.tree.map(np.testing.assert_array_equal, found, selected(predicate, tree))


def test_rows_are_selected_within_a_vmap(tree: dict[str, Any]) -> None:
    """Predicates [E] under a vmap over three, and under another over these."""
    predicates = jnp.array([[NONE, SOME, ALL], [SOME, SOME, NONE]])
    trees = jax.tree.map(
        lambda leaf: jnp.stack([jnp.stack([leaf + i + 10 * j for i in range(3)]) for j in range(2)]), tree
    )
    found = jax.jit(jax.vmap(jax.vmap(lambda p, tree: update_where(p, update, tree))))(predicates, trees)
    jax.tree.map(np.testing.assert_array_equal, found, selected(np.asarray(predicates), trees))


def test_a_shared_predicate_under_a_vmap(tree: dict[str, Any]) -> None:
    mapped = jax.jit(jax.vmap(lambda p, tree: update_where(p, update, tree), in_axes=(None, 0)))
    for predicate in (False, True):
        jax.tree.map(
            np.testing.assert_array_equal, mapped(jnp.array(predicate), tree), update(tree) if predicate else tree
        )


@pytest.fixture
def calls() -> tuple[list[int], Callable[[jax.Array], jax.Array]]:
    """A counter, and an update that counts how often it runs."""
    counted: list[int] = []

    def run(x: jax.Array) -> jax.Array:
        jax.debug.callback(lambda: counted.append(1))
        return x + 1.0

    return counted, run


@pytest.mark.parametrize("rows", [(), (2,)], ids=["scalar", "rows"])
def test_the_update_runs_only_where_an_element_needs_it(
    rows: tuple[int, ...], calls: tuple[list[int], Callable[[jax.Array], jax.Array]]
) -> None:
    counted, run = calls
    plain = jax.jit(lambda p, x: update_where(p, run, x))
    mapped = jax.jit(jax.vmap(lambda p, x: update_where(p, run, x)))
    twice = jax.jit(jax.vmap(jax.vmap(lambda p, x: update_where(p, run, x))))
    for function, axes in ((plain, ()), (mapped, (E,)), (twice, (3, E))):
        x, nowhere = jnp.zeros((*axes, *rows)), jnp.zeros((*axes, *rows), bool)
        counted.clear()
        np.testing.assert_array_equal(function(nowhere, x), x)
        jax.effects_barrier()
        assert counted == []
        somewhere = nowhere.at[(-1,) * nowhere.ndim].set(True)
        np.testing.assert_array_equal(function(somewhere, x), somewhere.astype(float))
        jax.effects_barrier()
        assert counted


def test_a_cond_remains_under_vmap() -> None:
    """The branch of the update is behind a scalar predicate, and is no operand of a select outside of it."""

    def primitives(mapped: Callable[..., Any]) -> list[str]:
        jaxpr = jax.make_jaxpr(mapped)(jnp.array(SOME), jnp.zeros(E))
        return [equation.primitive.name for equation in jaxpr.jaxpr.eqns]

    kept = primitives(jax.vmap(lambda p, x: update_where(p, jnp.sin, x)))
    assert "cond" in kept
    assert not {"sin", "select_n"} & set(kept)
    lost = primitives(jax.vmap(lambda p, x: jax.lax.cond(p, jnp.sin, lambda x: x, x)))
    assert "cond" not in lost
    assert {"sin", "select_n"} <= set(lost)


def test_anywhere_is_not_batched() -> None:
    jaxpr = jax.make_jaxpr(jax.vmap(anywhere, out_axes=None))(jnp.array(SOME))
    assert jaxpr.out_avals[0].shape == ()
    for predicate in (NONE, SOME, ALL):
        assert bool(anywhere(jnp.array(predicate))) == predicate.any()
        assert jax.vmap(anywhere)(jnp.array(predicate)).tolist() == [predicate.any()] * E


def test_the_derivative_is_that_of_the_branch_taken() -> None:
    slope = jax.vmap(jax.grad(lambda x: update_where(x > 1, lambda x: x**2, x)))(jnp.array([0.5, 2.0]))
    assert slope.tolist() == [1.0, 4.0]
