"""Corrections against overestimation and falling learning rates: what are they worth in control?

    python -m experiments.control --compare=corrections --task=reacher --seeds=300-309
    python -m experiments.control --compare=corrections --task=point_mass --seeds=310-314
    python -m experiments.control --compare=shipped --task=point_mass --seeds=310-314
    python -m experiments.control --compare=rates --task=reacher --seeds=200-209

Where the distribution of the return is known, truncation is a bias, and at a constant learning rate the critics keep
moving about their fixed point (experiments/corrections.py, experiments/critic_truth.py). Here the agent of
gin/msmmd_cvae.gin learns with each. It writes docs/results/<compare>_<task>.csv (all curves), .png and .md; seeds that
the .csv holds are not trained again.
"""

import argparse
from typing import NamedTuple

from experiments.lib.arguments import add_seeds, add_seeds_at_once, base_parser
from experiments.lib.comparison import difference_of_finals, final_returns
from experiments.lib.learning import Arm, learn_missing
from experiments.lib.pages import command, page, table
from experiments.lib.pictures import draw_curves
from experiments.lib.results import RESULTS
from sobolev.training import Curve
from sobolev.training.logs import write_text

COSINE = "gin/schedules/cosine.gin"


class Task(NamedTuple):
    """The gin files that the runs of a task share, and its best known return."""

    files: tuple[str, ...]
    best: float


class Comparison(NamedTuple):
    """The arms, by what they add to the files of a task; the others are compared with the first.

    Fields:
        arms: by name.
        note: on the page, what the names of the arms do not say.
    """

    arms: dict[str, Arm]
    note: str = ""


METHOD = "gin/msmmd_cvae.gin"
NOISE = "gin/noise/multiplicative_observation.gin"
TASKS = {
    "reacher": Task((METHOD, "gin/envs/reacher.gin", NOISE), -5.9),
    "point_mass": Task((METHOD, "gin/envs/point_mass.gin", COSINE), 8.0),
}

TRUNCATION = ("agent.overestimation = @corrections.truncate()",)
NO_CORRECTION = ("agent.overestimation = 'none'",)
# The schedule's own length and evaluations are another task's.
FALLING_RATES = ("num_updates = 4000", "train.eval_every = 200")
FALLING_CRITIC_RATE = (
    "critic/optimizers.radam.learning_rate = @critic/schedules.cosine_decay()",
    "critic/schedules.cosine_decay.init_value = 1e-3",
    "critic/schedules.cosine_decay.decay_steps = 4000",
)
COMPARISONS = {
    "shipped": Comparison({"shipped": Arm(())}),
    "corrections": Comparison({"double estimator": Arm(()), "truncation": Arm((), TRUNCATION)}),
    "rates": Comparison(
        {
            "constant rates": Arm((), TRUNCATION),
            "no truncation": Arm((), NO_CORRECTION),
            "falling critic rate": Arm((), (*TRUNCATION, *FALLING_CRITIC_RATE)),
            "falling rates": Arm((COSINE,), (*TRUNCATION, *FALLING_RATES)),
            "both": Arm((COSINE,), (*NO_CORRECTION, *FALLING_RATES)),
        },
        'All but "no truncation" and "both" drop one sample in sixteen.',
    ),
}


def row_of(arm: str, curve: Curve, first: str, curves: dict[str, Curve]) -> tuple[str, ...]:
    """The cells of one arm; the mean over the run is over all evaluations after the first."""
    finals = final_returns(curve)
    every = ", ".join(f"{value:.2f}" for value in finals)
    less = "" if arm == first else difference_of_finals(curve, curves[first])
    return arm, f"{finals.mean():.2f} ({every})", f"{curve.values[:, 1:].mean():.2f}", less


def report(task: str, curves: dict[str, Curve], note: str) -> str:
    """The page."""
    first, curve = next(iter(curves.items()))
    return page(
        f"{task}: corrections and learning rates in control",
        command("control"),
        note,
        f"{curve.env_steps[-1]} environment steps. The final return is the mean of the last three evaluations;\n"
        "differences are seed by seed, with a 95% bootstrap interval.",
        table(
            ("", "final return (mean, all)", "mean over the run", f"final return less that of {first}"),
            [row_of(arm, curve, first, curves) for arm, curve in curves.items()],
        ),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("control", __doc__)
    parser.add_argument("--compare", choices=COMPARISONS, required=True)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--arm", action="append", help="an arm of the comparison; default: all")
    add_seeds(parser)
    add_seeds_at_once(parser)
    return parser


def main() -> None:
    """Trains what is missing, then writes data, picture and page."""
    options = make_parser().parse_args()
    task, name, comparison = TASKS[options.task], f"{options.compare}_{options.task}", COMPARISONS[options.compare]
    added = {arm: comparison.arms[arm] for arm in options.arm or comparison.arms}
    arms = {arm: Arm((*task.files, *more.files), more.bindings) for arm, more in added.items()}
    curves = learn_missing(name, arms, options.seeds, seeds_at_once=options.seeds_at_once)
    title = f"{options.task}: mean over {len(options.seeds)} seeds, 95% bootstrap interval"
    draw_curves(curves, {"best known": task.best}, RESULTS / f"{name}.png", title)
    text = report(options.task, curves, comparison.note)
    write_text(RESULTS / f"{name}.md", text)
    print(text)


if __name__ == "__main__":
    main()
