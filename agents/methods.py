"""Methods: the runs below some directories, those that differ in their seeds alone taken together."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agents.gin_messages import ConfigError
from sobolev.training import Curve, read_run
from sobolev.training.logs import curve_of
from sobolev.training.rows import Row

LAST = 3
"""A final return is the mean of so many evaluations."""
SEEDS = re.compile(r"seeds?\d+(-\d+)?$")
SEED = re.compile(r"^train\.(seed|num_seeds|seeds_at_once) = .*\n", re.MULTILINE)
# The colours of Okabe and Ito, which the colour-blind can tell apart; in the order of the names of the files in gin/.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")


class Method(NamedTuple):
    """Runs that differ in their seeds alone.

    Fields:
        name: of the method.
        directories: of the runs.
        rows: of their metrics.
        colour: the same in every picture.
    """

    name: str
    directories: tuple[Path, ...]
    rows: list[Row]
    colour: str

    def curve(self, column: str) -> Curve:
        """A column against environment steps, by seed."""
        return curve_of(self.rows, column)

    @property
    def env_steps(self) -> int:
        """Those of the last evaluation that all seeds have reached."""
        return int(self.curve("eval/return").env_steps[-1])

    def finals(self, env_steps: int) -> np.ndarray:
        """The return of each seed after so many environment steps, the mean of its last evaluations up to there."""
        curve = self.curve("eval/return")
        return curve.values[:, curve.env_steps <= env_steps][:, -LAST:].mean(axis=1)


def name_of_run(run_dir: Path) -> str:
    """What a run is called: its directory, behind the one above it where it is named by its seeds alone.

    Example:
        >>> name_of_run(Path("runs/td3/seed0")), name_of_run(Path("runs/first"))
        ('td3/seed0', 'first')
    """
    *_, parent, name = run_dir.resolve().parts
    return f"{parent}/{name}" if SEEDS.match(name) else name


def run_directories(directory: Path) -> list[Path]:
    """The directory itself if it is a run's, or those of the runs below it."""
    if not directory.is_dir():
        raise ConfigError(f"{directory}: no such directory")
    found = sorted(path.parent for path in directory.rglob("metrics.jsonl"))
    if not found:
        raise ConfigError(f"{directory} holds no run: there is no metrics.jsonl, which agents/run.py writes")
    return found


def methods_of(directories: Sequence[Path]) -> list[Method]:
    """The methods, in the order of their names."""
    groups: dict[str, list[Path]] = {}
    for run_dir in dict.fromkeys(found for directory in directories for found in run_directories(directory)):
        config = run_dir / "config.gin"
        key = SEED.sub("", config.read_text()) if config.exists() else str(run_dir)
        groups.setdefault(key, []).append(run_dir)
    shared = Path(os.path.commonpath([path.resolve() for group in groups.values() for path in group]))
    return make_methods(sorted((_name(group, shared), group) for group in groups.values()))


def make_methods(named: Iterable[tuple[str, Sequence[Path]]]) -> list[Method]:
    """The methods of these names and run directories, in their order."""
    return [
        Method(name, tuple(group), _rows_of(name, group), COLOURS[i % len(COLOURS)])
        for i, (name, group) in enumerate(named)
    ]


def _name(group: Sequence[Path], shared: Path) -> str:
    """What the directories of a method have in common, without what all methods have, and without the seeds."""
    own = Path(os.path.commonpath([path.resolve() for path in group]))
    if SEEDS.match(own.name):
        own = own.parent
    return str(own.relative_to(shared)) if own != shared and shared in own.parents else own.name


def _rows_of(name: str, group: Sequence[Path]) -> list[Row]:
    rows: list[Row] = []
    for run_dir in group:
        try:
            of_run = read_run(run_dir).rows
        except ValueError as error:
            raise ConfigError(str(error)) from error
        seeds = {row["seed"] for row in rows} & {row["seed"] for row in of_run}
        if seeds:
            raise ConfigError(
                f"{name}: seed {int(min(seeds))} is in {run_dir} and in another directory: a seed counts once"
            )
        rows += of_run
    if not rows:
        raise ConfigError(f"{name}: no evaluation yet in {', '.join(map(str, group))}")
    return rows
