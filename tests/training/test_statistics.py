"""Statistics over seeds, against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from sobolev.training.statistics import bootstrap_interval, interquartile_mean


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11])
def test_interquartile_mean_is_the_trimmed_mean(count: int) -> None:
    scores = np.random.default_rng(count).normal(size=(count, 3))
    np.testing.assert_allclose(interquartile_mean(scores), stats.trim_mean(scores, 0.25, axis=0), rtol=1e-12)


def test_interval_of_a_mean_is_that_of_scipy() -> None:
    scores = np.random.default_rng(0).gamma(2.0, size=12)
    low, high = bootstrap_interval([scores], lambda x: np.mean(x, axis=0), resamples=20_000)
    expected = stats.bootstrap(
        (scores,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose((low, high), expected, rtol=0.02)


def test_seeds_are_resampled_within_their_task() -> None:
    """Two tasks without spread: whatever is drawn, half of the scores are 0 and half are 10."""
    low, high = bootstrap_interval([np.zeros(3), np.full(3, 10.0)], lambda x: np.mean(x, axis=0))
    assert (low, high) == (5.0, 5.0)


def test_interval_has_the_shape_of_a_curve_and_its_confidence() -> None:
    scores = np.arange(6.0)[:, None] + np.arange(4.0)
    narrow, wide = (bootstrap_interval([scores], confidence=c) for c in (0.5, 0.95))
    assert narrow.low.shape == (4,)
    assert np.all(wide.low < narrow.low)
    assert np.all(narrow.high < wide.high)
    np.testing.assert_allclose(np.diff(wide.low), 1.0)


@pytest.mark.parametrize("tasks", [[], [np.zeros(1)], [np.zeros(3), np.zeros(1)]])
def test_one_seed_has_no_interval(tasks: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="two seeds or more"):
        bootstrap_interval(tasks)
