"""The contract of a metric, the registry of metrics, and the check of their arguments."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from sobolev.registry import Registry

Array = jax.Array

registry: Registry[Callable[..., Any]] = Registry("metric")


@runtime_checkable
class Metric(Protocol):
    """The contract of every entry of the registry.

    The loss does not change when predictions and targets are shifted together, nor when the samples of either are
    reordered (``levels`` along with ``x``), and it is 0 where all of them are one point.
    """

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """The loss of predictions ``x[N, D]`` against targets ``y[M, D]``; a scalar."""
        ...

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        """The factor per backup that a theorem promises at this gamma kappa, or None."""
        ...


def check_samples(x: Array, y: Array) -> None:
    """Raises a ValueError unless x and y are ``[N, D]`` and ``[M, D]`` with N, M, D >= 1."""
    if jnp.ndim(x) != 2 or jnp.ndim(y) != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"samples must be x[N, D] and y[M, D] with one D, got shapes {jnp.shape(x)} and {jnp.shape(y)}; "
            "give scalars a last axis of length 1, and vmap over states"
        )
    if 0 in x.shape or 0 in y.shape:
        raise ValueError(f"samples must not be empty, got shapes {x.shape} and {y.shape}")


def mean_over_states(metric: Metric, keys: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
    """The mean loss of ``x[B, N, D]`` against ``y[B, M, D]`` over B states, with ``keys[B]`` and ``levels[B, N]``.

    A metric that has something to share between the states has its own ``over_states``, with these arguments.
    """
    if hasattr(metric, "over_states"):
        return metric.over_states(keys, x, y, levels)
    return jnp.mean(jax.vmap(metric)(keys, x, y, levels))
