"""The returns of a run's policies over fixed episodes, with intervals, as rows of a table."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agents.runs import Restored
from sobolev.environments import Environment
from sobolev.training import Evaluation, Job, Progress, read_run
from sobolev.training.evaluate import make_evaluator
from sobolev.training.faults import DivergedError
from sobolev.training.job import environment_of
from sobolev.training.logs import has_metrics
from sobolev.training.statistics import Statistic, bootstrap_interval, interquartile_mean

FEWEST_SEEDS = 3
ALL_SEEDS = "all"


class Row(NamedTuple):
    """A line of evaluation.csv.

    Fields:
        seed: of the run, or "all".
        env_steps: of the checkpoint; empty where those of all seeds differ.
        checkpoint: "newest", "best" by the evaluations during training, or "newest, best".
        environment: "noisy", "clean", or "task" where the task has no noise.
        statistic: "mean" over episodes, or "interquartile mean" over the seeds' means.
        value: of the undiscounted return.
        low: of its 95% bootstrap interval; empty where there is one episode.
        high: of the interval.
        std: of the return over episodes, or of the means over seeds.
        episodes: how many, of each seed.
        length: their mean length in steps.
    """

    seed: int | str
    env_steps: int | str
    checkpoint: str
    environment: str
    statistic: str
    value: float
    low: float | str
    high: float | str
    std: float
    episodes: int
    length: float


class Chosen(NamedTuple):
    """A checkpoint that is evaluated, and what is said of it."""

    checkpoint: str
    agent: Restored


def best_steps(run_dir: Path) -> dict[int, int]:
    """Of each seed, the environment steps of its best evaluation during training, the latest of equal ones."""
    best: dict[int, tuple[float, int]] = {}
    for row in read_run(run_dir).rows if has_metrics(run_dir) else []:
        if "eval/return" in row:
            seed, found = int(row["seed"]), (row["eval/return"], int(row["env_steps"]))
            best[seed] = max(best.get(seed, found), found)
    return {seed: steps for seed, (_, steps) in best.items()}


def choose(kept: Sequence[Restored], best: int | None) -> Iterator[Chosen]:
    """The newest checkpoint of a seed, and that of its best evaluation where it is another one that is kept."""
    *older, newest = kept
    yield Chosen("newest, best" if newest.env_steps == best else "newest", newest)
    yield from (Chosen("best", agent) for agent in older if agent.env_steps == best)


def row_of_seed(chosen: Chosen, environment: str, found: Evaluation) -> Row:
    """The mean over episodes, with its interval."""
    returns, agent = np.asarray(found.returns, float), chosen.agent
    if not np.all(np.isfinite(returns)):
        raise DivergedError(
            f"seed {agent.seed}, {agent.env_steps} env steps, {environment}: {np.sum(~np.isfinite(returns))} of "
            f"{len(returns)} returns are not finite"
        )
    return Row(
        agent.seed,
        agent.env_steps,
        chosen.checkpoint,
        environment,
        "mean",
        float(returns.mean()),
        *interval(returns, lambda values: np.mean(values, axis=0)),
        float(returns.std()),
        len(returns),
        float(np.mean(found.lengths)),
    )


def interval(values: np.ndarray, statistic: Statistic) -> tuple[float | str, float | str]:
    """The 95% bootstrap interval; empty for one value, which has none."""
    if len(values) < 2:
        return "", ""
    low, high = bootstrap_interval([values], statistic)
    return float(low), float(high)


def rows_over_seeds(rows: Sequence[Row]) -> Iterator[Row]:
    """The interquartile mean over seeds of each environment, where there are seeds enough; of newest checkpoints."""
    newest = [row for row in rows if row.checkpoint != "best"]
    for environment in dict.fromkeys(row.environment for row in newest):
        of_seeds = [row for row in newest if row.environment == environment]
        if len(of_seeds) < FEWEST_SEEDS:
            continue
        values, steps = np.array([row.value for row in of_seeds]), {row.env_steps for row in of_seeds}
        yield Row(
            ALL_SEEDS,
            steps.pop() if len(steps) == 1 else "",
            "newest",
            environment,
            "interquartile mean",
            float(interquartile_mean(values)),
            *interval(values, interquartile_mean),
            float(values.std()),
            of_seeds[0].episodes,
            float(np.mean([row.length for row in of_seeds])),
        )


def evaluated(
    job: Job, run_dir: Path, kept_of_seeds: Sequence[Sequence[Restored]], episodes: int, tell: Progress
) -> Iterator[Row]:
    """The rows of all seeds, as they are found.

    Args:
        job: of the run.
        run_dir: of it.
        kept_of_seeds: of each seed, the agents as of all the checkpoints that are kept.
        episodes: of each of them.
        tell: where what is kept is told.
    """
    evaluators = {
        name: make_evaluator(env, job.agent, episodes=episodes, length=job.config.episode_length)
        for name, env in environments_of(job).items()
    }
    best = best_steps(run_dir)
    for kept in kept_of_seeds:
        tell.print(told_kept(kept, best.get(kept[-1].seed)))
        for chosen in choose(kept, best.get(kept[-1].seed)):
            for name, evaluator in evaluators.items():
                yield row_of_seed(chosen, name, evaluator(chosen.agent.state.params.actor))


def environments_of(job: Job) -> dict[str, Environment]:
    """The task, with and without its noise."""
    if job.config.noise is None:
        return {"task": job.env}
    return {"noisy": job.env, "clean": environment_of(job.config.environment)}


def told_kept(kept: Sequence[Restored], best: int | None) -> str:
    """Which checkpoints there are, and whether one of them is the best."""
    steps = [agent.env_steps for agent in kept]
    known = "no evaluation is recorded" if best is None else f"its best evaluation was at {best}"
    gone = best is not None and best not in steps
    return (
        f"seed {kept[-1].seed}: checkpoints at {' and '.join(map(str, steps))} env steps, {known}"
        f"{', whose checkpoint is not kept' if gone else ''}"
    )


def table(rows: Sequence[Row], settings: Sequence[str] = ()) -> str:
    """The rows as the console shows them, those of a sweep with the name of each one's setting."""
    lines = [("seed", "env steps", "checkpoint", "environment", "return", "95% interval", "length")]
    for row in rows:
        bounds = "" if isinstance(row.low, str) else f"{row.low:.2f} to {row.high:.2f}"
        value = f"{row.value:.2f}{' (IQM)' if row.seed == ALL_SEEDS else ''}"
        lines.append(
            (str(row.seed), str(row.env_steps), row.checkpoint, row.environment, value, bounds, f"{row.length:.1f}")
        )
    named = [(name, *line) for name, line in zip(("setting", *settings), lines, strict=True)] if settings else lines
    widths = [max(map(len, column)) for column in zip(*named, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in named)


def to_csv(rows: Sequence[Row], settings: Sequence[str] = ()) -> str:
    """The text of evaluation.csv, that of a sweep with a first column ``setting``."""
    text = io.StringIO()
    lines: list[tuple[Any, ...]] = [Row._fields, *rows]
    if settings:
        lines = [(name, *line) for name, line in zip(("setting", *settings), lines, strict=True)]
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
