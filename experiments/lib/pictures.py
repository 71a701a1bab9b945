"""Pictures of results."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

from experiments.lib.comparison import mean_interval
from sobolev.training import Curve


class Picture(NamedTuple):
    """A picture in the making.

    Fields:
        figure: of matplotlib.
        panels: its axes, row by row.
    """

    figure: Any
    panels: list[Any]


@contextmanager
def picture(path: Path, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[Picture]:
    """A picture that is written at the end of the block.

    Args:
        path: of the file.
        rows: of panels.
        columns: of panels.
        **options: of ``matplotlib.pyplot.subplots``.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(rows, columns, squeeze=False, layout="constrained", **options)
    yield Picture(figure, list(panels.flat))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def draw_dots(axes: Any, names: Sequence[str], parts: Mapping[str, Sequence[tuple[str, float]]]) -> None:
    """A line per name, from the top; on it the numbers of each part, with a marker of its own.

    Args:
        axes: of one panel.
        names: of the lines.
        parts: by label, up to two; the numbers with the names of their lines.
    """
    lines = {name: place for place, name in enumerate(reversed(names))}
    for (label, numbers), marker in zip(parts.items(), "ox", strict=False):
        axes.plot([number for _, number in numbers], [lines[name] for name, _ in numbers], marker, label=label)
    axes.set_yticks(list(lines.values()), list(lines))


def draw_curves(curves: Mapping[str, Curve], levels: Mapping[str, float], path: Path, title: str) -> None:
    """The mean return over seeds against environment steps, with its 95% bootstrap interval.

    Args:
        curves: by arm. Of fewer than three seeds, each curve is drawn in the place of the interval.
        levels: returns to be drawn as lines; the axis reaches up to "best known".
        path: of the file.
        title: of the picture.
    """
    with picture(path, figsize=(7, 4.2)) as (_, (axes,)):
        for arm, curve in curves.items():
            _draw_arm(axes, arm, curve)
        _draw_levels(axes, levels, max(curve.env_steps[-1] for curve in curves.values()))
        axes.set(xlabel="environment steps", ylabel="evaluation return", title=title)
        axes.legend(frameon=False, loc="best")


def _draw_arm(axes: Any, arm: str, curve: Curve) -> None:
    steps, returns = curve
    (line,) = axes.plot(steps, returns.mean(axis=0), label=arm)
    if len(returns) < 3:  # two seeds say too little of an interval
        axes.plot(steps, returns.T, color=line.get_color(), linewidth=0.6, alpha=0.6)
    else:
        axes.fill_between(steps, *mean_interval(returns), alpha=0.2, linewidth=0, color=line.get_color())


def _draw_levels(axes: Any, levels: Mapping[str, float], last_step: int) -> None:
    low, high = axes.get_ylim()
    best = [level for name, level in levels.items() if name == "best known"]
    low, high = min(low, *best, high), max(high, *best, low)
    below = []
    for name, level in levels.items():
        if level < low - (high - low):  # it would leave little room for the curves
            below.append(f"{name} {level:.1f}")
            continue
        axes.axhline(level, color="grey", linewidth=0.8, linestyle=":")
        axes.annotate(name, (last_step, level), ha="right", va="bottom", fontsize=8, color="grey")
    if levels:  # room for the name of the highest
        axes.set_ylim(top=high + 0.06 * (high - low))
    if below:
        text, corner = "below: " + ", ".join(below), (0.99, 0.01)
        axes.annotate(text, corner, xycoords="axes fraction", ha="right", fontsize=8, color="grey")
