"""Distributional metrics between two samples, as training losses; needs jax and numpy alone.

A metric is a frozen dataclass, called as ``metric(key, x[N, D], y[M, D], levels=None) -> []``. What it returns is the
loss form (squared, so that the gradient is finite at x = y) for one state; ``over_states`` is the loss of a batch of
states. N and M may differ. A metric of quantiles needs ``levels[N]``, the levels of the predictions x; the others
ignore them. ``contraction_rate(gamma_kappa)`` is the factor by which a Sobolev Bellman backup shrinks the (unsquared)
metric where a theorem gives one, else None.

Each class has a function that computes the same (``MMD`` and ``mmd2``). docs/metrics.md says which metric and which
kernel to take.

Example:
    >>> import jax
    >>> from sobolev import metrics
    >>> x, y = jax.random.normal(jax.random.key(0), (2, 10, 3))
    >>> loss = metrics.registry.make("msmmd", kernel=metrics.kernels.registry.make("energy"))
    >>> jax.jit(loss)(jax.random.key(1), x, y).shape
    ()
    >>> loss.contraction_rate(0.81)
    0.9
"""

from sobolev.metrics import directions, kernels
from sobolev.metrics.base import Metric, registry
from sobolev.metrics.directions import DirectionSearch
from sobolev.metrics.huber import L2, Huber, huber, l2
from sobolev.metrics.kernels import RBF, Energy, Kernel, Laplace, Multiquadric, RadialKernel, RationalQuadratic, gram
from sobolev.metrics.max_sliced import (
    MSMMD,
    MaxSlicedWasserstein,
    max_sliced,
    max_sliced_wasserstein,
    mean_max_sliced,
    msmmd2,
)
from sobolev.metrics.mmd import MMD, energy_mmd2_sorted, mmd2
from sobolev.metrics.quantile import QuantileHuber, quantile_huber
from sobolev.metrics.sliced import (
    Distance,
    SlicedMMD,
    SlicedWasserstein,
    sliced,
    sliced_mmd2,
    sliced_wasserstein,
)
from sobolev.metrics.wasserstein import Wasserstein, wasserstein

__all__ = [
    "L2",
    "MMD",
    "MSMMD",
    "RBF",
    "DirectionSearch",
    "Distance",
    "Energy",
    "Huber",
    "Kernel",
    "Laplace",
    "MaxSlicedWasserstein",
    "Metric",
    "Multiquadric",
    "QuantileHuber",
    "RadialKernel",
    "RationalQuadratic",
    "SlicedMMD",
    "SlicedWasserstein",
    "Wasserstein",
    "directions",
    "energy_mmd2_sorted",
    "gram",
    "huber",
    "kernels",
    "l2",
    "max_sliced",
    "max_sliced_wasserstein",
    "mean_max_sliced",
    "mmd2",
    "msmmd2",
    "quantile_huber",
    "registry",
    "sliced",
    "sliced_mmd2",
    "sliced_wasserstein",
    "wasserstein",
]
