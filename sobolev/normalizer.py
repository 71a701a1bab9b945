"""Normalizing inputs and targets by statistics of the data, kept among a part's parameters and not learned."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev.types import Array


class Normalizer(NamedTuple):
    """Mean and standard deviation of each component, ``[D]``; no gradient flows into them.

    Fields:
        mean: ``[D]``.
        std: ``[D]``, positive.
    """

    mean: Array
    std: Array


def identity(size: int) -> Normalizer:
    """The normalizer that changes nothing: mean 0 and standard deviation 1.

    Args:
        size: D.

    Returns:
        The normalizer.

    Example:
        >>> import jax.numpy as jnp
        >>> normalize(identity(2), jnp.array([3.0, -4.0])).tolist()
        [3.0, -4.0]
    """
    return Normalizer(jnp.zeros(size), jnp.ones(size))


def fit(x: Array, smallest: float = 1e-6) -> Normalizer:
    """The normalizer of data: their mean and standard deviation.

    Args:
        x: ``[B, D]``.
        smallest: a component whose standard deviation is at most this, in units of x, is divided by 1 instead.

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
    """``(x - mean) / std`` over the last axis.

    Args:
        normalizer: of D components.
        x: ``[..., D]``.

    Returns:
        ``[..., D]``, without units.

    See Also:
        :func:`denormalize`, the inverse.

    Example:
        >>> import jax.numpy as jnp
        >>> normalize(Normalizer(jnp.array([1.0]), jnp.array([2.0])), jnp.array([5.0])).tolist()
        [2.0]
    """
    normalizer = jax.lax.stop_gradient(normalizer)
    return (x - normalizer.mean) / normalizer.std


def denormalize(normalizer: Normalizer, x: Array) -> Array:
    """``std x + mean`` over the last axis, the inverse of :func:`normalize`.

    Args:
        normalizer: of D components.
        x: ``[..., D]``, normalized.

    Returns:
        ``[..., D]``, in the units of the data.

    Example:
        >>> import jax.numpy as jnp
        >>> denormalize(Normalizer(jnp.array([1.0]), jnp.array([2.0])), jnp.array([2.0])).tolist()
        [5.0]
    """
    normalizer = jax.lax.stop_gradient(normalizer)
    return x * normalizer.std + normalizer.mean
