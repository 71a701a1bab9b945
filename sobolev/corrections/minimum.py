"""The samples of the critic with the lower mean return (TD3; Fujimoto et al., 2018), and the double estimator of it.

    min          the samples of the critic whose mean return is least
    double_min   each half of the samples from the critic whose other half has the least mean return

Between critics of one distribution "min" takes the one whose samples happen to be low, at every backup again. Choosing
by one half of the samples and taking the other is van Hasselt's double estimator ("Double Q-learning", NeurIPS 2010).
"""

from dataclasses import dataclass

import jax.numpy as jnp

from sobolev.corrections.base import Correction, registry
from sobolev.types import Array


def _of_least_mean(samples: Array, judged_by: Array) -> Array:
    """``samples[k]`` of the critic k whose ``judged_by[K, N, D]`` has the least mean return."""
    return samples[jnp.argmin(jnp.mean(judged_by[:, :, 0], axis=1))]


@registry.register("min")
@dataclass(frozen=True)
class Min(Correction):
    """The samples of the critic whose mean return is least: ``[K, N, D] -> [N, D]``; TD3's for point critics.

    Example:
        >>> import jax.numpy as jnp
        >>> Min()(jnp.array([[[5.0], [1.0]], [[2.0], [3.0]]])).ravel().tolist()
        [2.0, 3.0]
    """

    def __call__(self, samples: Array) -> Array:
        return _of_least_mean(samples, samples)


@registry.register("double_min")
@dataclass(frozen=True)
class DoubleMin(Correction):
    """Half of the samples from each half's choice of critic: ``[K, N, D] -> [N, D]``.

    The first half of the samples is that of the critic whose second half has the least mean return, and the other way
    round. So where the critics agree each sample has their distribution, without bias, though the halves depend on each
    other. Where the critics differ by more than the means of half the samples scatter, the samples are the lower one's.

    Raises:
        ValueError: a single sample, which has no other half.

    See Also:
        docs/theory.md 13, the bias of both minima by enumeration.

    Example:
        >>> import jax.numpy as jnp
        >>> one, other = jnp.array([[5.0], [0.0]]), jnp.array([[2.0], [3.0]])
        >>> DoubleMin()(jnp.stack([one, other])).ravel().tolist()  # 5 since 0 < 3, 3 since 2 < 5
        [5.0, 3.0]
    """

    def __call__(self, samples: Array) -> Array:
        count = samples.shape[1]
        if count < 2:
            raise ValueError(f"'double_min' needs two samples or more of each critic, got {count}: use 'min'")
        first, second = jnp.split(samples, [count // 2], axis=1)
        return jnp.concatenate([_of_least_mean(first, second), _of_least_mean(second, first)])
