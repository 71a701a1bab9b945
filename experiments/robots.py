"""Do gradients, and distributions, pay on simulated robots? Steps to the return of the best critic without gradients.

    python -m experiments.robots --task=halfcheetah_v5 --seeds=200-209
    python -m experiments.robots --task=hand_reach --arm=TD3 --arm=Sobolev --seeds=200-204
    python -m experiments.robots --task=halfcheetah_v5 --seeds=0-4 '--arm=Sobolev, share 3'

Gymnasium's tasks on MuJoCo, two of them under the multiplicative observation noise too; two coupled cheetahs with 12
actions, and hands with 20 and 28 (pip install --no-deps gymnasium-robotics pettingzoo) and 39
(experiments/lib/muscles.py). Where a task is "often", evaluations are 200 steps apart. All methods have the base, the
networks and the four updates a step of gin/envs/gymnasium.gin, and at most 10 000 environment steps. An arm is a
method, or a method with differences. Each call trains what docs/results/robots_<task>.csv does not hold of the arms and
seeds that its arguments name; page and picture, robots_<task>.md and .png, are of all arms in the file, at those seeds.
"""

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.lib.arguments import add_seeds, add_seeds_at_once, base_parser
from experiments.lib.bindings import FOUR, MIXED, SEPARABLE
from experiments.lib.comparison import difference_of_finals, final_returns, first_crossings, median_with_interval
from experiments.lib.learning import RETURN, Arm, Columns, learn_missing, read_curves
from experiments.lib.pages import command_of_rows, page, table, verdict
from experiments.lib.pictures import draw_curves
from experiments.lib.results import RESULTS
from sobolev.registry import unknown_name
from sobolev.training import Curve
from sobolev.training.logs import curve_of, write_text
from sobolev.training.rows import Row
from sobolev.training.statistics import bootstrap_interval, interquartile_mean

WITHOUT = ("agent.gradient = 'none'",)


class Method(NamedTuple):
    """A method: its configuration, and whether its critic learns gradients."""

    arm: Arm
    gradients: bool


METHODS = {
    "TD3": Method(Arm(("gin/td3.gin",)), False),
    "point": Method(Arm(("gin/huber_cvae.gin",), WITHOUT), False),
    "MMD": Method(Arm(("gin/mmd_cvae.gin",), WITHOUT), False),
    "MSMMD": Method(Arm(("gin/msmmd_cvae.gin",), WITHOUT), False),
    "MAGE": Method(Arm(("gin/huber_mage.gin",)), True),
    "Sobolev": Method(Arm(("gin/huber_cvae.gin",)), True),
    "MMD-Sobolev": Method(Arm(("gin/mmd_cvae.gin",)), True),
    "MSMMD-Sobolev": Method(Arm(("gin/msmmd_cvae.gin",)), True),
}
DIFFERENCES = {
    "share 1": ("gradient_scales.balanced.share = 1.0",),
    "share 3": ("gradient_scales.balanced.share = 3.0",),
    "both gradients": ("agent.gradient = 'state_action'",),
    "action gradient": ("agent.gradient = 'action'",),
    "separable reward": SEPARABLE,
    "no quadratic": ("quadratic = False",),
    "penalty 1": ("actors.deterministic.penalty = 1.0",),
    "delayed": ("agent.policy_delay = 2", "agent.target_noise = 0.2"),
    "four transitions": FOUR,
    "one to four": MIXED,
    "one to four replayed": (*MIXED, "horizons.geometric.source = 'replay'", "horizons.geometric.cut = 0.5"),
}
NOISE = "gin/noise/multiplicative_observation.gin"
GYMNASIUM = "gin/envs/gymnasium.gin"
ENV_ID = "environments.gymnasium.id"
FLAT = "environments.gymnasium.flatten = True"
HAND_REACH = (f"{ENV_ID} = 'experiments.lib.robotics:HandReachDense-v3'", FLAT)
OFTEN = "train.eval_every = 200"
TASKS = {
    "halfcheetah_v5": Arm(("gin/envs/halfcheetah_v5.gin",)),
    "hopper_v5": Arm(("gin/envs/hopper_v5.gin",)),
    "walker2d_v5": Arm(("gin/envs/walker2d_v5.gin",)),
    "pusher_v5": Arm(("gin/envs/pusher_v5.gin",)),
    "coupled_cheetahs": Arm(
        (GYMNASIUM,), (f"{ENV_ID} = 'experiments.lib.robotics:CoupledHalfCheetah-v0'", "train.eval_every = 500")
    ),
    "hand_reach": Arm((GYMNASIUM,), HAND_REACH),
    "hand_reach_often": Arm((GYMNASIUM,), (*HAND_REACH, OFTEN)),
    "hand_door": Arm((GYMNASIUM,), (f"{ENV_ID} = 'experiments.lib.robotics:AdroitHandDoor-v1'", FLAT)),
    "myo_hand_pose": Arm((GYMNASIUM,), (f"{ENV_ID} = 'experiments.lib.muscles:myoHandPoseFixed-v0'",)),
    "halfcheetah_v5_often": Arm(("gin/envs/halfcheetah_v5.gin",), (OFTEN,)),
    "halfcheetah_v5_noisy": Arm(("gin/envs/halfcheetah_v5.gin", NOISE)),
    "hopper_v5_noisy": Arm(("gin/envs/hopper_v5.gin", NOISE)),
}
SHARES = (0.5, 0.8)


class OfSeeds(NamedTuple):
    """An arm's curve and its seeds, in ascending order."""

    seeds: list[int]
    curve: Curve


HEADER = (
    "",
    "seeds",
    "final return: interquartile mean",
    "less that of the best without gradients, seed by seed",
    "steps to 50%",
    "steps to 80%",
    "mean at a quarter",
    "mean at half",
)
CROSSINGS = ("", "seeds", "steps made", "steps to 50%", "steps to 80%")
ON_CROSSINGS = """\
Medians over seeds of the first evaluation there, with 95% bootstrap intervals. Where some seeds of an arm were cut, its
curve is as long as all of them."""
INTRODUCTION = """\
A final return is the mean of the last three evaluations of a seed, intervals are 95% bootstraps over seeds, and some
runs are shorter than the 10 000 steps of most. The way is that from the first evaluation, after 1 000 uniform steps, to
the final return of the best arm without gradients, both interquartile means; evaluations are 200, 500 or 1 000 steps
apart, and a median over seeds says when an arm first gets there. Shares of the gradients' error are 0.3 and critics
have a quadratic term unless the name of an arm says otherwise. Some arms were trained on a GPU, others on a CPU."""


def arm_of(task: str, name: str) -> Arm:
    """The configuration of an arm, "METHOD" or "METHOD, DIFFERENCE, …", on a task.

    Raises:
        ValueError: there is no such method or difference.
    """
    method, *differences = name.split(", ")
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    for difference in differences:
        if difference not in DIFFERENCES:
            raise unknown_name("difference", difference, DIFFERENCES)
    of_method, of_task = METHODS[method].arm, TASKS[task]
    more = [binding for difference in differences for binding in DIFFERENCES[difference]]
    return Arm((*of_method.files, *of_task.files), (*of_method.bindings, *of_task.bindings, *more))


def with_gradients(name: str) -> bool:
    """Whether an arm's critic learns gradients."""
    return METHODS[name.partition(", ")[0]].gradients


def strongest(curves: Mapping[str, Curve]) -> str | None:
    """The arm without gradients whose final return has the largest interquartile mean, of those with most seeds."""
    most = max((len(curve.values) for name, curve in curves.items() if not with_gradients(name)), default=0)
    bare = [name for name, curve in curves.items() if not with_gradients(name) and len(curve.values) == most]
    return max(bare, key=lambda name: interquartile_mean(final_returns(curves[name])), default=None)


def row_of(name: str, of: OfSeeds, best: OfSeeds | None) -> tuple[str, ...]:
    """The cells of one arm; ``best`` is the strongest one without gradients."""
    curve = of.curve
    finals = final_returns(curve)
    mean = f"{interquartile_mean(finals):.4g}"
    if len(finals) > 2:
        low, high = bootstrap_interval([finals])
        mean += f" ({low:.4g} to {high:.4g})"
    crossings = [steps_to(curve, best.curve, share) for share in SHARES] if best else [""] * len(SHARES)
    quarter, half = (curve.values[:, int(share * (curve.values.shape[1] - 1))].mean() for share in (0.25, 0.5))
    difference = "" if best is None or best is of else difference_at_common_seeds(of, best)
    return name, str(len(finals)), mean, difference, *crossings, f"{quarter:.4g}", f"{half:.4g}"


def difference_at_common_seeds(of: OfSeeds, other: OfSeeds) -> str:
    """The difference of the final returns over the seeds that both have."""
    common = sorted(set(of.seeds) & set(other.seeds))
    curves = (
        part.curve._replace(values=part.curve.values[[part.seeds.index(seed) for seed in common]])
        for part in (of, other)
    )
    return difference_of_finals(*curves)


def way_of(best: Curve) -> tuple[float, float]:
    """The best arm's first evaluation, and the way from there to its final return; interquartile means."""
    untrained = float(interquartile_mean(best.values[:, 0]))
    return untrained, float(interquartile_mean(final_returns(best))) - untrained


def steps_to(curve: Curve, best: Curve, share: float) -> str:
    """The median over seeds of the steps to this share of the best arm's way; empty where that leads nowhere."""
    untrained, way = way_of(best)
    if way <= 0:
        return ""
    middle = float(np.quantile(first_crossings(curve, untrained + share * way), 0.5, method="inverted_cdf"))
    return f"{middle:.0f}" if math.isfinite(middle) else f"> {curve.env_steps[-1]}"


def crossings_of(of_arms: Mapping[str, OfSeeds], best: Curve) -> list[tuple[str, ...]]:
    """By arm, the medians over seeds of the steps to shares of the best arm's way; none where that leads nowhere."""
    untrained, way = way_of(best)
    if way <= 0:
        return []
    rows = []
    for name, (seeds, curve) in of_arms.items():
        last = int(curve.env_steps[-1])
        steps = (np.array(first_crossings(curve, untrained + share * way)) for share in SHARES)
        rows.append((name, str(len(seeds)), str(last), *(median_with_interval(of, last) for of in steps)))
    return rows


def order(name: str) -> tuple[int, str]:
    """The place of an arm in table and picture."""
    method, _, differences = name.partition(", ")
    return list(METHODS).index(method), differences


def curves_to(last: int, rows: Mapping[str, Sequence[Row]], seeds: Sequence[int]) -> dict[str, OfSeeds]:
    """By arm, the curves as far as a number of steps, of those seeds that come so far; three of them at least."""
    found = {}
    for arm in sorted(rows, key=order):
        there = sorted({int(row["seed"]) for row in rows[arm] if row["env_steps"] == last and row["seed"] in seeds})
        if len(there) > 2:
            until = [row for row in rows[arm] if row["seed"] in there and row["env_steps"] <= last]
            found[arm] = OfSeeds(there, curve_of(until, RETURN))
    return found


def widest(ends: Iterable[int], rows: Mapping[str, Sequence[Row]], seeds: Sequence[int]) -> dict[str, OfSeeds]:
    """By arm, the curves of most seeds, as far as all of these come."""
    found: dict[str, OfSeeds] = {}
    for last in sorted(ends, reverse=True):
        for arm, of in curves_to(last, rows, seeds).items():
            if arm not in found or len(of.seeds) > len(found[arm].seeds):
                found[arm] = of
    return dict(sorted(found.items(), key=lambda item: order(item[0])))


def write(task: str, seeds: Sequence[int]) -> None:
    """Page and picture of all arms that have some of these seeds; a table for each length of the runs."""
    name = f"robots_{task}"
    rows = read_curves(RESULTS / f"{name}.csv", Columns())
    ends = {int(max(row["env_steps"] for row in rows[arm] if row["seed"] == seed)) for arm, seed in _runs(rows, seeds)}
    longest = curves_to(max(ends), rows, seeds)
    strong, crossings, blocks = strongest({arm: of.curve for arm, of in longest.items()}), [], []
    if strong:
        crossings = crossings_of(widest(ends, rows, seeds), longest[strong].curve)
    if crossings:
        blocks += [f"## Steps to shares of the way to {strong} after {max(ends)} steps", ON_CROSSINGS]
        blocks += [table(CROSSINGS, crossings)]
    for last in sorted(ends, reverse=True):
        of_arms = curves_to(last, rows, seeds)
        best = strongest({arm: of.curve for arm, of in of_arms.items()})
        against = of_arms[best] if best else None
        blocks += [f"## After {last} steps", f"The best arm without gradients is {best}." if best else ""]
        blocks += [table(HEADER, [row_of(arm, of, against) for arm, of in of_arms.items()])]
    title = f"{task}: gradients and distributions on a simulated robot"
    picture = f"![Return against environment steps]({name}.png)"
    text = page(title, command_of_rows("robots"), INTRODUCTION, verdict(name), picture, *blocks)
    write_text(RESULTS / f"{name}.md", text)
    # Of more curves than five, those that come to the end: more cannot be told apart.
    every = widest(ends, rows, seeds) | longest
    curves = {arm: of.curve for arm, of in (every if len(every) <= 5 else longest).items()}
    draw_curves(curves, {}, RESULTS / f"{name}.png", f"{task}: mean over seeds, 95% bootstrap interval")
    print(text)


def _runs(rows: Mapping[str, Sequence[Row]], seeds: Sequence[int]) -> set[tuple[str, int]]:
    return {(arm, int(row["seed"])) for arm in rows for row in rows[arm] if row["seed"] in seeds}


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("robots", __doc__)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--arm", action="append", help="METHOD or 'METHOD, DIFFERENCE, …'; default: every method")
    add_seeds(parser)
    add_seeds_at_once(parser)
    return parser


def main() -> None:
    """Trains what is missing, then writes data, picture and page."""
    parser = make_parser()
    options = parser.parse_args()
    try:
        arms = {name: arm_of(options.task, name) for name in options.arm or METHODS}
    except ValueError as error:
        parser.error(f"--arm: {error}")
    learn_missing(f"robots_{options.task}", arms, options.seeds, seeds_at_once=options.seeds_at_once)
    write(options.task, options.seeds)


if __name__ == "__main__":
    main()
