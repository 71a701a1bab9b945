"""Standardisation of inputs and targets by statistics of the data, kept among a part's parameters and not learned."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Scale(NamedTuple):
    """Mean and standard deviation of each component, ``[D]``; constants of every derivative in the parameters."""

    mean: Array
    std: Array


def unit_scale(size: int) -> Scale:
    """Mean 0 and standard deviation 1: standardising with it changes nothing."""
    return Scale(jnp.zeros(size), jnp.ones(size))


def fit_scale(x: Array, smallest: float = 1e-6) -> Scale:
    """The scale of ``x[B, D]``; a component that varies by less than ``smallest`` (in x's units) keeps its own unit.

    Example:
        >>> import jax.numpy as jnp
        >>> fit_scale(jnp.array([[1.0, 7.0], [3.0, 7.0]])).std.tolist()
        [1.0, 1.0]
    """
    offset = x[0]
    deviation = x - offset
    std = jnp.std(deviation, axis=0)
    return Scale(offset + jnp.mean(deviation, axis=0), jnp.where(std > smallest, std, 1.0))


def standardise(scale: Scale, x: Array) -> Array:
    """``(x - mean) / std`` over the last axis."""
    scale = jax.lax.stop_gradient(scale)
    return (x - scale.mean) / scale.std


def restore(scale: Scale, x: Array) -> Array:
    """The inverse of ``standardise``."""
    scale = jax.lax.stop_gradient(scale)
    return x * scale.std + scale.mean
