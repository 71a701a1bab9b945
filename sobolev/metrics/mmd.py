"""Maximum mean discrepancy between two samples.

For laws P, Q and independent x, x' ~ P and y, y' ~ Q,

    MMD²(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y) = 2 E g(x, y) - E g(x, x') - E g(y, y'),

with the kernel's gap g (see :mod:`sobolev.metrics.kernels`). The second form is the one computed: kernels whose values
are large and nearly equal lose nothing in it.

Sources: Gretton et al., "A kernel two-sample test" (JMLR 2012); V24 equations 21 (u) and 22 (v).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp

from sobolev.metrics.kernels import Kernel, Multiquadric, gram
from sobolev.registry import Registry, unknown_name

Array = jax.Array
Estimator = Literal["u", "v"]
ESTIMATORS = ("u", "v")

registry: Registry[Callable[..., Any]] = Registry("metric")


def check_samples(x: Array, y: Array) -> None:
    """Raises a ValueError unless x and y are ``[N, D]`` and ``[M, D]`` with N, M, D >= 1."""
    if jnp.ndim(x) != 2 or jnp.ndim(y) != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"samples must be x[N, D] and y[M, D] with one D, got shapes {jnp.shape(x)} and {jnp.shape(y)}; "
            "give scalars a last axis of length 1, and vmap over states"
        )
    if 0 in x.shape or 0 in y.shape:
        raise ValueError(f"samples must not be empty, got shapes {x.shape} and {y.shape}")


def check_estimator(estimator: str) -> None:
    """Raises a ValueError unless the estimator is "u" or "v"."""
    if estimator not in ESTIMATORS:
        raise unknown_name("estimator", estimator, ESTIMATORS)


def _mean_within(kernel: Kernel, x: Array, estimator: Estimator, name: str) -> Array:
    """The mean gap over the pairs of one sample; a point's gap to itself is 0, so the sum is the same for both."""
    n = x.shape[0]
    if estimator == "u" and n < 2:
        raise ValueError(
            f"the u-statistic needs two samples or more of each law, got {n} in {name}: a single sample says nothing "
            "of the spread. Use estimator='v' or draw more samples"
        )
    return jnp.sum(gram(kernel.gap, x, x)) / (n * (n - 1) if estimator == "u" else n * n)


def mmd2(x: Array, y: Array, kernel: Kernel | None = None, estimator: Estimator = "u") -> Array:
    """Squared maximum mean discrepancy of two samples.

        u:  2/(NM) sum_ij g(x_i, y_j) - 1/(N(N-1)) sum_{i != i'} g(x_i, x_i') - 1/(M(M-1)) sum_{j != j'} g(y_j, y_j')
        v:  the same with 1/N² and 1/M²

    The u-statistic is unbiased for the MMD² of the laws and may therefore be negative. The v-statistic is the MMD² of
    the empirical laws: not negative, 0 at x = y, but a generator trained on fresh samples under it is under-dispersed.

    Args:
        x: samples of the first law, ``[N, D]``.
        y: samples of the second law, ``[M, D]``; N and M may differ.
        kernel: any object with ``gap(x[D], y[D]) -> []``; the multiquadric with h = 100 by default.
        estimator: ``"u"`` or ``"v"``.

    Returns:
        A scalar in the kernel's units; its gradient is finite everywhere, at x = y too.

    Raises:
        ValueError: wrong shapes, an unknown estimator, or fewer than two samples under "u".

    Example:
        >>> import jax.numpy as jnp
        >>> from sobolev.metrics import Energy
        >>> x, y = jnp.array([[0.0], [2.0]]), jnp.array([[1.0], [3.0], [5.0]])
        >>> round(float(mmd2(x, y, Energy(), estimator="v")), 4)  # 2·14/6 - 4/4 - 16/9
        1.8889
    """
    check_samples(x, y)
    check_estimator(estimator)
    kernel = Multiquadric() if kernel is None else kernel
    between = jnp.mean(gram(kernel.gap, x, y))
    return 2.0 * between - _mean_within(kernel, x, estimator, "x") - _mean_within(kernel, y, estimator, "y")


@registry.register("mmd")
@dataclass(frozen=True)
class MMD:
    """MMD² on the joint samples of return and gradients, as a training loss.

    It declares no contraction rate: with the joint kernel a spread of the gradient that both laws share masks a gap of
    the returns before a backup and no longer after it, so that the backup can expand this metric by any factor.

    Args:
        kernel: see :mod:`sobolev.metrics.kernels`.
        estimator: ``"u"`` (unbiased) or ``"v"``.
    """

    kernel: Kernel = field(default_factory=Multiquadric)
    estimator: Estimator = "u"

    def __post_init__(self) -> None:
        check_estimator(self.estimator)

    def __call__(self, key: Array, x: Array, y: Array, levels: Array | None = None) -> Array:
        """``mmd2(x[N, D], y[M, D])``; ``key`` and ``levels`` are not used."""
        del key, levels
        return mmd2(x, y, self.kernel, self.estimator)

    def contraction_rate(self, gamma_kappa: float) -> float | None:
        """None: no theorem holds."""
        del gamma_kappa
        return None
