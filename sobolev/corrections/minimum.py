"""The samples of the critic with the lowest mean return (TD3; Fujimoto et al., 2018), and the double estimator of it.

    min          the samples of the critic with the lowest mean return
    double_min   each half of the samples from the critic whose other half has the lowest mean return

Where the critics have the same distribution, "min" takes the one whose samples are low by chance: the targets are
biased downwards, and the bias adds up over backups. Selecting by one half of the samples and taking the other half is
van Hasselt's double estimator ("Double Q-learning", NeurIPS 2010).
"""

from dataclasses import dataclass

import jax.numpy as jnp

from sobolev.corrections.base import Correction, registry
from sobolev.types import Array


def _of_lowest_mean(samples: Array, held_out: Array) -> Array:
    """``samples[k]`` of the critic k whose ``held_out[K, N, D]`` has the lowest mean return."""
    return samples[jnp.argmin(jnp.mean(held_out[:, :, 0], axis=1))]


@registry.register("min")
@dataclass(frozen=True)
class Min(Correction):
    """The samples of the critic with the lowest mean return: ``[K, N, D] -> [N, D]``; for point critics that of TD3.

    See Also:
        :class:`DoubleMin`, which has no bias where the critics agree.

    Example:
        >>> import jax.numpy as jnp
        >>> Min()(jnp.array([[[5.0], [1.0]], [[2.0], [3.0]]])).ravel().tolist()
        [2.0, 3.0]
    """

    def __call__(self, samples: Array) -> Array:
        return _of_lowest_mean(samples, samples)


@registry.register("double_min")
@dataclass(frozen=True)
class DoubleMin(Correction):
    """Samples of the critic with the lowest mean return on held-out samples: ``[K, N, D] -> [N, D]``.

    The first half of the samples is that of the critic whose second half has the lowest mean return, and vice versa. So
    where the critics have the same distribution each sample has it too, without bias, though the two halves are not
    independent. Where the critics differ by much more than the standard error of the mean of half the samples, both
    halves are the lowest critic's.

    Raises:
        ValueError: a single sample per critic, which cannot be split.

    See Also:
        :class:`Min`; docs/theory.md, section 13, for the proof.

    Example:
        >>> import jax.numpy as jnp
        >>> one, other = jnp.array([[5.0], [0.0]]), jnp.array([[2.0], [3.0]])
        >>> DoubleMin()(jnp.stack([one, other])).ravel().tolist()  # 5 since 0 < 3, 3 since 2 < 5
        [5.0, 3.0]
    """

    def __call__(self, samples: Array) -> Array:
        count = samples.shape[1]
        if count < 2:
            raise ValueError(f"correction 'double_min' needs at least 2 samples per critic, got {count}: take 'min'")
        first, second = jnp.split(samples, [count // 2], axis=1)
        return jnp.concatenate([_of_lowest_mean(first, second), _of_lowest_mean(second, first)])
