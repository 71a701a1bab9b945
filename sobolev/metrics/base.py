"""The contract of a metric, the registry of metrics, and the check of their arguments."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import jax
import jax.numpy as jnp

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


def check_samples(x: Array, y: Array) -> None:
    """Checks the shapes of two samples.

    Args:
        x: should be ``[N, D]``.
        y: should be ``[M, D]``.

    Raises:
        ValueError: unless they are, with N, M, D >= 1.

    Example:
        >>> import numpy as np
        >>> check_samples(np.zeros((5, 3)), np.zeros((4, 3)))
    """
    if jnp.ndim(x) != 2 or jnp.ndim(y) != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"samples must be x[N, D] and y[M, D] with one D, got shapes {jnp.shape(x)} and {jnp.shape(y)}; "
            "give scalars a last axis of length 1, and vmap over states"
        )
    if 0 in x.shape or 0 in y.shape:
        raise ValueError(f"samples must not be empty, got shapes {x.shape} and {y.shape}")
