"""Fixtures shared by the tests of metrics."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def shapes_match() -> Iterator[None]:
    """Arrays of different rank are not broadcast against each other unseen."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="session")
def named() -> Callable[..., str]:
    """``match=named("h", "-2.5")``: a message holds these words, in any order."""

    def pattern(*words: str) -> str:
        return "(?s)" + "".join(rf"(?=.*(?<!\w){re.escape(word)}(?!\w))" for word in words)

    return pattern


@pytest.fixture(scope="session")
def random_pairs() -> Callable[[int, int, int, int], tuple[Any, Any]]:
    """``random_pairs(count, n, m, size)``: samples ``[count, n, size]`` and ``[count, m, size]`` of distributions that
    differ in mean, spread and shape, each pair to another degree.
    """

    def draw(count: int, n: int, m: int, size: int) -> tuple[Any, Any]:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(count, n, size))
        mixing = rng.normal(size=(count, size, size))
        shift = rng.uniform(0, 2, size=(count, 1, 1)) * rng.normal(size=(count, 1, size))
        y = rng.exponential(size=(count, m, size)) @ mixing + shift
        return x.astype(np.float32), y.astype(np.float32)

    return draw
