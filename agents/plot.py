"""Pictures of runs: learning curves, probability of improvement, slopes and expansion.

A directory is that of a run, or holds those of several. Runs that differ in their seeds alone are one method. Curves
are interquartile means over seeds; from three seeds on they have a 95% bootstrap interval, of fewer each seed is drawn.
Written are curves.png, and improvement.png where there are several methods, slopes.png where agents/slopes.py has
measured some, and expansion.png where a world model has been learned; --output is the folder, by default the first
directory.
"""

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# This file's folder would hide modules of the same names; a gin file may import one from where the program is started.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "agents")), os.getcwd()]

from agents import start  # noqa: E402

with start.quiet():
    from agents.arguments import Parser
    from agents.gin_messages import ConfigError
    from agents.methods import Method, methods_of
    from sobolev import extras
    from sobolev.training.statistics import (
        bootstrap_interval,
        improvement_interval,
        interquartile_mean,
        probability_of_improvement,
    )

EXAMPLES = {
    "one run": "agents/plot.py runs/msmmd_cvae/seed0",
    "two methods with all their seeds": "agents/plot.py runs/msmmd_cvae runs/td3 --output=compared",
}
FEWEST = 3
"""Seeds of an interval."""


@contextmanager
def figure(path: Path, columns: int = 1, **options: Any) -> Iterator[tuple[Any, ...]]:
    """The panels of a picture that is written at the end of the block, whole or not at all."""
    extras.load("matplotlib").use("Agg")
    from matplotlib import pyplot

    made, panels = pyplot.subplots(1, columns, squeeze=False, layout="constrained", **options)
    try:
        yield tuple(panels.flat)
        aside = path.with_name(f"{path.stem}.partial.png")
        made.savefig(aside, dpi=120)
        os.replace(aside, path)
    finally:
        pyplot.close(made)
    print(f"written: {path}")


def draw(axes: Any, x: np.ndarray, values: np.ndarray, method: Method) -> None:
    """The values ``[seeds, T]`` at ``x[T]``: their interquartile mean, with an interval or with each seed."""
    axes.plot(x, interquartile_mean(values), color=method.colour, label=f"{method.name}, {_seeds(len(values))}")
    if len(values) >= FEWEST:
        axes.fill_between(x, *bootstrap_interval([values]), color=method.colour, alpha=0.2, linewidth=0)
    elif len(values) > 1:
        axes.plot(x, values.T, color=method.colour, linewidth=0.6, alpha=0.6)


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def seconds_of(method: Method) -> np.ndarray:
    """The mean seconds of learning and evaluation up to each evaluation, ``[T]``."""
    spent = [np.nan_to_num(method.curve(f"time/{what}_seconds").values) for what in ("learn", "evaluate")]
    return np.cumsum(np.sum(spent, axis=0), axis=1).mean(axis=0)


def draw_curves(methods: Sequence[Method], path: Path) -> None:
    """The return against environment steps, and against wall time."""
    with figure(path, columns=2, figsize=(11, 4.2), sharey=True) as (by_steps, by_time):
        for method in methods:
            curve = method.curve("eval/return")
            draw(by_steps, curve.env_steps, curve.values, method)
            draw(by_time, seconds_of(method) / 60.0, curve.values, method)
        by_steps.set(xlabel="environment steps", ylabel="evaluation return", title=_of_curves(methods))
        by_time.set(
            xlabel="minutes of learning and evaluation, all seeds of a program together", title="the same, by wall time"
        )
        by_steps.legend(frameon=False)


def _of_curves(methods: Sequence[Method]) -> str:
    """What the lines of curves are: means over seeds only where there are several."""
    counts = {len(method.curve("eval/return").values) for method in methods}
    if counts == {1}:
        return "one seed" if len(methods) == 1 else "one seed of each method"
    interval = f",\n95% bootstrap interval{'' if min(counts) >= FEWEST else f' from {FEWEST} seeds on'}"
    return f"interquartile mean over seeds{interval if max(counts) >= FEWEST else ', thin: each seed'}"


def draw_improvement(methods: Sequence[Method], path: Path) -> None:
    """Of each pair of methods, how probable it is that a seed of the first is above one of the second at the last step
    that all have reached, with 95% bootstrap intervals.
    """
    env_steps = min(method.env_steps for method in methods)
    finals = {method.name: method.finals(env_steps) for method in methods}
    pairs = [(one, other) for i, one in enumerate(methods) for other in methods[i + 1 :]]
    with figure(path, figsize=(8, 1.5 + 0.4 * len(pairs))) as (axes,):
        for line, (one, other) in enumerate(reversed(pairs)):
            scores = finals[one.name], finals[other.name]
            middle = probability_of_improvement(*scores)
            if min(map(len, scores)) >= FEWEST:
                axes.plot(improvement_interval(*scores), [line, line], color=one.colour, linewidth=2)
            axes.plot(middle, line, "o", color=one.colour)
        axes.axvline(0.5, color="grey", linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(pairs)), [f"{one.name} above {other.name}" for one, other in reversed(pairs)])
        axes.set(
            xlim=(-0.02, 1.02), ylim=(-0.5, len(pairs) - 0.5), xlabel=f"probability of improvement at {env_steps} steps"
        )


def draw_expansion(methods: Sequence[Method], path: Path) -> None:
    """How far the complete backup expands, and the closed loop, against environment steps."""
    names = {"gamma_kappa": "complete backup, γκ", "gamma_kappa_closed_loop": "along the policy, γ sup |M|"}
    with figure(path, columns=2, figsize=(11, 4.2)) as panels:
        for axes, (name, title) in zip(panels, names.items(), strict=True):
            for method in methods:
                curve = method.curve(f"diagnostics/{name}")
                if np.any(np.isfinite(curve.values)):  # of a world model that has a derivative
                    draw(axes, curve.env_steps, curve.values, method)
            axes.axhline(1.0, color="grey", linewidth=0.8, linestyle=":")
            axes.set(xlabel="environment steps", ylabel="factor per transition", title=f"{title}; below 1 it contracts")
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        panels[0].legend(frameon=False)


def slopes_of(method: Method) -> dict[str, list[tuple[float, float]]]:
    """By estimate, the cosine and the size of each seed's slopes, where they have been measured."""
    found: dict[str, list[tuple[float, float]]] = {}
    for directory in method.directories:
        path = directory / "slopes.csv"
        if path.exists():
            with open(path, newline="") as file:
                for row in csv.DictReader(file):
                    if row["cosine"] and row["size"]:
                        found.setdefault(row["estimate"], []).append((float(row["cosine"]), float(row["size"])))
    return found


def draw_slopes(methods: Sequence[Method], path: Path) -> None:
    """Cosine and size of the slopes against the true ones, each seed a point."""
    measured = {method.name: found for method in methods if (found := slopes_of(method))}
    methods = [method for method in methods if method.name in measured]
    estimates = list(dict.fromkeys(name for found in measured.values() for name in found))
    with figure(path, columns=2, figsize=(11, 4.2)) as panels:
        for axes, what, column in zip(panels, ("cosine", "size"), (0, 1), strict=True):
            for i, method in enumerate(methods):
                of_method = measured[method.name]
                shift = 0.6 * ((i + 0.5) / len(methods) - 0.5)
                points = [
                    (line + shift, pair[column])
                    for line, name in enumerate(estimates)
                    for pair in of_method.get(name, [])
                ]
                axes.plot(*np.array(points).reshape(-1, 2).T, "o", color=method.colour, label=method.name, alpha=0.7)
            axes.axhline(1.0, color="grey", linewidth=0.8, linestyle=":")
            axes.set_xticks(range(len(estimates)), estimates)
            axes.set(
                xlim=(-0.5, len(estimates) - 0.5),
                ylabel=what,
                title=f"{what} against the environment's slope; 1 is right",
            )
        panels[0].set_ylim(-1.05, 1.05)
        panels[0].legend(frameon=False)


def draw_all(methods: Sequence[Method], output: Path) -> None:
    """Every picture for which there are numbers, into a folder."""
    draw_curves(methods, output / "curves.png")
    if len(methods) > 1:
        draw_improvement(methods, output / "improvement.png")
    if any(np.any(np.isfinite(method.curve("diagnostics/gamma_kappa").values)) for method in methods):
        draw_expansion(methods, output / "expansion.png")
    if any(slopes_of(method) for method in methods):
        draw_slopes(methods, output / "slopes.png")


def run(options: argparse.Namespace) -> None:
    """Everything between the arguments and the exit status."""
    methods = methods_of(options.directories)
    output = options.output or options.directories[0]
    try:
        output.mkdir(parents=True, exist_ok=True)
        draw_all(methods, output)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written to: {error.strerror} (--output)") from error
    for method in methods:
        print(told(method))


def told(method: Method) -> str:
    """What the console says of a method."""
    finals, interval = method.finals(method.env_steps), f"an interval needs {FEWEST}"
    if len(finals) >= FEWEST:
        low, high = bootstrap_interval([finals])
        interval = f"{low:.4g} to {high:.4g}"
    return (
        f"{method.name}: {interquartile_mean(finals):.4g} ({interval}) after {method.env_steps} environment steps, "
        f"{_seeds(len(finals))}"
    )


def make_parser() -> Parser:
    """The command line."""
    parser = Parser("agents/plot.py", __doc__, EXAMPLES)
    parser.add_argument("directories", type=Path, nargs="+", metavar="RUN_DIR", help="of a run, or of several runs")
    parser.add_argument("--output", type=Path, help="folder of the pictures; by default the first directory")
    return parser


def main() -> None:
    """Entry point."""
    start.main(make_parser(), run)


if __name__ == "__main__":
    main()
