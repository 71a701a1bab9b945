"""Statistics over seeds, which are the unit of replication.

Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (NeurIPS 2021).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]


class Interval(NamedTuple):
    """Bounds of a confidence interval, arrays of one shape."""

    low: np.ndarray
    high: np.ndarray


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean over the first axis without its lowest and highest quarter, each rounded down to whole scores.

    Args:
        scores: ``[N, ...]``, N >= 1.

    Returns:
        ``[...]``; of fewer than four scores it is the mean.

    Example:
        >>> import numpy as np
        >>> float(interquartile_mean(np.array([0.0, 4.0, 2.0, 100.0])))
        3.0
    """
    count = len(scores)
    cut = count // 4
    return np.mean(np.sort(scores, axis=0)[cut : count - cut], axis=0)


def bootstrap_interval(
    tasks: Sequence[np.ndarray],
    statistic: Statistic = interquartile_mean,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> Interval:
    """The stratified bootstrap interval of a statistic of all tasks' scores: seeds are resampled within each task.

    Args:
        tasks: scores ``[N_t, ...]`` of each task's seeds; with one task it is the ordinary bootstrap.
        statistic: of the pooled scores ``[N, ...] -> [...]``.
        confidence: share of the resampled statistics between the bounds.
        resamples: how many.
        seed: of the resampling.

    Returns:
        The percentile interval, bounds of shape ``[...]``.

    Raises:
        ValueError: a task with fewer than two seeds, which has no spread to resample.

    Example:
        >>> import numpy as np
        >>> low, high = bootstrap_interval([np.array([1.0, 2.0, 3.0])], statistic=lambda x: np.mean(x, axis=0))
        >>> bool(1.0 <= low < 2.0 < high <= 3.0)
        True
    """
    fewest = min((len(scores) for scores in tasks), default=0)
    if fewest < 2:
        raise ValueError(f"a bootstrap over seeds needs two seeds or more in each task, got {fewest}")
    rng = np.random.default_rng(seed)
    values = [
        statistic(np.concatenate([scores[rng.integers(len(scores), size=len(scores))] for scores in tasks]))
        for _ in range(resamples)
    ]
    tail = 0.5 * (1.0 - confidence)
    low, high = np.quantile(np.stack(values), [tail, 1.0 - tail], axis=0)
    return Interval(low, high)


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The probability that a seed of one method is better than one of another; ties count half.

    Args:
        scores: ``[N]``.
        others: ``[M]``.

    Returns:
        ``[]``, in [0, 1]: the Mann-Whitney statistic over N M.

    Example:
        >>> import numpy as np
        >>> float(probability_of_improvement(np.array([2.0, 3.0]), np.array([1.0, 2.0])))
        0.875
    """
    gaps = scores[:, None] - others[None, :]
    return np.mean((gaps > 0) + 0.5 * (gaps == 0))


def improvement_interval(
    scores: np.ndarray, others: np.ndarray, confidence: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> Interval:
    """The bootstrap interval of :func:`probability_of_improvement`: seeds are resampled within each method.

    Args:
        scores: ``[N]``, N >= 2.
        others: ``[M]``, M >= 2.
        confidence: share of the resampled probabilities between the bounds.
        resamples: how many.
        seed: of the resampling.

    Returns:
        The percentile interval, bounds of shape ``[]``.

    Raises:
        ValueError: a method with fewer than two seeds.

    Example:
        >>> import numpy as np
        >>> improvement_interval(np.array([2.0, 3.0]), np.array([0.0, 1.0])).low.tolist()
        1.0
    """
    count = len(scores)
    return bootstrap_interval(
        [scores, others],
        lambda pooled: probability_of_improvement(pooled[:count], pooled[count:]),
        confidence,
        resamples,
        seed,
    )
