"""The rows of metrics: one for each seed at each evaluation, under the names that every file of a run has for them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from sobolev.training.evaluate import Evaluation

Row = dict[str, float]


class Learning(NamedTuple):
    """What happened since the evaluation before.

    Fields:
        scalars: of the updates, means ``[seeds]``; nan where none reported it.
        env_steps: of each seed.
        updates: of each seed.
        seconds: of all seeds together.
    """

    scalars: dict[str, np.ndarray]
    env_steps: int
    updates: int
    seconds: float


class Assessment(NamedTuple):
    """The scores of the policies, and the diagnostics of the agents.

    Fields:
        score: arrays ``[seeds, episodes]``.
        diagnostics: arrays ``[seeds]``.
        seconds: of all seeds together.
    """

    score: Evaluation
    diagnostics: dict[str, np.ndarray]
    seconds: float


def make_rows(
    seeds: Sequence[int], env_steps: int, updates: int, assessment: Assessment, learning: Learning | None
) -> list[Row]:
    """One row per seed.

    Args:
        seeds: their numbers.
        env_steps: of each, so far.
        updates: of each, so far.
        assessment: of now.
        learning: None before the first learning.

    Returns:
        Rows whose entries are in the order of the columns of metrics.csv; what is not finite is left out.
    """
    return [_row(i, seed, env_steps, updates, assessment, learning) for i, seed in enumerate(seeds)]


def _row(i: int, seed: int, env_steps: int, updates: int, assessment: Assessment, learning: Learning | None) -> Row:
    row: Row = {
        "env_steps": env_steps,
        "seed": seed,
        "updates": updates,
        "eval/return": float(np.mean(assessment.score.returns[i])),
        "eval/return_std": float(np.std(assessment.score.returns[i])),
        "eval/length": float(np.mean(assessment.score.lengths[i])),
    }
    if learning is not None:
        row |= {f"train/{name}": float(values[i]) for name, values in sorted(learning.scalars.items())}
    row |= {f"diagnostics/{name}": float(values[i]) for name, values in assessment.diagnostics.items()}
    if learning is not None:
        row["train/updates_per_second"] = learning.updates / learning.seconds
        row["train/env_steps_per_second"] = learning.env_steps / learning.seconds
        row["time/learn_seconds"] = learning.seconds
        row["time/evaluate_seconds"] = assessment.seconds
    return {name: value for name, value in row.items() if math.isfinite(value)}


def columns(score: Any, diagnostics: Any, scalars: Any) -> tuple[str, ...]:
    """The columns of metrics.csv, from the shapes of what the programs return."""
    score, diagnostics, scalars = jax.tree.map(lambda x: np.zeros(x.shape), (score, diagnostics, scalars))
    (row, *_) = make_rows([0], 0, 0, Assessment(score, diagnostics, 0.0), Learning(scalars, 0, 0, 1.0))
    return tuple(row)
