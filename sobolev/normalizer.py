"""Normalizing inputs and targets by statistics of the data, kept among a part's parameters and not learned."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev.types import Array


class Normalizer(NamedTuple):
    """Mean and standard deviation of each component, ``[D]``; constants of every derivative in the parameters."""

    mean: Array
    std: Array


def identity(size: int) -> Normalizer:
    """The normalizer that changes nothing: mean 0 and standard deviation 1, ``[size]``."""
    return Normalizer(jnp.zeros(size), jnp.ones(size))


def fit(x: Array, smallest: float = 1e-6) -> Normalizer:
    """The mean and standard deviation of data.

    Args:
        x: ``[B, D]``.
        smallest: a component whose standard deviation is not above this, in units of x, keeps its own unit.

    Returns:
        The normalizer of the D components.

    Example:
        >>> import jax.numpy as jnp
        >>> fit(jnp.array([[1.0, 7.0], [3.0, 7.0]])).std.tolist()
        [1.0, 1.0]
    """
    offset = x[0]
    deviation = x - offset
    std = jnp.std(deviation, axis=0)
    return Normalizer(offset + jnp.mean(deviation, axis=0), jnp.where(std > smallest, std, 1.0))


def normalize(normalizer: Normalizer, x: Array) -> Array:
    """``(x - mean) / std`` over the last axis; the inverse is :func:`denormalize`."""
    normalizer = jax.lax.stop_gradient(normalizer)
    return (x - normalizer.mean) / normalizer.std


def denormalize(normalizer: Normalizer, x: Array) -> Array:
    """``std x + mean`` over the last axis, the inverse of :func:`normalize`."""
    normalizer = jax.lax.stop_gradient(normalizer)
    return x * normalizer.std + normalizer.mean
