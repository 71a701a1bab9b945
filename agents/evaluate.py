"""What a run has learned: the returns of its policies over fixed episodes, and one page to look at.

For each seed, as of its newest checkpoint: the mean undiscounted return over episodes that training has not seen, the
same for all seeds and methods, with a 95% bootstrap interval over episodes; from three seeds on the interquartile mean
over seeds, with a 95% interval over seeds. A run keeps its newest two checkpoints. Where the older is that of the
seed's best evaluation during training, it is evaluated, too. Where the task has noise (train.noise), the environment
with it ("noisy") and without ("clean") are apart. RUN_DIR/evaluation.csv has all of it.

RUN_DIR/page.html shows one episode of one seed, in a browser and without a network: what the agent sees, the returns
that its critics expect against those that follow, and the slopes that its actor climbs against the task's own.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# This file's folder would hide modules of the same names; a gin file may import one from where the program is started.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "agents")), os.getcwd()]

import numpy as np  # noqa: E402

from agents import start  # noqa: E402

with start.quiet():
    from agents.arguments import Parser, add_run_dir
    from agents.gin_messages import ConfigError
    from agents.page import Numbers, choose_seed, page_data, render
    from agents.runs import Restored, load_job, restore_kept_agents
    from sobolev.checks import check_count
    from sobolev.environments import Environment
    from sobolev.training import Evaluation, Job, Progress, read_run
    from sobolev.training.evaluate import make_evaluator
    from sobolev.training.faults import DivergedError
    from sobolev.training.job import environment_of
    from sobolev.training.logs import has_metrics, write_text
    from sobolev.training.statistics import Statistic, bootstrap_interval, interquartile_mean

EXAMPLES = {
    "a run": "agents/evaluate.py runs/msmmd_cvae/seed0",
    "more episodes and no page, which takes longest": (
        "agents/evaluate.py runs/msmmd_cvae/seed0 --episodes=1000 --frames=0"
    ),
}
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


def make_parser() -> Parser:
    """The command line."""
    parser = Parser("agents/evaluate.py", __doc__, EXAMPLES)
    add_run_dir(parser)
    parser.add_argument("--episodes", type=int, default=100, help="of each seed")
    page = parser.add_argument_group("the page")
    usual = Numbers()
    page.add_argument("--seed", type=int, help="whose episode; by default the first of the run")
    page.add_argument("--frames", type=int, default=usual.frames, help="steps to look at, 0 for no page")
    page.add_argument("--rollouts", type=int, default=usual.rollouts, help="of the task from each of them")
    page.add_argument("--horizon", type=int, help="rewards in a return; by default until gamma^t is below 1e-3")
    return parser


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
    job: Job, options: argparse.Namespace, kept_of_seeds: Sequence[Sequence[Restored]], tell: Progress
) -> Iterator[Row]:
    """The rows of all seeds, as they are found."""
    evaluators = {
        name: make_evaluator(env, job.agent, episodes=options.episodes, length=job.config.episode_length)
        for name, env in environments_of(job).items()
    }
    best = best_steps(options.run_dir)
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


def table(rows: Sequence[Row]) -> str:
    """The rows as the console shows them."""
    lines = [("seed", "env steps", "checkpoint", "environment", "return", "95% interval", "length")]
    for row in rows:
        bounds = "" if isinstance(row.low, str) else f"{row.low:.2f} to {row.high:.2f}"
        value = f"{row.value:.2f}{' (IQM)' if row.seed == ALL_SEEDS else ''}"
        lines.append(
            (str(row.seed), str(row.env_steps), row.checkpoint, row.environment, value, bounds, f"{row.length:.1f}")
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def to_csv(rows: Sequence[Row]) -> str:
    """The text of evaluation.csv."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([Row._fields, *rows])
    return text.getvalue()


def write_page(job: Job, options: argparse.Namespace, restored: Restored, tell: Progress) -> None:
    """Writes page.html."""
    numbers = Numbers(frames=options.frames, rollouts=options.rollouts, horizon=options.horizon)
    path = options.run_dir / "page.html"
    write_text(path, render(page_data(job, restored, options.run_dir.resolve().name, numbers)))
    tell.print(f"written: {path}, for a browser: seed {restored.seed} at {restored.env_steps} env steps")


def run(options: argparse.Namespace) -> None:
    """Everything between the arguments and the exit status."""
    progress, job = Progress(), load_job(options.run_dir)
    try:
        check_count(0, **{"--frames": options.frames})
        check_count(
            1, **{"--rollouts": options.rollouts, "--horizon": 1 if options.horizon is None else options.horizon}
        )
        kept_of_seeds = list(restore_kept_agents(job, options.run_dir))
        shown = choose_seed([kept[-1] for kept in kept_of_seeds], options.seed)
        rows = list(evaluated(job, options, kept_of_seeds, progress))
        rows += rows_over_seeds(rows)
        progress.print(f"undiscounted returns of {options.episodes} episodes\n{table(rows)}")
        write_text(options.run_dir / "evaluation.csv", to_csv(rows))
        progress.print(f"written: {options.run_dir / 'evaluation.csv'}")
        if options.frames:
            write_page(job, options, shown, progress)
    except ConfigError:
        raise
    except ValueError as error:  # a wrong number, another configuration's checkpoint, episodes that do not repeat
        raise ConfigError(str(error)) from error


def main() -> None:
    """Entry point."""
    start.main(make_parser(), run)


if __name__ == "__main__":
    main()
