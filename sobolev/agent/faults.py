"""Where an update is not finite: the first of its quantities, in the order in which they are computed."""

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from sobolev.types import Array, Batch, Trajectory, Transition

PLACES = (
    "observation",
    "action",
    "reward",
    "world model's loss",
    "world model's gradient",
    "target's return",
    "target's gradient",
    "critics' loss",
    "critics' gradient",
    "actor's loss",
    "actor's gradient",
)
"""What is looked at: a fault is the number of a place, counted from 1, and 0 is none."""

Finite = dict[str, Array]
"""Whether what is at a place is finite, ``[]`` each; a place that is not named has nothing."""


def all_finite(tree: Any) -> Array:
    """Whether every floating-point number of a pytree is finite, ``[]``."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return reduce(jnp.logical_and, (jnp.all(jnp.isfinite(leaf)) for leaf in floats), jnp.array(True))


def of_transitions(transitions: Transition) -> Finite:
    """Of transitions: their observations, actions and rewards."""
    return {
        "observation": all_finite((transitions.s, transitions.s_next)),
        "action": all_finite(transitions.a),
        "reward": all_finite((transitions.r, transitions.discount)),
    }


def of_batch(batch: Batch) -> Finite:
    """Of the transitions of a batch, those that follow the first of a trajectory too."""
    return of_transitions(batch.steps if isinstance(batch, Trajectory) else batch)


def of_target(y: Array) -> Finite:
    """Of a target's joint samples ``[..., D]``: their returns and their gradients."""
    return {"target's return": all_finite(y[..., 0]), "target's gradient": all_finite(y[..., 1:])}


def first(finite: Finite) -> Array:
    """The number of the first place that is not finite, or 0.

    Args:
        finite: by place.

    Returns:
        int32, ``[]``.

    Example:
        >>> int(first({"reward": jnp.array(True)})), int(first({"reward": jnp.array(False)}))
        (0, 3)
    """
    fault = jnp.int32(0)
    for number, place in reversed(list(enumerate(PLACES, start=1))):
        if place in finite:
            fault = jnp.where(finite[place], fault, number)
    return fault
