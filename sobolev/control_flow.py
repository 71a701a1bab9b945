"""Control flow that stays cheap under ``vmap``.

A ``lax.cond`` whose predicate is batched computes both branches for every element. Where the branches are a costly
update and nothing, it is enough to ask whether any element wants the update.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from sobolev.types import Array

Tree = TypeVar("Tree")


@jax.custom_batching.custom_vmap
def anywhere(predicate: Array) -> Array:
    """Whether any component of ``predicate`` holds, for any element of the axes that are mapped over; a scalar."""
    return jnp.any(predicate)


@anywhere.def_vmap
def _anywhere_of_batch(axis_size: int, in_batched: list[bool], predicate: Array) -> tuple[Array, bool]:
    del axis_size, in_batched
    return anywhere(predicate), False


def update_where(predicate: Array, update: Callable[[Tree], Tree], tree: Tree) -> Tree:
    """``update(tree)`` where ``predicate`` holds, ``tree`` elsewhere; nothing is computed where it holds nowhere.

    Args:
        predicate: ``[]``, or ``[E]`` for the E rows of every leaf.
        update: gives a tree of the same shapes.
        tree: a pytree of arrays, with leading axes ``[E]`` if the predicate has them.

    Returns:
        The tree, selected leaf by leaf. Under ``vmap`` the update is skipped if no element wants it.

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
