"""Defaults that the exact law speaks against: what are they worth in control?

    python experiments/control.py --compare=corrections --task=reacher --seeds=300-309
    python experiments/control.py --compare=corrections --task=point_mass --seeds=310-314
    python experiments/control.py --compare=shipped --task=point_mass --seeds=310-314
    python experiments/control.py --compare=rates --task=reacher --seeds=200-209

Where the law of the return is known, truncation is a bias and a constant learning rate keeps the critics moving about
their fixed point (experiments/corrections.py, experiments/critic_truth.py). Here the agent of gin/msmmd_cvae.gin learns
with each. It writes docs/results/<compare>_<task>.csv (all curves), .png and .md; runs that the .csv holds are not run
again.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from sobolev.training.logs import write_text  # noqa: E402
from experiments.gradient import (  # noqa: E402
    Curve,
    Curves,
    difference_of_finals,
    draw,
    final_returns,
    run_missing,
    seeds_of,
)

Arguments = list[str]


class Task(NamedTuple):
    """What the runs of a task share, and its best known return."""

    gin_files: list[str]
    best: float


def bind(*bindings: str) -> Arguments:
    """The bindings as arguments of agents/run.py."""
    return [f"--gin_bindings={binding}" for binding in bindings]


METHOD = "gin/msmmd_cvae.gin"
COSINE = "gin/schedules/cosine.gin"
TASKS = {"reacher": Task([METHOD], -5.9), "point_mass": Task([METHOD, "gin/envs/point_mass.gin", COSINE], 8.0)}

TRUNCATION = bind("agent.overestimation='truncate'")
NO_CORRECTION = bind("agent.overestimation='none'")
# The schedule's own length and evaluations are another task's.
FALLING_RATES = [f"--gin_file={COSINE}", *bind("num_updates=4000", "train.eval_every=200")]
FALLING_CRITIC_RATE = bind(
    "critic/optimizers.radam.learning_rate=@critic/schedules.cosine_decay()",
    "critic/schedules.cosine_decay.init_value=1e-3",
    "critic/schedules.cosine_decay.decay_steps=4000",
)
# The arms of each comparison; the others are read against the first.
COMPARISONS: dict[str, dict[str, Arguments]] = {
    "shipped": {"shipped": []},
    "corrections": {"crossed minimum": [], "truncation": TRUNCATION},
    "rates": {
        "constant rates": TRUNCATION,
        "no truncation": NO_CORRECTION,
        "falling critic rate": [*TRUNCATION, *FALLING_CRITIC_RATE],
        "falling rates": [*TRUNCATION, *FALLING_RATES],
        "both": [*NO_CORRECTION, *FALLING_RATES],
    },
}


def mean_return(runs: list[Curve]) -> float:
    """Over seeds and all evaluations after the first."""
    values = [value for run in runs for value in run["eval/return"][1:]]
    return sum(values) / len(values)


def report(title: str, curves: Curves, command: str) -> str:
    """The table, as Markdown."""
    first = next(iter(curves))
    lines = [
        f"# {title}: the defaults that the exact law speaks against, in control",
        "",
        f"`{command}`",
        "",
        "The final return is the mean of the last three evaluations; differences are seed by seed, with a 95%",
        "bootstrap interval.",
        "",
        f"| | final return (mean, all) | mean over the run | final return less that of {first} |",
        "|---|---|---|---|",
    ]
    for arm, runs in curves.items():
        finals = final_returns(runs)
        every = ", ".join(f"{value:.2f}" for value in finals)
        less = "" if arm == first else difference_of_finals(runs, curves[first])
        lines.append(f"| {arm} | {finals.mean():.2f} ({every}) | {mean_return(runs):.2f} | {less} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what is missing, then writes data, picture and table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--compare", choices=COMPARISONS, required=True)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--seeds", type=seeds_of, required=True, help="as in 0-4,7")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    task, name = TASKS[options.task], f"{options.compare}_{options.task}"
    arms = COMPARISONS[options.compare]
    curves = run_missing(task.gin_files, arms, options.seeds, name, options.workers, "arm")
    results = ROOT / "docs" / "results"
    title = f"{options.task}: mean over {len(options.seeds)} seeds, 95% bootstrap interval"
    draw(curves, {"best known": task.best}, results / f"{name}.png", title)
    command = " ".join(["python experiments/control.py", *sys.argv[1:]])
    text = report(options.task, curves, command)
    write_text(results / f"{name}.md", text)
    print(text)


if __name__ == "__main__":
    main()
