"""Control flow that stays cheap under ``vmap``.

A ``lax.cond`` with a batched predicate computes both branches for every element. Where one branch is a costly update
and the other does nothing, the update can be skipped if no element needs it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from sobolev.types import Array

Tree = TypeVar("Tree")


@jax.custom_batching.custom_vmap
def anywhere(predicate: Array) -> Array:
    """Whether any component of ``predicate`` is true, for any element of the axes that are mapped over.

    Args:
        predicate: booleans of any shape.

    Returns:
        A scalar; under ``vmap`` it is not batched.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.vmap(anywhere)(jnp.array([False, True])).tolist()
        [True, True]
    """
    return jnp.any(predicate)


@anywhere.def_vmap
def _anywhere_of_batch(axis_size: int, in_batched: list[bool], predicate: Array) -> tuple[Array, bool]:
    del axis_size, in_batched
    return anywhere(predicate), False


def update_where(predicate: Array, update: Callable[[Tree], Tree], tree: Tree) -> Tree:
    """``update(tree)`` where ``predicate`` is true, ``tree`` elsewhere; not computed if it is true nowhere.

    Args:
        predicate: ``[]``, or ``[E]`` for the E rows of every leaf.
        update: returns a tree of the same structure, shapes and types.
        tree: a pytree of arrays, with leading axes ``[E]`` if the predicate has them.

    Returns:
        The tree, selected leaf by leaf. Under ``vmap`` the update is skipped only if no element needs it.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> double = lambda x: update_where(x > 1, lambda x: 2 * x, x)
        >>> jax.vmap(double)(jnp.arange(4)).tolist()
        [0, 1, 4, 6]
    """

    def selected(tree: Tree) -> Tree:
        def select(new: Any, old: Any) -> Array:
            mask = predicate.reshape(predicate.shape + (1,) * (jnp.ndim(old) - predicate.ndim))
            return jnp.where(mask, new, old)

        return jax.tree.map(select, update(tree), tree)

    return jax.lax.cond(anywhere(predicate), selected, lambda tree: tree, tree)
