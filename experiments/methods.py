"""Does every method learn? Each gin file of a method on the point mass with one place, several seeds in one program.

    python -m experiments.methods                       # all methods
    python -m experiments.methods --methods=td3,sac     # some

Each method has the sizes of gin/base.gin, with what gin/envs/point_mass.gin sets. It writes docs/results/methods.csv
(all curves), methods_speed.csv and methods.md, the table of all methods that the .csv holds; a method that it holds is
not trained again, whatever its seeds.
"""

import argparse
import statistics
from collections.abc import Mapping
from typing import NamedTuple

import jax

from experiments.lib.arguments import add_seeds, add_seeds_at_once, base_parser
from experiments.lib.learning import RETURN, Arm, Columns, learn_missing, read_curves
from experiments.lib.pages import page, table
from experiments.lib.results import RESULTS, ROOT, Results
from experiments.point_mass import best_returns
from sobolev.training import Curve, Run
from sobolev.training.logs import curve_of, write_text

STEPS, EVERY, EPISODES = 4_000, 500, 64
COLUMNS = Columns(arm="method", value="return")


class Method(NamedTuple):
    """A method."""

    method: str


class Speed(NamedTuple):
    """Of all seeds together, compilation included in the seconds."""

    seconds: float
    updates_per_second: float


def method_names() -> list[str]:
    """The gin files that are methods."""
    return sorted(path.stem for path in (ROOT / "gin").glob("*.gin") if path.stem != "base")


def arm_of(method: str) -> Arm:
    """A method on the point mass with one place, of a length of its own where it has many environments."""
    length = () if method == "dsdpg_2024" else (f"train.total_steps = {STEPS}", f"train.eval_every = {EVERY}")
    numbers = ("environments.point_mass.num_locations = 1", f"train.eval_episodes = {EPISODES}")
    return Arm((f"gin/{method}.gin", "gin/envs/point_mass.gin"), (*numbers, *length))


def speed_of(run: Run, seconds: float) -> Speed:
    """The median over the evaluations."""
    updates = run.curve("train/updates_per_second").values[:, 1:].sum(axis=0)  # the first row comes before learning
    return Speed(round(seconds, 1), round(statistics.median(updates.tolist()), 1))


def row_of(method: str, curve: Curve, speed: Speed, best: float) -> tuple[object, ...]:
    """The cells of one method."""
    final = curve.values[:, -1]
    return (
        method,
        curve.env_steps[-1],
        ", ".join(f"{x:.1f}" for x in final),
        f"{min(final) / best:.0%}",
        f"{sum(x >= 0.9 * best for x in final)} of {len(final)}",
        f"{speed.seconds:.0f}",
        f"{speed.updates_per_second:.0f}",
    )


def report(curves: Mapping[str, Curve], speeds: Mapping[Method, Speed], best: float) -> str:
    """The page."""
    seeds = " or ".join(map(str, sorted({len(curve.values) for curve in curves.values()})))
    header = ("method", "environment steps", "returns", "least share of the best", "within 10%", "seconds", "updates/s")
    return page(
        "Every method on the point mass with N = 1",
        "`python -m experiments.methods`",
        f"Best mean return: {best:.2f} (`python -m experiments.point_mass --num_locations=1`). Return: the last\n"
        f"evaluation of each of {seeds} seeds, {EPISODES} episodes each. Seconds and updates per second are of all "
        "seeds\ntogether, in one program, compilation included in the former.",
        table(header, [row_of(name, curve, speeds[Method(name)], best) for name, curve in sorted(curves.items())]),
    )


def read_methods() -> dict[str, Curve]:
    """The curves of all methods that the .csv holds, of whatever seeds."""
    rows = read_curves(RESULTS / "methods.csv", COLUMNS)
    return {name: curve_of(of_name, RETURN) for name, of_name in rows.items()}


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("methods", __doc__)
    parser.add_argument("--methods", default=",".join(method_names()), help="default: all")
    add_seeds(parser, "0-2")
    add_seeds_at_once(parser)
    return parser


def main() -> None:
    """Trains what is missing, then writes data and page."""
    options = make_parser().parse_args()
    speeds = Results(RESULTS / "methods_speed.csv", Method, Speed)

    def keep(method: str, run: Run, seconds: float) -> None:
        speeds.add({Method(method): speed_of(run, seconds)})
        jax.clear_caches()  # of a method's programs none serves another

    known = read_methods()
    arms = {method: arm_of(method) for method in options.methods.split(",") if method not in known}
    learn_missing("methods", arms, options.seeds, COLUMNS, options.seeds_at_once, keep)
    best = float(best_returns(num_locations=1).mean())
    text = report(read_methods(), speeds.rows, best)
    write_text(RESULTS / "methods.md", text)
    print(text)


if __name__ == "__main__":
    main()
