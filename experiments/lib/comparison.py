"""Statistics of learning curves, and their differences between methods."""

import math

import numpy as np

from sobolev.training import Curve
from sobolev.training.statistics import Interval, bootstrap_interval

LAST = 3
"""A final return is the mean of so many evaluations."""


def final_returns(curve: Curve) -> np.ndarray:
    """The mean of the last three evaluations of each seed, ``[seeds]``."""
    return curve.values[:, -LAST:].mean(axis=1)


def first_crossings(curve: Curve, level: float) -> list[float]:
    """The environment steps of each seed's first evaluation at a level or above; inf where there is none."""
    reached = [curve.env_steps[run >= level].tolist() for run in curve.values]
    return [float(steps[0]) if steps else math.inf for steps in reached]


def mean_interval(values: np.ndarray) -> Interval:
    """The 95% bootstrap interval of the mean over seeds, of ``values[seeds, ...]`` with two seeds or more."""
    return bootstrap_interval([values], statistic=lambda resampled: np.asarray(resampled.mean(axis=0)))


def difference_of_finals(curve: Curve, other: Curve) -> str:
    """The mean difference of the final returns of the same seeds, with its 95% bootstrap interval, in words.

    Seeds share the initial networks and the warm-up, so that they are compared one by one.
    """
    differences = final_returns(curve) - final_returns(other)
    above = f"{np.sum(differences > 0)} of {len(differences)} above 0"
    if len(differences) < 2:
        return f"{differences.mean():+.2f}, {above}"
    low, high = mean_interval(differences)
    return f"{differences.mean():+.2f} ({low:+.2f} to {high:+.2f}), {above}"
