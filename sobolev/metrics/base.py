"""The contract of a metric, the registry of metrics, and the check of their arguments."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import jax
import jax.numpy as jnp

from sobolev.registry import Registry
from sobolev.types import Array


class Metric(ABC):
    """The contract of every entry of the registry: a frozen dataclass that owns its numbers.

    The loss does not change when predictions and targets are shifted together, nor when the samples of either are
    reordered (``levels`` along with ``x``), and it is 0 where all of them are one point.
    """

    @abstractmethod
    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """The loss of predictions against targets at one state.

        Args:
            key: for what the metric draws at random.
            x: predictions ``[N, D]``, the return in column 0.
            y: targets ``[M, D]``; N and M may differ.
            levels: the quantile levels ``[N]`` of the predictions, for metrics of quantiles; others ignore them.

        Returns:
            A scalar, squared where the metric has a root, with a finite gradient at x = y.
        """

    def over_states(self, keys: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """The loss over B states: by default the mean of the losses at each, independent of one another.

        Args:
            keys: ``[B]``.
            x: ``[B, N, D]``.
            y: ``[B, M, D]``.
            levels: ``[B, N]`` or None.

        Returns:
            A scalar.
        """
        return jnp.mean(jax.vmap(self)(keys, x, y, levels))

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        """The factor by which a Sobolev Bellman backup shrinks the (unsquared) metric; None without a theorem.

        Args:
            gamma_kappa: gamma times the backup's expansion, see :mod:`sobolev.contraction`.
        """
        del gamma_kappa
        return None


registry: Registry[Callable[..., Metric]] = Registry("metric")


def check_samples(x: Array, y: Array) -> None:
    """Raises a ValueError unless x and y are ``[N, D]`` and ``[M, D]`` with N, M, D >= 1."""
    if jnp.ndim(x) != 2 or jnp.ndim(y) != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"samples must be x[N, D] and y[M, D] with one D, got shapes {jnp.shape(x)} and {jnp.shape(y)}; "
            "give scalars a last axis of length 1, and vmap over states"
        )
    if 0 in x.shape or 0 in y.shape:
        raise ValueError(f"samples must not be empty, got shapes {x.shape} and {y.shape}")
