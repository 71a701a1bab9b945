"""Roots and norms whose values and derivatives are finite everywhere, at zero too."""

import jax
import jax.numpy as jnp

from sobolev.types import Array


def squared_distance(x: Array, y: Array) -> Array:
    """``|x - y|²`` over the last axis, from the difference: nothing cancels where both vectors are large.

    Args:
        x: ``[..., D]``.
        y: ``[..., D]``.

    Returns:
        ``[...]``, in squared units of x.

    Example:
        >>> import jax.numpy as jnp
        >>> float(squared_distance(jnp.array([1.0, 2.0]), jnp.array([4.0, 6.0])))
        25.0
    """
    if x.shape[-1] == 1:  # slices: compilers vectorize a difference, but not a sum over one component
        return (x[..., 0] - y[..., 0]) ** 2
    difference = x - y
    return jnp.sum(difference * difference, axis=-1)


def safe_power(x: Array, exponent: float) -> Array:
    """``x ** exponent`` for ``x >= 0``, with value and derivative 0 at ``x = 0``.

    The inner ``where`` keeps the infinite derivative at 0 out of the chain rule, in which 0 · inf is nan.

    Args:
        x: not negative, of any shape.
        exponent: above 0.

    Returns:
        An array of the shape of x.

    See Also:
        :func:`safe_sqrt` for the exponent 1/2.

    Example:
        >>> import jax
        >>> float(safe_power(8.0, 1 / 3)), float(jax.grad(safe_power)(0.0, 0.5))
        (2.0, 0.0)
    """
    positive = x > 0
    return jnp.where(positive, jnp.where(positive, x, 1.0) ** exponent, 0.0)


def safe_sqrt(x: Array) -> Array:
    """``sqrt(x)`` for ``x >= 0``, with value and derivative 0 at ``x = 0``.

    Args:
        x: not negative, of any shape.

    Returns:
        An array of the shape of x.

    See Also:
        :func:`safe_power` for other exponents.

    Example:
        >>> import jax
        >>> float(safe_sqrt(9.0)), float(jax.grad(safe_sqrt)(0.0))
        (3.0, 0.0)
    """
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def safe_norm(x: Array) -> Array:
    """The Euclidean norm over the last axis, with gradient 0 at ``x = 0``, row by row.

    The components are divided by the largest before they are squared, so that neither 1e-30 nor 1e30 is lost.

    Args:
        x: ``[..., D]``.

    Returns:
        ``[...]``, in units of x.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> float(safe_norm(jnp.array([3.0, 4.0]))), jax.grad(safe_norm)(jnp.zeros(2)).tolist()
        (5.0, [0.0, 0.0])
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    unit = jnp.where(largest > 0, largest, 1.0)
    scaled = x / unit
    return safe_sqrt(jnp.sum(scaled * scaled, axis=-1)) * unit[..., 0]


def unit_vector(x: Array) -> Array:
    """``x / |x|`` over the last axis; 0 stays 0, with gradient 0.

    Args:
        x: ``[..., D]``.

    Returns:
        ``[..., D]``, of length 1 or 0.

    Example:
        >>> import jax.numpy as jnp
        >>> unit_vector(jnp.array([[0.0, 2.0], [0.0, 0.0]])).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    x = x / jnp.where(largest > 0, largest, 1.0)
    norm = safe_norm(x)[..., None]
    return x / jnp.where(norm > 0, norm, 1.0)
