"""The default job: how far does it get, and what do its gradients and its distribution add to TD3?

    python -m experiments.default_job --seeds=510-519

gin/msmmd_cvae.gin, the same without gradients, without the critics' quadratic term, with each state's own directions
and under the MMD of whole samples, gin/td3.gin, and the point critic of gin/huber_cvae.gin with the default's two
gradients: as it is, with a share of 3 of their error, and without TD3's delay and smoothing, which the default does not
have either. Each is on the task of gin/base.gin. The gap is that between the untrained policy and the best return
known, which is found by climbing the actions themselves, see experiments/point_mass.py. It writes
docs/results/default_job.csv (all curves), .png and .md; seeds that the .csv holds are not trained again.
"""

import argparse
import statistics
from collections.abc import Iterator

import numpy as np

from experiments.lib.arguments import add_seeds, add_seeds_at_once, base_parser
from experiments.lib.comparison import difference_of_finals, final_returns, first_crossings, mean_interval
from experiments.lib.learning import Arm, learn_missing
from experiments.lib.pages import command, page, table
from experiments.lib.pictures import draw_curves
from experiments.lib.results import RESULTS
from experiments.point_mass import best_returns
from sobolev.training import Curve
from sobolev.training.logs import write_text

NAME = "default_job"
METHOD, POINT = "gin/msmmd_cvae.gin", "gin/huber_cvae.gin"
BOTH, MORE = "agent.gradient = 'state_action'", "gradient_scales.balanced.share = 3.0"
NO_DELAY = ("agent.policy_delay = 1", "agent.target_noise = 0.0")
ARMS = {
    "both gradients (default)": Arm((METHOD,)),
    "without gradients": Arm((METHOD,), ("agent.gradient = 'none'",)),
    "both gradients, no quadratic": Arm((METHOD,), ("quadratic = False",)),
    "both gradients, own directions": Arm((METHOD,), ("metrics.msmmd.cross_fit = False",)),
    "both gradients, MMD": Arm(("gin/mmd_cvae.gin",)),
    "TD3": Arm(("gin/td3.gin",)),
    "point critic, both gradients": Arm((POINT,), (BOTH,)),
    "point critic, both gradients, share 3": Arm((POINT,), (BOTH, MORE)),
    "point critic, both gradients, no delay or smoothing": Arm((POINT,), (BOTH, *NO_DELAY)),
}
DEFAULT = next(iter(ARMS))
PLACES, DIMENSIONS = 4, 4  # of gin/base.gin
MOST = 0.8
HEADER = (
    "",
    "final return: mean (95%)",
    "of the gap",
    f"seeds that close {MOST:.0%}",
    "each seed",
    "steps to half of the gap (median)",
)


def row_of(arm: str, curve: Curve, untrained: float, best: float) -> tuple[str, ...]:
    """The cells of one arm."""
    finals = final_returns(curve)
    shares = (finals - untrained) / (best - untrained)
    mean = f"{finals.mean():.2f}"
    if len(finals) > 2:
        low, high = mean_interval(finals)
        mean += f" ({low:.2f} to {high:.2f})"
    return (
        arm,
        mean,
        f"{shares.mean():.0%}",
        f"{np.sum(shares >= MOST)} of {len(shares)}",
        ", ".join(f"{value:.2f}" for value in finals),
        f"{statistics.median(first_crossings(curve, (untrained + best) / 2)):.0f}",
    )


def differences(curves: dict[str, Curve]) -> Iterator[str]:
    """A line for each arm but the default."""
    for arm, curve in curves.items():
        if arm != DEFAULT:
            yield f"Final return, default less {arm}, seed by seed: {difference_of_finals(curves[DEFAULT], curve)}."


def report(curves: dict[str, Curve], untrained: float, best: float) -> str:
    """The page."""
    steps = next(iter(curves.values())).env_steps[-1]
    return page(
        "The default job",
        command(NAME),
        f"{steps} environment steps. The untrained policy returns {untrained:.2f}, the best known {best:.2f}; the gap\n"
        "is the way from the one to the other. The final return of a seed is the mean of its last three evaluations.",
        table(HEADER, [row_of(arm, curve, untrained, best) for arm, curve in curves.items()]),
        "\n".join(differences(curves)),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser(NAME, __doc__)
    add_seeds(parser)
    add_seeds_at_once(parser)
    return parser


def main() -> None:
    """Trains what is missing, then writes data, picture and page."""
    options = make_parser().parse_args()
    curves = learn_missing(NAME, ARMS, options.seeds, seeds_at_once=options.seeds_at_once)
    untrained = float(np.mean([curve.values[:, 0] for curve in curves.values()]))
    best = float(best_returns(PLACES, DIMENSIONS).mean())
    levels = {"untrained": untrained, f"{MOST:.0%}": untrained + MOST * (best - untrained), "best known": best}
    shown = "95% interval" if len(options.seeds) > 2 else "and each run"
    title = f"point mass in {DIMENSIONS} dimensions: mean over {len(options.seeds)} seeds, {shown}"
    draw_curves(curves, levels, RESULTS / f"{NAME}.png", title)
    text = report(curves, untrained, best)
    write_text(RESULTS / f"{NAME}.md", text)
    print(text)


if __name__ == "__main__":
    main()
