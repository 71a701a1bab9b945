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


def squared_distances(x: Array, y: Array) -> Array:
    """``|x_i - y_j|²`` of all pairs, from the differences: nothing cancels where points are large or close.

    On a CPU it goes through the components one after another, so that a compiler vectorizes over pairs, and neither it
    nor its gradient holds more than one number a pair. It can be differentiated in reverse as often as wanted, and not
    in forward mode.

    Args:
        x: ``[N, D]``.
        y: ``[M, D]``.

    Returns:
        ``[N, M]``, in squared units of x.

    Raises:
        ValueError: other shapes, or points of different sizes.

    See Also:
        :func:`squared_distance` for one pair.

    Example:
        >>> import jax.numpy as jnp
        >>> squared_distances(jnp.array([[1.0, 2.0], [4.0, 6.0]]), jnp.array([[1.0, 2.0]])).tolist()
        [[0.0], [25.0]]
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"points must be x[N, D] and y[M, D] with one D, got shapes {x.shape} and {y.shape}")
    if x.shape[-1] == 1:
        return (x - y.T) ** 2
    return _squared_distances(x, y)


@jax.custom_vjp
def _squared_distances(x: Array, y: Array) -> Array:
    def one_by_one(x: Array, y: Array) -> Array:
        columns, rows = x.T[:, :, None], y.T[:, None, :]
        zero = jnp.zeros((x.shape[0], y.shape[0]), jnp.result_type(x, y))
        return jax.lax.fori_loop(0, x.shape[1], lambda d, total: total + (columns[d] - rows[d]) ** 2, zero)

    def at_once(x: Array, y: Array) -> Array:
        return jnp.sum((x[:, None] - y[None]) ** 2, axis=-1)

    return jax.lax.platform_dependent(x, y, cpu=one_by_one, default=at_once)


def _squared_distances_forward(x: Array, y: Array) -> tuple[Array, tuple[Array, Array]]:
    return _squared_distances(x, y), (x, y)


def _squared_distances_backward(points: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    """``2 sum_j slope_ij (x_i - y_j)`` and ``-2 sum_i slope_ij (x_i - y_j)``: a product with y alone would cancel."""

    def of_component(component: tuple[Array, Array]) -> tuple[Array, Array]:
        x, y = component
        terms = 2.0 * slope * (x[:, None] - y[None])
        # Products with ones: compilers vectorize them, and not a sum over the last axis.
        return terms @ jnp.ones_like(y), -(jnp.ones_like(x) @ terms)

    def one_by_one(x: Array, y: Array) -> tuple[Array, Array]:
        return jax.lax.map(of_component, (x.T, y.T))

    def at_once(x: Array, y: Array) -> tuple[Array, Array]:
        return jax.vmap(of_component)((x.T, y.T))

    to_x, to_y = jax.lax.platform_dependent(*points, cpu=one_by_one, default=at_once)
    return to_x.T, to_y.T


_squared_distances.defvjp(_squared_distances_forward, _squared_distances_backward)


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
    zero = x <= 0  # and not x > 0, which would make 0 of nan
    return jnp.where(zero, 0.0, jnp.where(zero, 1.0, x) ** exponent)


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
    zero = x <= 0  # as above
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, x)))


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
    unit = jnp.where(largest == 0, 1.0, largest)
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
    x = x / jnp.where(largest == 0, 1.0, largest)
    norm = safe_norm(x)[..., None]
    return x / jnp.where(norm == 0, 1.0, norm)


def with_nan_slopes(value: Array, *inputs: Array) -> Array:
    """A value whose gradient is nan where the value is.

    What is sorted or compared has slopes of 1 and -1 even at nan, so that a loss could be nan beside a gradient that
    looks sound.

    Args:
        value: a scalar, a function of the inputs.
        *inputs: arrays of any shape.

    Returns:
        ``value``.

    Example:
        >>> import jax
        >>> slope = jax.grad(lambda x: with_nan_slopes(jnp.max(x) - jnp.min(x), x))
        >>> slope(jnp.array([1.0, 4.0])).tolist(), slope(jnp.array([1.0, jnp.nan])).tolist()
        ([-1.0, 1.0], [nan, nan])
    """
    total = sum(jnp.sum(x) for x in inputs)
    return jnp.where(jnp.isnan(value), value * total, value)
