"""What makes many updates a step usable on real tasks? The base of gin/envs/gymnasium.gin, one difference at a time.

    python -m experiments.base --task=halfcheetah_v5 --seeds=0-2
    python -m experiments.base --task=halfcheetah_v5 --name=halfcheetah_v5 --seeds=100-109 --arm=TD3 --arm=Sobolev

The first arms are TD3 and the deterministic Sobolev critic on the base; the others are TD3 without one part of it, or
with one of a further kind. Every arm trains all its seeds in one program. Written are docs/results/<name>.csv (all
curves), .png and .md; seeds that the .csv holds are not trained again. What chooses a base must not report its returns:
the second command takes other seeds for that, and files of its own.
"""

import argparse

import numpy as np

from experiments.lib.arguments import add_seeds, add_seeds_at_once, base_parser
from experiments.lib.comparison import final_returns
from experiments.lib.learning import Arm, learn_missing
from experiments.lib.pages import command, page, table
from experiments.lib.pictures import draw_curves
from experiments.lib.results import RESULTS
from sobolev.training import Curve
from sobolev.training.logs import write_text
from sobolev.training.statistics import bootstrap_interval, interquartile_mean

TASKS = ("halfcheetah_v5", "hopper_v5", "walker2d_v5")
TD3, SOBOLEV = "gin/td3.gin", "gin/huber_cvae.gin"
CRITIC = "critics.deterministic"
DIFFERENCES: dict[str, tuple[str, ...]] = {
    "without restarts": ("train.restart_after = None",),
    "without restarts, quadratic": ("train.restart_after = None", f"{CRITIC}.quadratic = False"),
    "one environment, without restarts": ("train.restart_after = None", "train.num_envs = 1"),
    "without normalized layers": (f"{CRITIC}.layer_norm = False",),
    "without quadratic": (f"{CRITIC}.quadratic = False",),
    "without delay, smoothing": ("agent.policy_delay = 1", "agent.target_noise = 0.0"),
    "mean of the critics": ("agent.overestimation = 'none'",),
    "actor's rate 1e-3": ("actor/optimizers.radam.learning_rate = 1e-3",),
    "exploration 0.1": ("actors.deterministic.exploration_noise = 0.1",),
    "one update a step": ("train.updates_per_step = 1.0",),
    "ten updates a step": ("train.updates_per_step = 10.0",),
}
HEADER = ("", "final return: interquartile mean", "each seed", "best of the run", "largest loss", "at half time")


def arms_of(task: str) -> dict[str, Arm]:
    """All arms of a task, by name."""
    files = (f"gin/envs/{task}.gin",)
    whole = {
        "TD3": Arm((TD3, *files)),
        "Sobolev": Arm((SOBOLEV, *files)),
        "Sobolev without gradients": Arm((SOBOLEV, *files), ("agent.gradient = 'none'",)),
    }
    return whole | {f"TD3, {name}": Arm((TD3, *files), bindings) for name, bindings in DIFFERENCES.items()}


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
    mean = f"{interquartile_mean(finals):.0f}"
    if len(finals) > 2:
        low, high = bootstrap_interval([finals])
        mean += f" ({low:.0f} to {high:.0f})"
    half = curve.values[:, curve.values.shape[1] // 2]
    return (
        arm,
        mean,
        ", ".join(f"{value:.0f}" for value in finals),
        ", ".join(f"{value:.0f}" for value in best),
        ", ".join(f"{loss:.0%}" for loss in largest_losses(curve)),
        f"{np.mean(half):.0f}",
    )


def report(task: str, curves: dict[str, Curve]) -> str:
    """The page."""
    steps = next(iter(curves.values())).env_steps[-1]
    return page(
        f"{task}: the base, one difference at a time",
        command("base"),
        f"{steps} environment steps. The final return is the mean of the last three evaluations of a seed, each of\n"
        "five episodes; the interval is a 95% bootstrap over seeds. The largest loss is that of an evaluation against\n"
        "the best one before it, from the first on that reaches half of the best of the run.",
        table(HEADER, [row_of(arm, curve) for arm, curve in curves.items()]),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("base", __doc__)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--name", help="of the files in docs/results; default: base_<task>")
    parser.add_argument("--arm", action="append", help="of the table; default: all")
    add_seeds(parser)
    add_seeds_at_once(parser)
    return parser


def main() -> None:
    """Trains what is missing, then writes data, picture and page."""
    options = make_parser().parse_args()
    known = arms_of(options.task)
    arms = {name: known[name] for name in options.arm or known}
    name = options.name or f"base_{options.task}"
    curves = learn_missing(name, arms, options.seeds, seeds_at_once=options.seeds_at_once)
    title = f"{options.task}: mean over {len(options.seeds)} seeds, 95% bootstrap interval"
    draw_curves(curves, {}, RESULTS / f"{name}.png", title)
    text = report(options.task, curves)
    write_text(RESULTS / f"{name}.md", text)
    print(text)


if __name__ == "__main__":
    main()
