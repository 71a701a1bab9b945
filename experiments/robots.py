"""Do gradients, and distributions, pay on simulated robots? Steps to the return of the best critic without gradients.

    python -m experiments.robots --task=halfcheetah_v5 --seeds=200-209
    python -m experiments.robots --task=hand_reach --arm=TD3 --arm=Sobolev --seeds=200-204
    python -m experiments.robots --task=halfcheetah_v5 --seeds=0-4 '--arm=Sobolev, share 3'

Gymnasium's tasks on MuJoCo, two of them under the multiplicative observation noise too and one with evaluations more
often; two coupled cheetahs with 12 actions, and hands with 20 and 28 (pip install --no-deps gymnasium-robotics
pettingzoo) and 39 (experiments/lib/muscles.py). All methods have the base, the networks and the four updates a step of
gin/envs/gymnasium.gin, and at most 10 000 environment steps. An arm is a method, or a
method with differences. Each call trains what docs/results/robots_<task>.csv does not hold of the arms and seeds that
its arguments name; page and picture, robots_<task>.md and .png, are of all arms in the file, at those seeds.
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
from experiments.lib.pages import command_of_rows, page, table
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
TASKS = {
    "halfcheetah_v5": Arm(("gin/envs/halfcheetah_v5.gin",)),
    "hopper_v5": Arm(("gin/envs/hopper_v5.gin",)),
    "walker2d_v5": Arm(("gin/envs/walker2d_v5.gin",)),
    "pusher_v5": Arm(("gin/envs/pusher_v5.gin",)),
    "coupled_cheetahs": Arm(
        (GYMNASIUM,), (f"{ENV_ID} = 'experiments.lib.robotics:CoupledHalfCheetah-v0'", "train.eval_every = 500")
    ),
    "hand_reach": Arm((GYMNASIUM,), (f"{ENV_ID} = 'experiments.lib.robotics:HandReachDense-v3'", FLAT)),
    "hand_door": Arm((GYMNASIUM,), (f"{ENV_ID} = 'experiments.lib.robotics:AdroitHandDoor-v1'", FLAT)),
    "myo_hand_pose": Arm((GYMNASIUM,), (f"{ENV_ID} = 'experiments.lib.muscles:myoHandPoseFixed-v0'",)),
    "halfcheetah_v5_often": Arm(("gin/envs/halfcheetah_v5.gin",), ("train.eval_every = 200",)),
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
VERDICTS = {
    "halfcheetah_v5": """\
- **Without the critics' quadratic term** (`gin/point_sobolev.gin`: share 3, one to four transitions, no quadratic) the
  method makes 5 786 (5 008 to 6 189) after 10 000 steps, above TD3 by 2 335 (1 100 to 3 355) on nine seeds of ten, and
  above TD3 without the term by 2 852 (2 146 to 3 729) on five of five. After 5 000 it is above TD3 by 1 948 (1 519 to
  2 357), ten of ten. 80% of the way to TD3's final return takes 3 000 (3 000 to 3 000) steps instead of 5 000 (4 000 to
  7 000), half of it 3 000 (2 000 to 3 000) instead of 4 000 (3 000 to 4 000); with evaluations 200 steps apart 2 400
  instead of 4 800, and 2 200 instead of 2 600 ([halfcheetah_v5_often](robots_halfcheetah_v5_often.md)).
- It is above itself with the term by 647 (111 to 1 246) after 5 000, seven of ten, and by 1 279 (1 039 to 1 504) after
  10 000, five of five; after 8 000 these five tell no difference. Single seeds fall on the way and come back: 203 to
  1 021 after 7 000, back at the next evaluation; 201 to 1 493 and -112 after 5 000 and 6 000, back after 8 000; 208 to
  1 203 and 2 107 after 8 000 and 9 000, at 4 594 after 10 000.
- Gradients add 1 441 (676 to 2 053) after 5 000 steps to value expansion with the same horizon, model and critics, four
  of five; with the term they added 508 (-307 to 1 265), and five seeds do not tell the two apart. Leaving the term out
  of TD3 makes 328 (61 to 715) after 5 000 steps and 55 (-438 to 520) after 10 000.
- **Without the term gradients need no horizon to lead.** With targets of one transition the method makes 4 876 (4 522
  to 5 724) after 10 000 steps, and no evaluation falls far: gradients add 1 119 (913 to 1 457) after 5 000 steps to TD3
  without the term and 2 056 (1 385 to 2 944) after 10 000, five of five. One to four transitions add 713 (-327 to
  1 639) more after 5 000, nothing to be told after 8 000, and 796 (335 to 1 257) after 10 000, five of five.
- MAGE, cut after 5 000 steps, is above TD3 by 655 (-110 to 1 220) there, and `gin/point_sobolev.gin` above MAGE by
  1 505 (513 to 2 762), four of five each.
- The term was left out on a hand ([hand_reach](robots_hand_reach.md)), before this arm was run.
- A share of 3, chosen on the chain of masses, makes the gradients of the point critic worth 1 137 (413 to 1 914)
  against TD3 after 10 000 steps; at the default of 0.3 nothing is to be seen (194, -553 to 1 001).
- Targets of one to four transitions lead early: 1 301 (740 to 1 865) above TD3 after 5 000 steps at a share of 3, nine
  of ten seeds, 750 (151 to 1 221) at 0.3. On the five seeds that went on the lead is kept: 1 629 (548 to 3 006) after
  10 000. On all ten, 80% of the way to TD3's final return takes 3 000 (3 000 to 4 000) steps instead of 5 000 (4 000 to
  7 000), half of it 3 000 (2 000 to 4 000) instead of 4 000 (3 000 to 4 000); evaluations are 1 000 apart.
- With the quadratic term much of that early lead is the horizon's own. The same targets without gradients, value
  expansion through the same model, are 907 (118 to 1 661) above TD3 after 5 000 steps on seeds 200 to 204; gradients at
  a share of 3 add 508 (-307 to 1 265) on these, which five seeds do not tell from nothing. Value expansion was not run
  for longer.
- MMD-Sobolev, cut after 6 000 steps, is above TD3 by 416 (-542 to 1 292) at a share of 0.3 and above the point critic
  with that share. So the distributional critic no longer lags on this base. On a GPU that other
  programs shared it took about twice the point critic's time.
- TD3, point and Sobolev are the runs of [halfcheetah_v5](halfcheetah_v5.md). Sobolev and point were run once more
  beside the others, and cut: after 7 000 steps they had 2 744 (2 065 to 3 649) and 2 376 (1 643 to 3 137), a difference
  of 503 (-15 to 1 021), seven of ten seeds above 0; point had 2 716 (1 950 to 3 574) after 9 000, 1 054 (17 to 2 170)
  below a share of 3. So at 0.3 gradients may add a little, and two runs of an arm differ by several hundred.
- Of the arm with share and horizon, seeds 200 to 204 were trained on a CPU; the same on a GPU, cut after 5 000 steps,
  had 2 175, 4 371, 4 022, 4 439 and 4 755, where the table's runs had 3 483, 3 604, 4 891, 3 971 and 4 261. Rounding
  makes two runs of a seed different ones.
- A separable reward, which takes 44% off the steps on 16 masses, does nothing here that five seeds can tell: -307
  (-1 694 to 1 137) after 5 000 steps against the same without. The network learns the reward's slopes in the action
  by itself, to a cosine of 0.80 after the warm-up. What it does not learn are the step's derivatives in the state: 0.45
  (0.29 to 0.58) after the warm-up and 0.58 after 2 800 transitions ([robots_model](robots_model.md)). So what a target
  carries on beyond one step is the weaker part here, which may be why gradients do less than on the masses.
- The critics' slopes could not be judged: of the simulator's own return, over 15 rewards, differences of 0.2 and of 0.1
  in the action agree by a cosine of 0.31 (0.10 to 0.51) (`agents/slopes.py`, one seed after 3 000 steps).
- TD3 of seeds 200 to 204 once more, on a CPU: 2 964 (1 572 to 4 951) after 10 000 steps, where the GPU's run of the
  same seeds has 3 285.
- Not run: MMD without gradients, MSMMD, and distributional critics without the term. [With
  noise](robots_halfcheetah_v5_noisy.md).""",
    "halfcheetah_v5_often": """\
- HalfCheetah-v5 with an evaluation every 200 steps, to see more exactly when a curve first reaches a share of the way;
  fresh runs of the seeds of [halfcheetah_v5](robots_halfcheetah_v5.md). Point critics with gradients and without a
  quadratic term (`gin/point_sobolev.gin`), cut after 3 000 steps, take 2 400 (2 200 to 3 000) to 80% of TD3's way
  instead of 4 800 (2 600 to 6 400), half as many, and 2 200 (1 800 to 2 600) to half of it instead of 2 600 (2 000 to
  4 200), of which the first 1 000 are uniform in both.
- The more often one evaluates a curve that goes up and down, the earlier it is first seen at a level; so these steps
  are fewer than with evaluations 1 000 apart.""",
    "halfcheetah_v5_noisy": """\
- Each observed number is multiplied by its own factor, uniform in 0.8 to 1.2 and drawn anew at each step. After 10 000
  steps TD3 has 1 597, half of its 3 285 on the same seeds without noise.
- **`gin/point_sobolev.gin` leads under noise too.** Cut after 5 000 steps, it is above TD3 by 868 (166 to 1 622) there,
  four of five seeds. In the median of five seeds, whose intervals overlap, it takes 3 000 (2 000 to more than 5 000)
  steps to half and to 80% of TD3's way instead of 5 000 (3 000 to 7 000) and 6 000 (4 000 to more than 10 000). Seeds
  200 and 204 stay below 1 000 with either.
- **Targets of one transition do as well, and on every seed**: at a share of 3 without the quadratic term 2 386 (2 035
  to 2 589) after 10 000 steps, above TD3 by 768 (124 to 1 411), four of five; 3 000 (2 000 to 4 000) steps to half of
  TD3's way and 4 000 (3 000 to 6 000) to 80%.
- The distribution adds nothing here: MMD with the same share, one transition and no quadratic term, cut after 4 000
  steps, is above TD3 by 318 (74 to 653), five of five, and below the point critic with the same by 307 (-318 to 933);
  five seeds tell no difference. MMD learns both gradients, the point critic that of the action. It takes 13 minutes for
  1 000 steps of five seeds on one core, the point critic 2.
- Not run: values alone, MAGE and MSMMD.""",
    "coupled_cheetahs": """\
- Two half cheetahs on one elastic tendon, 12 actions; the reward is the mean of theirs, as MaMuJoCo has it
  (gymnasium-robotics; here one policy has all actions). A robot that does nothing has 0, one that moves at random -290.
  TD3 does not learn it in 10 000 steps, with the critics' quadratic term or without: seed 203 has 326 to 476 from 6 000
  to 7 500 steps, and loses it.
- **Only the arm with gradients learns it** (`gin/point_sobolev.gin`): 1 264 (503 to 1 819) after 10 000 steps, above
  TD3 by 1 269 (795 to 1 649), five of five, and above value expansion with the same horizon, model and critics by 1 304
  (701 to 1 809), five of five. The learning is uneven: the mean falls from 798 after 7 000 steps to 328 after 8 000,
  and comes back; seed 202 ends at 248 only. Nothing was chosen here, and no other task of the kind was tried.
- TD3 ends below its first evaluation (-44), so that there is no way of which a share could be taken.
- Not run: MAGE and the distributional critics.""",
    "hand_reach": """\
- A hand of 20 actions that is to bring its five finger tips to places. The return is minus the sum of distances. A hand
  that does nothing has about -5.7, one that moves at random -6.3. TD3 learns it: -1.0 to -1.1 on every seed.
- **With gradients it takes fewer steps, and ends at the same return** (share 3, one to four transitions, no quadratic):
  80% of the way in 3 000 steps instead of 4 000, on every seed; above TD3 by 0.82 (0.54 to 1.13) after 5 000, the mean
  of the last three evaluations there (from the data: the tables below are of the ends of runs), five of five; and -1.1
  (-1.1 to -1.0) after 10 000, as TD3. Values alone with this horizon were not run. Evaluations are 1 000 steps apart
  and the first 1 000 steps are uniform, so that the steps to half of the way, 2 000, are not told apart.
- **The critics' quadratic term makes large gradients run away here.** At a share of 3 with targets of one to four
  transitions the critics' mean is -10 013 and -12 125 on the first two seeds after 2 000 steps, where returns are about
  -5; the policy gets worse. Without this term it is -1.9 and -0.7 on seeds 0 and 1, too high as TD3's is, and does not
  run away: see [the appendix](../appendix.md#2026-11-27-the-quadratic-term-on-a-hand-with-20-actions), with what else
  was tried. The term was left out on seeds 0 and 1.
- For TD3 neither the penalty on the actor's outputs, 1 instead of 0.01, nor leaving the term out changes anything at
  the end.
- Not run: values alone, MAGE and the distributional critics.""",
    "hand_door": """\
- A hand of 28 actions on a door. TD3 does not learn it in 10 000 steps: two seeds open the door at one evaluation each,
  after 2 000 and 3 000 steps. Steps to a share of TD3's way say nothing here. Nothing else was run.""",
    "myo_hand_pose": """\
- A hand moved by 39 muscles (myosuite 2.8.5) that is to take a fixed pose. TD3 (with a penalty of 1) does not learn
  it in the 8 000 steps that it was run for: a hand that is at rest, all muscles slack, has -181, muscles at random
  -344. SAC, two seeds, had -312 and -254 after 4 000 steps. Steps to a share of TD3's way say nothing here. Nothing
  else was run.""",
    "hopper_v5": """\
- Three actions, an alive bonus and falls. After 4 000 steps, where the arm with gradients was cut, it and TD3 are equal
  as far as five seeds tell, and both go up and down: the best seed, 1 014 after 3 000 steps, has 46 after 4 000.
- The base that serves HalfCheetah is unstable here with and without gradients: TD3's seeds end at 5 to 1 048 after
  10 000 steps.
- Not run: values alone, MAGE, the distributional critics, and the noisy task.""",
    "walker2d_v5": """\
- Six actions, an alive bonus and falls. After 4 000 steps, where the arm with gradients was cut, five seeds tell no
  difference to TD3. TD3 itself stands still from 4 000 steps on: its seeds end at 85 to 353 after 10 000.
- Not run: values alone, MAGE and the distributional critics.""",
    "pusher_v5": """\
- Seven actions, contacts, and a reward that a few hundred transitions seem to tell: all arms are equal from 4 000 steps
  on, and gradients neither help nor harm.
- Not run: values alone, MAGE and the distributional critics.""",
}


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
    text = page(title, command_of_rows("robots"), INTRODUCTION, VERDICTS.get(task, ""), picture, *blocks)
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
