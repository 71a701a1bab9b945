"""What do value gradients add, from 1 to 64 actions? Environment steps to 80% of the way to a known optimum.

    python -m experiments.scaling --family=point --seeds=600-604
    python -m experiments.scaling --actions=16 --control=known --seeds=600-604

A chain of masses on springs with a motor at each (environments.lqr), from one mass to 64. The force falls with the root
of their number, so that the best actions fill the same share of their range, and random ones cost the same, at every
number. The way is that from the untrained policy, at the first evaluation, to the optimal linear policy, played in the
same episodes. Each call trains what docs/results/scaling.csv (all curves) does not hold of the settings that its
arguments name; the table, the fitted exponents and the picture, scaling.md and .png, are of all settings in the file.
scaling_seconds.csv has what learning took, scaling_optima.csv the returns of the optimal policies.
"""

import argparse
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from experiments.lib.arguments import base_parser
from experiments.lib.chain import (
    ACTIONS,
    FAMILIES,
    FORCE,
    LABELS,
    PLAIN,
    WARM_UP,
    Optimum,
    Setting,
    Task,
    add_settings,
    arm_of,
    optimum_of,
    order,
    setting_of,
    wanted,
)
from experiments.lib.comparison import RESAMPLES, first_crossings, median_of, median_with_interval
from experiments.lib.learning import RETURN, Columns, learn_missing, read_curves, write_curves
from experiments.lib.pages import command_of_rows, page, table, verdict
from experiments.lib.pictures import picture
from experiments.lib.results import RESULTS, RUNS, Results
from sobolev.training import Curve, Run
from sobolev.training.logs import curve_of, write_text
from sobolev.training.statistics import bootstrap_interval

NAME = "scaling"
SHARES = (0.5, 0.8)
INTRODUCTION = f"""\
A masses in a row on springs, each with a motor; full state observed, 50 steps of 0.1 s an episode, gamma 0.95, control
cost 0.02. A motor's force at full action is {FORCE:g} N / sqrt(A): the optimal actions are of about 0.4 of their range
at first, and random ones cost the same, at every A. The way is that from the untrained policy (the first evaluation,
after {WARM_UP} steps with uniform actions) to the optimal linear policy, played in the same episodes. Two updates and
one environment step in turn, as in gin/base.gin. Different from it are the warm-up and **the share of the gradients'
error in the loss: 3 instead of 0.3** (gradient_scales.balanced; what 0.3 makes of it is a control below). Both, and the
task's numbers, were chosen on seeds 0 and 1 at A = 16."""
ON_EXPONENTS = """\
p of steps ~ A^p, by least squares to the mean logarithm over seeds; intervals are 95% bootstraps over seeds, the same
draws for all critics, since the first networks and the warm-up of a seed are the same. They are over those numbers of
actions at which every run gets there, three at least. The counting argument: a transition's value is one
equation, its action gradient A more, and a value that is linear in the action near a state has A slopes. So p without
gradients should be larger by about 1, whatever else grows with A."""
ON_SETTINGS = """\
Steps are those of the first evaluation at that share of the way, medians over seeds with 95% bootstrap intervals;
evaluations are 100 steps apart. Closed at the end is the mean over the last three evaluations and seeds, of the way.
Seconds are those of learning, all seeds in one program, on one core of a machine with other work on it: rough. `four
updates`: four updates a step instead of two. `share 0.3`: the default share of the gradients' error. `four
transitions`: targets that look four transitions ahead through the learned model; of values alone, model-based value
expansion. `four inferred`, `four replayed`: the recorded disturbances under the present policy, and the recorded
states and actions, in the place of imagined transitions. `one to four`: each target draws how far it looks, lambda
0.8. `sliced`, `one random direction`: the mean over 128 random directions, and one, in place of the largest slice.
`own directions`: MSMMD without cross-fitting. `known`: the true step as world model."""
SEPARABLE = "separable reward"  # a control of the experiment
LINES = {
    ("none", PLAIN): "#555555",
    ("action", PLAIN): "#1f77b4",
    ("state_action", PLAIN): "#d95f02",
    ("state_action", SEPARABLE): "#2ca02c",
}
"""Those of the picture, by gradient and control, with their colors."""


class Group(NamedTuple):
    """What is the same at every number of actions."""

    family: str
    gradient: str
    noise: str
    control: str


class Timed(NamedTuple):
    """The program of a setting's seeds."""

    arm: str
    first_seed: int
    last_seed: int


class Seconds(NamedTuple):
    """What it took on one core, compilation and evaluations left out."""

    env_steps: int
    learning: float


class Measured(NamedTuple):
    """A setting's numbers.

    Fields:
        curve: of all its seeds.
        best: the optimal policy's return.
        crossings: by share of the way, the first evaluation of each seed there, in environment steps; inf for none.
        closed: the share of the way at the last three evaluations, of each seed.
    """

    curve: Curve
    best: float
    crossings: dict[float, np.ndarray]
    closed: np.ndarray


def measure(curve: Curve, best: float) -> Measured:
    """The numbers of a curve; every seed's way begins at the mean return of the untrained policies."""
    untrained = float(curve.values[:, 0].mean())
    crossings = {share: np.array(first_crossings(curve, untrained + share * (best - untrained))) for share in SHARES}
    closed = (curve.values[:, -3:].mean(axis=1) - untrained) / (best - untrained)
    return Measured(curve, best, crossings, closed)


def slopes_of(by_actions: Mapping[int, np.ndarray]) -> np.ndarray:
    """The exponent p of steps ~ A^p, of the data and then of each resample of seeds, ``[1 + RESAMPLES]``.

    The fit is that of least squares to the mean logarithms over seeds.
    """
    rng, sizes = np.random.default_rng(0), sorted(by_actions)
    x = np.log(sizes) - np.mean(np.log(sizes))
    logs = np.log([by_actions[size] for size in sizes])  # [A, seeds]
    seeds = logs.shape[1]
    # The same draws for every gradient: their seeds share the first networks and the warm-up.
    draws = np.concatenate([np.arange(seeds)[None], rng.integers(seeds, size=(RESAMPLES, seeds))])
    means = logs[:, draws].mean(axis=-1)  # [A, 1 + RESAMPLES]
    return np.asarray(x @ means / (x @ x))


def groups_of(found: Mapping[Setting, Measured]) -> dict[Group, dict[int, Measured]]:
    """The settings by what they share, those of a group by their number of actions."""
    groups: dict[Group, dict[int, Measured]] = {}
    for setting in sorted(found, key=order):
        groups.setdefault(Group(*setting[:4]), {})[setting.actions] = found[setting]
    return groups


HEADER = (
    "noise",
    "family",
    "control",
    "critic learns",
    "A",
    "seeds",
    "steps to 50%",
    "steps to 80%",
    "seeds there",
    "seconds to 80%",
    "closed at the end",
    "return: untrained, end, optimum",
)


def row_of(group: Group, actions: int, measured: Measured, pace: float) -> tuple[object, ...]:
    """The cells of a setting."""
    curve, crossings = measured.curve, measured.crossings
    last, seeds = int(curve.env_steps[-1]), len(curve.values)
    middle, *_ = median_of(crossings[SHARES[-1]])
    low, high = bootstrap_interval([measured.closed], statistic=_mean)
    return (
        group.noise,
        group.family,
        group.control,
        LABELS[group.gradient],
        actions,
        seeds,
        *(median_with_interval(crossings[share], last) for share in SHARES),
        f"{np.isfinite(crossings[SHARES[-1]]).sum()} of {seeds}",
        "" if math.isnan(pace) else f"{middle * pace:.0f}" if math.isfinite(middle) else f"> {last * pace:.0f}",
        f"{measured.closed.mean():.0%} ({low:.0%} to {high:.0%})",
        f"{curve.values[:, 0].mean():.1f}, {curve.values[:, -3:].mean():.1f}, {measured.best:.1f}",
    )


def _mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.mean(axis=0))


def exponents(groups: Mapping[Group, Mapping[int, Measured]]) -> Iterator[tuple[object, ...]]:
    """The exponents of each group, beside those without gradients, where three numbers of actions or more give them."""
    for group, of_group in groups.items():
        # Critics of values alone do not look at the model's derivatives: theirs of the learned model will do.
        others = (group._replace(gradient="none", control=control) for control in (group.control, PLAIN))
        other = next((groups[other] for other in others if other in groups and other != group), {})
        cells: list[str] = []
        for share in SHARES:
            sizes = arrived(of_group, share)
            common = [size for size in arrived(other, share) if size in sizes] if group.gradient != "none" else []
            cells.append(f"{_signed(fit(of_group, sizes, share))}; {_listed(sizes)}" if len(sizes) > 2 else "")
            difference = len(common) > 2 and fit(other, common, share) - fit(of_group, common, share)
            cells.append(f"{_signed(difference)}; {_listed(common)}" if isinstance(difference, np.ndarray) else "")
        if any(cells):
            yield group.noise, group.family, group.control, LABELS[group.gradient], *cells


def arrived(of_group: Mapping[int, Measured], share: float) -> list[int]:
    """The numbers of actions at which every seed comes so far."""
    return [size for size in sorted(of_group) if np.isfinite(of_group[size].crossings[share]).all()]


def fit(of_group: Mapping[int, Measured], sizes: Sequence[int], share: float) -> np.ndarray:
    """The exponent at these numbers of actions, as :func:`slopes_of`."""
    return slopes_of({size: of_group[size].crossings[share] for size in sizes})


def _listed(sizes: Sequence[int]) -> str:
    return "A = " + ", ".join(map(str, sizes))


def _signed(slopes: np.ndarray) -> str:
    low, high = np.quantile(slopes[1:], [0.025, 0.975])
    return f"{slopes[0]:+.2f} ({low:+.2f} to {high:+.2f})"


EXPONENTS = (
    "noise",
    "family",
    "control",
    "critic learns",
    "p, to 50%",
    "p without gradients less this p",
    "p, to 80%",
    "p without gradients less this p",
)


def draw(groups: Mapping[Group, Mapping[int, Measured]]) -> None:
    """Steps to 80% against the number of actions: a panel for each family, without noise."""
    bare = {
        group: of for group, of in groups.items() if group.noise == "none" and (group.gradient, group.control) in LINES
    }
    there = {group.family for group, of_group in bare.items() if len(arrived(of_group, SHARES[-1])) > 2}
    families = [family for family in FAMILIES if family in there]
    if not families:
        return
    with picture(
        RESULTS / f"{NAME}.png", columns=len(families), figsize=(2.6 + 3.8 * len(families), 4.6), sharey=True
    ) as (figure, panels):
        for axes, family in zip(panels, families, strict=True):
            for group, of_group in bare.items():
                if group.family == family:
                    _draw_group(axes, group, of_group)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(ACTIONS, [str(size) for size in ACTIONS])
            axes.set_yticks(_TICKS, [f"{tick:,}".replace(",", " ") for tick in _TICKS])
            axes.minorticks_off()
            axes.set_xlim(0.8, 80)
            axes.grid(alpha=0.3, linewidth=0.6)
            axes.set(xlabel="number of actions A (masses in the chain)", title=f"{family} critic")
        panels[0].set_ylabel("environment steps to 80% of the way")
        panels[0].legend(frameon=False, loc="lower right", title="the critic learns")
        seeds = sorted({len(measured.curve.values) for of in bare.values() for measured in of.values()})
        text = f"median of {' or '.join(map(str, seeds))} seeds, 95% bootstrap interval"
        figure.suptitle(
            f"From the untrained policy to the optimum\n{text}; open triangle: not there by then", fontsize=10
        )


_TICKS = (125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000)


def _draw_group(axes: Any, group: Group, of_group: Mapping[int, Measured]) -> None:
    line = group.gradient, group.control
    sizes, color = sorted(of_group), LINES[line]
    label = LABELS[group.gradient] + (f", {group.control}" if group.control != PLAIN else "")
    x = np.array(sizes) * (1.0 + 0.06 * (list(LINES).index(line) - 1))  # side by side
    lasts = np.array([of_group[size].curve.env_steps[-1] for size in sizes], float)
    numbers = np.array([median_of(of_group[size].crossings[SHARES[-1]]) for size in sizes])
    there = np.isfinite(numbers[:, 0])
    middles, lows, highs = np.minimum(numbers, lasts[:, None]).T
    axes.plot(x[there], middles[there], "o-", color=color, linewidth=1.4, markersize=5, label=label)
    axes.plot(x[~there], middles[~there], "^", color=color, markerfacecolor="white", markersize=8)
    axes.vlines(x, lows, highs, color=color, linewidth=1.6, alpha=0.6)


def report(groups: Mapping[Group, Mapping[int, Measured]], paces: Mapping[str, float]) -> str:
    """The page."""
    rows = [
        row_of(group, actions, measured, paces.get(str(Setting(*group, actions)), math.nan))
        for group, of_group in groups.items()
        for actions, measured in of_group.items()
    ]
    return page(
        "What value gradients add, from 1 to 64 actions",
        command_of_rows(NAME),
        INTRODUCTION,
        f"![Environment steps to 80% of the way against the number of actions]({NAME}.png)",
        verdict(NAME),
        "## Exponents",
        ON_EXPONENTS,
        table(EXPONENTS, exponents(groups)),
        "## Every setting",
        ON_SETTINGS,
        table(HEADER, rows),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser(NAME, __doc__)
    add_settings(parser)
    text = "environment steps; a run that was shorter goes on; default: %(default)s"
    parser.add_argument("--steps", type=int, default=4_000, help=text)
    return parser


def pace_of(timed: Iterable[tuple[Timed, Seconds]]) -> dict[str, float]:
    """By arm, seconds of learning per environment step of all seeds of a program."""
    return {of.arm: seconds.learning / seconds.env_steps for of, seconds in timed}


def main() -> None:
    """Trains what is missing, then writes data, picture and page."""
    options = make_parser().parse_args()
    clock = Results(RESULTS / f"{NAME}_seconds.csv", Timed, Seconds)

    def keep_time(arm: str, run: Run, seconds: float) -> None:
        del seconds
        by_steps = {int(row["env_steps"]): row["time/learn_seconds"] for row in run.rows if "time/learn_seconds" in row}
        seeds = sorted({int(row["seed"]) for row in run.rows})
        learned = max(by_steps) - min(int(row["env_steps"]) for row in run.rows)
        clock.add({Timed(arm, seeds[0], seeds[-1]): Seconds(learned, round(sum(by_steps.values()), 1))})

    for setting in wanted(options):
        forget_shorter(setting, options.steps)
        learn_missing(NAME, {str(setting): arm_of(setting, options.steps)}, options.seeds, report=keep_time)
        write(options.seeds, clock)


def forget_shorter(setting: Setting, steps: int) -> None:
    """Drops what the CSV file holds of runs of fewer steps, so that they are trained on from their checkpoints."""
    curves = read_curves(RESULTS / f"{NAME}.csv", Columns())
    lasts: dict[float, float] = {}
    for row in curves.get(str(setting), []):
        lasts[row["seed"]] = max(row["env_steps"], lasts.get(row["seed"], 0))
    short = {seed for seed, last in lasts.items() if last < steps}
    if short:
        curves[str(setting)] = [row for row in curves[str(setting)] if row["seed"] not in short]
        write_curves(RESULTS / f"{NAME}.csv", curves, Columns())
        for config in (RUNS / NAME / str(setting)).glob("*/config.gin"):
            config.unlink()


def write(seeds: Sequence[int], clock: Results[Timed, Seconds]) -> None:
    """The page and the picture of all that the file holds of these seeds."""
    found, optima = {}, Results(RESULTS / f"{NAME}_optima.csv", Task, Optimum)
    for arm, rows in read_curves(RESULTS / f"{NAME}.csv", Columns()).items():
        of_seeds = [row for row in rows if row["seed"] in seeds]
        if len({row["seed"] for row in of_seeds}) > 1:
            setting = setting_of(arm)
            task = Task(setting.actions, setting.noise)
            best = optima.find(task, partial(optimum_of, *task)).best
            found[setting] = measure(curve_of(of_seeds, RETURN), best)
    groups = groups_of(found)
    draw(groups)
    write_text(RESULTS / f"{NAME}.md", report(groups, pace_of(clock.rows.items())))


if __name__ == "__main__":
    main()
