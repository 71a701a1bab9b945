"""The contract of a metric, the registry of metrics, and the check of their arguments."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from sobolev.registry import Registry
from sobolev.types import Array


class Metric(ABC):
    """The contract of every entry of the registry: a frozen dataclass that owns its numbers.

    A metric defines ``__call__``; the rest has defaults. Its loss does not change when predictions and targets are
    shifted together, nor when the samples of either are reordered (``levels`` along with ``x``), and it is 0 where all
    samples are one point.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class MeanGap(Metric):
        ...     weight: float = 1.0
        ...     def __call__(self, key, x, y, levels=None):
        ...         return self.weight * jnp.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
        >>> metric, key = MeanGap(weight=2.0), jax.random.key(0)
        >>> x, y = jnp.array([[1.0], [3.0]]), jnp.array([[5.0]])
        >>> float(metric(key, x, y)), metric.contraction_rate(0.5)
        (18.0, None)
        >>> keys = jax.random.split(key, 2)
        >>> float(metric.over_states(keys, jnp.stack([x, x]), jnp.stack([y, x[:1]])))  # (18 + 2) / 2
        10.0
    """

    @abstractmethod
    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """The loss of predictions against targets at one state.

        Args:
            key: for what the metric draws at random; metrics that draw nothing ignore it.
            x: predictions ``[N, D]``, the return in column 0.
            y: targets ``[M, D]``; N and M may differ.
            levels: the quantile levels ``[N]`` of the predictions, for metrics of quantiles; others ignore them.

        Returns:
            A scalar, squared where the metric has a root, with a finite gradient at x = y.

        Raises:
            ValueError: shapes, sizes or levels that the metric cannot take.
        """

    def over_states(self, keys: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """The loss over B states: by default the mean of the losses at each.

        Args:
            keys: ``[B]``.
            x: ``[B, N, D]``.
            y: ``[B, M, D]``.
            levels: ``[B, N]`` or None.

        Returns:
            A scalar, in the units of the metric.

        Raises:
            ValueError: as the metric itself.
        """
        return jnp.mean(jax.vmap(self)(keys, x, y, levels))

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        """The factor by which a Sobolev Bellman backup shrinks the metric (not its square), where a theorem gives one.

        Args:
            gamma_kappa: gamma times the backup's expansion, see :mod:`sobolev.contraction`.

        Returns:
            A number in [0, 1), or None without a theorem.
        """
        del gamma_kappa
        return None


registry: Registry[Callable[..., Metric]] = Registry("metric")


def float_samples(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Two samples as a metric takes them: of the right shapes, in float32 or float64.

    Args:
        x: should be ``[N, D]``, of real numbers.
        y: should be ``[M, D]``, of real numbers.

    Returns:
        Both, integers and numbers of half precision as float32.

    Raises:
        ValueError: other shapes, N, M or D of 0, or complex numbers.
        TypeError: what is no array of numbers.

    Example:
        >>> x, y = float_samples([[1, 2], [3, 4]], jnp.zeros((3, 2), jnp.float16))
        >>> x.shape, x.dtype.name, y.dtype.name
        ((2, 2), 'float32', 'float32')
    """
    x, y = as_floats(x, "x"), as_floats(y, "y")
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"samples must be x[N, D] and y[M, D] with one D, got shapes {x.shape} and {y.shape}; "
            "give scalars a last axis of length 1, and vmap over states"
        )
    if 0 in x.shape or 0 in y.shape:
        raise ValueError(f"samples must not be empty, got shapes {x.shape} and {y.shape}")
    return x, y


def as_floats(x: ArrayLike, name: str) -> Array:
    """An array of real numbers, those of integers and of half precision as float32.

    Args:
        x: the numbers.
        name: of the argument, for the message.

    Returns:
        An array of float32 or float64.

    Raises:
        ValueError: complex numbers.
        TypeError: what is no array of numbers.

    Example:
        >>> as_floats([1, 2], "x").tolist()
        [1.0, 2.0]
    """
    x = jnp.asarray(x)
    if jnp.iscomplexobj(x):
        raise ValueError(f"{name} must hold real numbers, got {x.dtype}: give real and imaginary parts as two columns")
    return x if x.dtype in (jnp.float32, jnp.float64) else x.astype(jnp.float32)
