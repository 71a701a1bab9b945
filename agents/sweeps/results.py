"""What has come of a sweep: a table, results.csv and the pictures of agents/plot.py."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agents import plot
from agents.methods import COLOURS, Method, make_methods
from agents.sweeps.record import groups_in, last_attempt
from agents.sweeps.seeds import text_of_seeds
from agents.sweeps.tables import table
from sobolev.training.lock import locked
from sobolev.training.logs import write_text
from sobolev.training.statistics import bootstrap_interval, interquartile_mean

MOST = len(COLOURS)
"""Settings in a picture."""


class Result(NamedTuple):
    """What has come of a setting; the fields are the columns of results.csv.

    Fields:
        setting: its name.
        seeds: that are done, as --seeds has them.
        num_seeds: how many.
        env_steps: after which.
        interquartile_mean: of their returns, each the mean of the last evaluations.
        interval_low, interval_high: its 95% bootstrap interval; None of fewer seeds than an interval needs.
    """

    setting: str
    seeds: str
    num_seeds: int
    env_steps: int
    interquartile_mean: float
    interval_low: float | None
    interval_high: float | None


def results_of(sweep_dir: Path) -> tuple[list[Method], list[Result]]:
    """The settings of all tasks in a directory that are done, those of other calls too."""
    groups: dict[str, list[Path]] = {}
    seeds: dict[str, list[int]] = {}
    for folder in sorted(path for path in sweep_dir.iterdir() if path.is_dir()):
        for run_dir, of_run in groups_in(folder).items():
            attempt = last_attempt(run_dir)
            if attempt is not None and attempt.status == 0 and not attempt.error:
                groups.setdefault(folder.name, []).append(run_dir)
                seeds.setdefault(folder.name, []).extend(of_run)
    methods = make_methods(groups.items())
    return methods, [result_of(method, sorted(seeds[method.name])) for method in methods]


def result_of(method: Method, seeds: Sequence[int]) -> Result:
    """What has come of a setting."""
    finals = method.finals(method.env_steps)
    low, high = bootstrap_interval([finals]) if len(finals) >= plot.FEWEST else (None, None)
    return Result(
        method.name,
        text_of_seeds(seeds),
        len(finals),
        method.env_steps,
        float(interquartile_mean(finals)),
        None if low is None else float(low),
        None if high is None else float(high),
    )


def results_told(results: Sequence[Result]) -> str:
    """The table of all results."""

    def interval(result: Result) -> str:
        if result.interval_low is None:
            return f"(an interval needs {plot.FEWEST} seeds)"
        return f"{result.interval_low:.4g} to {result.interval_high:.4g}"

    header = ("setting", "seeds", "steps", "return", "95% interval")
    return table(
        [
            header,
            *((r.setting, r.seeds, str(r.env_steps), f"{r.interquartile_mean:.4g}", interval(r)) for r in results),
        ]
    )


def write_results(sweep_dir: Path) -> None:
    """Prints the results, and writes results.csv and the pictures."""
    methods, results = results_of(sweep_dir)
    if not results:
        print("no task is done: there are no results")
        return
    print(results_told(results))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([Result._fields, *(["" if cell is None else cell for cell in result] for result in results)])
    try:
        with locked(sweep_dir):
            write_text(sweep_dir / "results.csv", text.getvalue())
            print(f"written: {sweep_dir / 'results.csv'}")
            plot.draw_all(_best(methods, results), sweep_dir)
    except ValueError as error:
        print(f"nothing written: {error}")


def _best(methods: Sequence[Method], results: Sequence[Result]) -> list[Method]:
    """As many as there are colours, in the order of their names."""
    if len(methods) <= MOST:
        return list(methods)
    print(f"the pictures have the {MOST} settings with the highest returns, of {len(methods)}")
    order = sorted(range(len(methods)), key=lambda i: -results[i].interquartile_mean)[:MOST]
    return [methods[i]._replace(colour=COLOURS[k]) for k, i in enumerate(sorted(order))]
