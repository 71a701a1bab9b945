"""Statistics of learning curves, and their differences between methods."""

import math

import numpy as np

from sobolev.training import Curve
from sobolev.training.statistics import Interval, bootstrap_interval

RESAMPLES = 2_000
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


def median_of(crossings: np.ndarray) -> tuple[float, float, float]:
    """The median over seeds and its 95% bootstrap interval; inf is a number like others, larger than all."""
    rng = np.random.default_rng(0)
    draws = crossings[rng.integers(len(crossings), size=(RESAMPLES, len(crossings)))]
    medians = np.quantile(draws, 0.5, axis=1, method="inverted_cdf")
    low, middle, high = (
        float(np.quantile(values, at, method="inverted_cdf"))
        for values, at in ((medians, 0.025), (crossings, 0.5), (medians, 0.975))
    )
    return middle, low, high


def told(steps: float, last: int) -> str:
    """A number of steps, or that there are more than were made."""
    return f"{steps:.0f}" if math.isfinite(steps) else f"> {last}"


def median_with_interval(steps: np.ndarray, last: int) -> str:
    """The median of the seeds' steps to a level with its interval, in words; ``last`` is the number of steps made."""
    middle, low, high = (told(value, last) for value in median_of(steps))
    return f"{middle} ({low} to {high})"
