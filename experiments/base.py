"""What makes many updates a step usable? The base of all methods, one difference at a time.

    python -m experiments.base --task=halfcheetah_v5 --seeds=0-2
    python -m experiments.base --task=halfcheetah_v5 --name=halfcheetah_v5 --seeds=200-209 --arm=TD3 --arm=Sobolev

The base is what gin/base.gin and, for tasks of Gymnasium, gin/envs/gymnasium.gin bind. The first arms are TD3, the
deterministic Sobolev critic and the same without gradients; the others are these without one part of the base, or with
one of a further kind. By default the first three and all of TD3's run. Every arm trains all its seeds in one program.
Written are docs/results/<name>.csv (all curves), .png and .md; seeds that the .csv holds are not trained again. What
chooses a base must not report its returns: the second command takes other seeds for that, and files of its own.
"""

import argparse
from typing import NamedTuple

import numpy as np

from experiments.lib.arguments import add_seeds, add_seeds_at_once, base_parser
from experiments.lib.comparison import final_returns
from experiments.lib.learning import Arm, learn_missing
from experiments.lib.pages import command, page, table
from experiments.lib.pictures import draw_curves
from experiments.lib.results import RESULTS
from sobolev.registry import unknown_name
from sobolev.training import Curve
from sobolev.training.logs import write_text
from sobolev.training.statistics import bootstrap_interval, interquartile_mean

CRITIC = "critics.deterministic"
METHODS = {
    "TD3": Arm(("gin/td3.gin",)),
    "Sobolev": Arm(("gin/huber_cvae.gin",)),
    "Sobolev without gradients": Arm(("gin/huber_cvae.gin",), ("agent.gradient = 'none'",)),
}
NORMALIZED, QUADRATIC = f"{CRITIC}.layer_norm = False", f"{CRITIC}.quadratic = False"
DIFFERENCES: dict[str, tuple[str, ...]] = {
    "without normalized layers": (NORMALIZED,),
    "without quadratic": (QUADRATIC,),
    "plain critics": (NORMALIZED, QUADRATIC),
    "without delay, smoothing": ("agent.policy_delay = 1", "agent.target_noise = 0.0"),
    "mean of the critics": ("agent.overestimation = 'none'",),
    "actor's rate 1e-3": ("actor/optimizers.radam.learning_rate = 1e-3",),
    "exploration 0.1": ("actors.deterministic.exploration_noise = 0.1",),
    "exploration 0.3": ("actors.deterministic.exploration_noise = 0.3",),
    "without restarts": ("train.restart_after = None",),
    "one environment, without restarts": ("train.restart_after = None", "train.num_envs = 1"),
    "one update a step": ("train.updates_per_step = 1.0",),
    "four updates a step": ("train.updates_per_step = 4.0",),
    "ten updates a step": ("train.updates_per_step = 10.0",),
}
# The differences that are some on tasks of Gymnasium, and on the tasks that run on the device.
_ALIKE = (
    "without normalized layers",
    "without quadratic",
    "plain critics",
    "without delay, smoothing",
    "mean of the critics",
    "actor's rate 1e-3",
    "one update a step",
)
_RESTARTS = ("without restarts", "one environment, without restarts")
ON_HOST = (*_ALIKE, *_RESTARTS, "exploration 0.1", "ten updates a step")
ON_DEVICE = (*_ALIKE, "exploration 0.3", "four updates a step")


class Task(NamedTuple):
    """A task: what it adds to the files of a method, and the differences that make sense on it."""

    files: tuple[str, ...]
    differences: tuple[str, ...]


TASKS = {
    "halfcheetah_v5": Task(("gin/envs/halfcheetah_v5.gin",), ON_HOST),
    "hopper_v5": Task(("gin/envs/hopper_v5.gin",), ON_HOST),
    "walker2d_v5": Task(("gin/envs/walker2d_v5.gin",), ON_HOST),
    "point_mass": Task((), ON_DEVICE),
    "lqr": Task(("gin/envs/lqr.gin",), ON_DEVICE),
}
HEADER = (
    "",
    "final return: interquartile mean",
    "each seed",
    "best of the run",
    "lost of it at the end",
    "largest loss",
    "mean at a quarter",
    "mean at half",
)


def arms_of(task: str) -> dict[str, Arm]:
    """All arms of a task, by name: the methods, and each of them with one difference."""
    files, differences = TASKS[task]
    methods = {name: Arm((*method.files, *files), method.bindings) for name, method in METHODS.items()}
    return methods | {
        f"{name}, {difference}": Arm(method.files, (*method.bindings, *DIFFERENCES[difference]))
        for name, method in methods.items()
        for difference in differences
    }


def largest_losses(curve: Curve) -> np.ndarray:
    """By seed, how far an evaluation falls below the best one before it, as a share of that, at the most.

    Evaluations count from the first that reaches half of the run's best: those of a policy that has learned nothing
    rise and fall about 0.
    """
    learned = curve.values >= 0.5 * curve.values.max(axis=1, keepdims=True)
    counts = np.logical_or.accumulate(learned, axis=1)
    so_far = np.maximum.accumulate(np.where(counts, curve.values, -np.inf), axis=1)
    return np.max(np.where(counts, 1.0 - curve.values / so_far, 0.0), axis=1)


def row_of(arm: str, curve: Curve) -> tuple[str, ...]:
    """The cells of one arm; the final return is the mean of the last three evaluations."""
    finals, best = final_returns(curve), curve.values.max(axis=1)
    mean = f"{interquartile_mean(finals):.4g}"
    if len(finals) > 2:
        low, high = bootstrap_interval([finals])
        mean += f" ({low:.4g} to {high:.4g})"
    quarter, half = (curve.values[:, int(share * (curve.values.shape[1] - 1))].mean() for share in (0.25, 0.5))
    return (
        arm,
        mean,
        ", ".join(f"{value:.4g}" for value in finals),
        ", ".join(f"{value:.4g}" for value in best),
        ", ".join(f"{loss:.0%}" for loss in 1.0 - curve.values[:, -1] / best),
        ", ".join(f"{loss:.0%}" for loss in largest_losses(curve)),
        f"{quarter:.4g}",
        f"{half:.4g}",
    )


def report(task: str, curves: dict[str, Curve]) -> str:
    """The page."""
    steps = next(iter(curves.values())).env_steps[-1]
    return page(
        f"{task}: the base, one difference at a time",
        command("base"),
        f"{steps} environment steps. A final return is the mean of the last three evaluations of a seed, the interval\n"
        "a 95% bootstrap over seeds. What is lost at the end is the way from the best to the last evaluation. The\n"
        "largest loss is that of an evaluation against the best one before it, from the first on that reaches half of\n"
        "the best of the run. The means over seeds are those a quarter and half of the way through the evaluations.",
        table(HEADER, [row_of(arm, curve) for arm, curve in curves.items()]),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("base", __doc__)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--name", help="of the files in docs/results; default: base_<task>")
    parser.add_argument("--arm", action="append", help="of the table; default: the methods, and all of TD3")
    add_seeds(parser)
    add_seeds_at_once(parser)
    return parser


def main() -> None:
    """Trains what is missing, then writes data, picture and page."""
    parser = make_parser()
    options = parser.parse_args()
    known = arms_of(options.task)
    wanted = options.arm or [*METHODS, *(name for name in known if name.startswith("TD3,"))]
    for name in wanted:
        if name not in known:
            parser.error(f"--arm: {unknown_name('arm', name, known)}")
    arms = {name: known[name] for name in wanted}
    name = options.name or f"base_{options.task}"
    curves = learn_missing(name, arms, options.seeds, seeds_at_once=options.seeds_at_once)
    title = f"{options.task}: mean over {len(options.seeds)} seeds, 95% bootstrap interval"
    # Of more curves than five, those of the methods: more cannot be told apart.
    drawn = curves if len(curves) <= 5 else {arm: curve for arm, curve in curves.items() if arm in METHODS}
    draw_curves(drawn, {}, RESULTS / f"{name}.png", title)
    text = report(options.task, curves)
    write_text(RESULTS / f"{name}.md", text)
    print(text)


if __name__ == "__main__":
    main()
