"""Distributional metrics between two samples, as training losses; needs jax and numpy alone.

A metric is a frozen dataclass, called as ``metric(key, x[N, D], y[M, D], levels=None) -> []``: the loss form (squared,
so that the gradient is finite at x = y), for one state; users ``vmap``. N and M may differ. A metric of quantiles needs
``levels[N]``, the levels of which x are the predictions; the others do not look at them.
``contraction_rate(gamma_kappa)`` is the factor by which a Sobolev Bellman backup shrinks the (unsquared) metric, where
a theorem gives one, else None.

Example:
    >>> import jax
    >>> from sobolev import metrics
    >>> x, y = jax.random.normal(jax.random.key(0), (2, 10, 3))
    >>> loss = metrics.registry.make("msmmd", kernel=metrics.kernels.registry.make("energy"))
    >>> loss(jax.random.key(1), x, y).shape
    ()
    >>> loss.contraction_rate(0.81)
    0.9
"""

from typing import Protocol, runtime_checkable

import jax

from sobolev.metrics import kernels
from sobolev.metrics.kernels import RBF, Energy, Kernel, Laplace, Multiquadric, RationalQuadratic, gram
from sobolev.metrics.mmd import MMD, mmd2, registry
from sobolev.metrics.sliced import MSMMD, max_sliced_direction, msmmd2


@runtime_checkable
class Metric(Protocol):
    """The contract of every entry of the registry."""

    def __call__(self, key: jax.Array, x: jax.Array, y: jax.Array, levels: jax.Array | None = None) -> jax.Array:
        """The loss of predictions ``x[N, D]`` against targets ``y[M, D]``; a scalar."""
        ...

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        """The factor per backup that a theorem promises at this gamma kappa, or None."""
        ...


__all__ = [
    "MMD",
    "MSMMD",
    "RBF",
    "Energy",
    "Kernel",
    "Laplace",
    "Metric",
    "Multiquadric",
    "RationalQuadratic",
    "gram",
    "kernels",
    "max_sliced_direction",
    "mmd2",
    "msmmd2",
    "registry",
]
