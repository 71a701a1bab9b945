"""What a run writes into its directory, and how it is read back.

metrics.csv   metrics.jsonl   TensorBoard events   learning_curve.png   environment.json

Each of several processes writes its rows and its curve into a folder of its own, processes/<number>, until they are
joined.
"""

import csv
import io
import json
import math
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tensorboardX import SummaryWriter

import sobolev
from sobolev import extras
from sobolev.training.progress import Progress, return_of
from sobolev.training.rows import Row
from sobolev.training.statistics import bootstrap_interval, interquartile_mean


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all: aside first, then renamed."""
    aside = path.with_name(path.name + ".partial")
    with open(aside, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


FLUSH_SECONDS = 5
"""After which what TensorBoard is told is in its file."""


class Reporter:
    """Writes the rows of the seeds of one program, everywhere.

    The rows of other seeds that the files hold already stay as they are.

    Args:
        run_dir: where the files go.
        columns: of metrics.csv, "env_steps" and "seed" among them.
        seeds: of the program.
        progress: where each evaluation is told.
        resumed_at: environment steps of the checkpoint that these seeds go on from; their later rows are dropped, since
            they will come again. None starts them afresh.
        folder: of the metrics and the curve, where that is not run_dir, see :func:`begin_part`.
    """

    def __init__(
        self,
        run_dir: Path,
        columns: tuple[str, ...],
        seeds: Sequence[int],
        progress: Progress,
        resumed_at: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self.run_dir, self.folder = run_dir, folder or run_dir
        self.columns = columns
        self.progress = progress
        before = -1 if resumed_at is None else resumed_at
        rows = rows_of_run(self.folder, progress.print)
        self.rows = [row for row in rows if row["seed"] not in seeds or row["env_steps"] <= before]
        self._best = _best_return([row for row in self.rows if row["seed"] in seeds])
        _write_metrics(self.folder, columns, self.rows)
        self._events = {
            seed: SummaryWriter(
                str(run_dir / "tensorboard" / f"seed{seed}"),
                purge_step=None if resumed_at is None else resumed_at + 1,
                flush_secs=FLUSH_SECONDS,
            )
            for seed in seeds
        }

    def add(self, rows: list[Row], total_steps: int) -> None:
        """Appends the rows of one evaluation to every file and prints a line.

        In metrics.jsonl they are on disk before this returns, from which metrics.csv can be made anew; TensorBoard has
        them within seconds.
        """
        self.rows += rows
        with open(self.folder / "metrics.jsonl", "a") as file:
            file.write("".join(to_json(row) + "\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())
        with open(self.folder / "metrics.csv", "a") as file:
            file.write("".join(_to_csv(self.columns, row) + "\n" for row in rows))
        for row in rows:
            events = self._events[int(row["seed"])]
            for name, value in row.items():
                events.add_scalar(name, value, int(row["env_steps"]))
        self._best = float(np.fmax(self._best, return_of(rows)))
        self.progress.evaluated(rows, total_steps, self._best)

    def close(self) -> None:
        """Draws the learning curve, where there are rows, and closes the event files."""
        for events in self._events.values():
            events.close()
        if self.rows:
            _draw_or_tell(self.rows, self.folder, self.progress.print)


def _best_return(rows: Iterable[Row]) -> float:
    """The highest return of the evaluations so far, of some seeds together; nan where there is none."""
    by_step: dict[float, list[Row]] = {}
    for row in rows:
        by_step.setdefault(row["env_steps"], []).append(row)
    return float(np.fmax.reduce([math.nan, *map(return_of, by_step.values())]))


def _write_metrics(folder: Path, columns: Iterable[str], rows: Sequence[Row]) -> None:
    """Writes metrics.jsonl and metrics.csv anew."""
    write_text(folder / "metrics.jsonl", "".join(to_json(row) + "\n" for row in rows))
    lines = [",".join(columns), *(_to_csv(columns, row) for row in rows)]
    write_text(folder / "metrics.csv", "\n".join(lines) + "\n")


def _to_csv(columns: Iterable[str], row: Row) -> str:
    return ",".join(repr(row[name]) if name in row else "" for name in columns)


def part_of(run_dir: Path, process: int) -> Path:
    """Where one of several processes writes its rows."""
    return run_dir / _PARTS / str(process)


_PARTS = "processes"


def _parts(run_dir: Path) -> list[Path]:
    """The folders of the processes whose rows have not been joined."""
    return sorted((run_dir / _PARTS).glob("*"))


def begin_part(run_dir: Path, process: int, seeds: Iterable[int], tell: Callable[[str], None]) -> None:
    """Makes the folder in which a process writes the rows of its seeds, and copies those that there are."""
    folder, own = part_of(run_dir, process), set(seeds)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for row in _rows_of_folder(run_dir, tell) if row["seed"] in own]
    write_text(folder / "metrics.jsonl", "".join(to_json(row) + "\n" for row in rows))


def join_parts(run_dir: Path, tell: Callable[[str], None]) -> None:
    """Brings the rows of all processes together into the files of their run."""
    folders = _parts(run_dir)
    if not folders:
        return
    rows = rows_of_run(run_dir, tell)
    headers = [_header(folder / "metrics.csv") for folder in (*folders, run_dir)]
    _write_metrics(run_dir, tuple(dict.fromkeys(chain(*headers, *rows))), rows)
    shutil.rmtree(run_dir / _PARTS)
    if rows:
        _draw_or_tell(rows, run_dir, tell)


def _header(path: Path) -> list[str]:
    """The columns of a metrics.csv; none where there is no file."""
    if not path.exists():
        return []
    with open(path) as file:
        return [name for name in file.readline().rstrip("\n").split(",") if name]


def has_metrics(run_dir: Path) -> bool:
    """Whether a directory holds rows of a run, or a place for them."""
    return any((run_dir / name).exists() for name in ("metrics.jsonl", "metrics.csv", _PARTS))


def to_json(row: Row) -> str:
    """A row as a line of metrics.jsonl; a ValueError where a number is not finite, which JSON does not have."""
    return json.dumps(row, allow_nan=False)


def rows_of_run(run_dir: Path, tell: Callable[[str], None] = lambda line: None) -> list[Row]:
    """The rows of a run, those of its processes included.

    Args:
        run_dir: of the run.
        tell: is told of what is damaged.
    """
    rows, folders = _rows_of_folder(run_dir, tell), _parts(run_dir)
    for folder in folders:
        own = _rows_of_folder(folder, tell)
        seeds = {row["seed"] for row in own}
        rows = [*(row for row in rows if row["seed"] not in seeds), *own]
    return sorted(rows, key=lambda row: (row["env_steps"], row["seed"])) if folders else rows


def _rows_of_folder(folder: Path, tell: Callable[[str], None]) -> list[Row]:
    """The rows of metrics.jsonl, and those that metrics.csv has besides."""
    path = folder / "metrics.jsonl"
    rows, of_csv = read_rows(path, tell), _read_csv(folder / "metrics.csv", tell)
    known = {(row["seed"], row["env_steps"]): row for row in rows}
    besides = [row for row in of_csv if (row["seed"], row["env_steps"]) not in known]
    if not besides:
        return rows
    tell(f"{path} lacks {len(besides)} rows, which are taken from metrics.csv")
    in_order = [known.pop((row["seed"], row["env_steps"]), row) for row in of_csv]
    return [*in_order, *known.values()]


def _read_csv(path: Path, tell: Callable[[str], None]) -> list[Row]:
    """The rows of a metrics.csv; lines that are none are left out and told."""
    if not path.exists():
        return []
    text = path.read_text(errors="replace")
    header, *lines = list(csv.reader(io.StringIO(text))) or [[]]
    rows, damaged = [], []
    for number, cells in enumerate(lines, start=2):
        is_cut = number == len(lines) + 1 and not text.endswith("\n")
        try:
            row = {name: float(cell) for name, cell in zip(header, cells, strict=True) if cell}
            rows.append({**row, **{name: int(row[name]) for name in _INTEGERS}})
        except (ValueError, KeyError, OverflowError):
            is_cut = True
        else:
            if is_cut:
                rows.pop()
        if is_cut:
            damaged.append(number)
    if damaged:
        tell(f"{path}: line {', '.join(map(str, damaged))} is no row, and left out")
    return rows


_INTEGERS = ("env_steps", "seed", "updates")


def read_rows(path: Path, tell: Callable[[str], None] = lambda line: None) -> list[Row]:
    """The rows of a metrics.jsonl; lines that are none, as one that was cut off in writing, are left out.

    Args:
        path: of the file; it may be missing.
        tell: is told how many lines were left out.
    """
    rows, damaged = [], []
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append({**row, "env_steps": int(row["env_steps"]), "seed": int(row["seed"])})
        except (ValueError, TypeError, KeyError):
            damaged.append(number)
    if damaged:
        tell(f"{path}: line {', '.join(map(str, damaged))} of {len(lines)} is no row, and left out")
    return rows


def read_columns(path: Path) -> dict[str, list[float]]:
    """The columns of a metrics.csv; an empty cell is nan."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}


class Curve(NamedTuple):
    """One column of a run against its environment steps.

    Fields:
        env_steps: ``[T]``.
        values: ``[seeds, T]``, in the order of the seeds.
    """

    env_steps: np.ndarray
    values: np.ndarray


def curve_of(rows: Iterable[Row], name: str) -> Curve:
    """The column ``name`` at the evaluations that all seeds have reached; nan where a row lacks it.

    Example:
        >>> rows = [{"env_steps": t, "seed": seed, "x": t + seed} for t in (10, 20) for seed in (3, 4)]
        >>> curve = curve_of(rows, "x")
        >>> curve.env_steps.tolist(), curve.values.tolist()
        ([10, 20], [[13.0, 23.0], [14.0, 24.0]])
    """
    by_seed: dict[int, dict[int, float]] = {}
    for row in rows:
        by_seed.setdefault(int(row["seed"]), {})[int(row["env_steps"])] = row.get(name, math.nan)
    of_seeds = [by_seed[seed] for seed in sorted(by_seed)]
    steps = sorted(set.intersection(*(set(of_seed) for of_seed in of_seeds))) if of_seeds else []
    values = np.array([[of_seed[step] for step in steps] for of_seed in of_seeds], dtype=float)
    return Curve(np.array(steps, dtype=int), values)


def draw_learning_curve(rows: list[Row], path: Path) -> None:
    """The evaluation return against environment steps.

    Of one seed with the standard deviation over episodes. Of several, each seed's and their interquartile mean, from
    three seeds on with its 95% bootstrap interval.
    """
    extras.load("matplotlib").use("Agg")
    from matplotlib import pyplot

    steps, returns = curve_of(rows, "eval/return")
    figure, axes = pyplot.subplots(figsize=(6, 4))
    figure.subplots_adjust(left=0.15, right=0.97, bottom=0.13, top=0.92)  # a layout that is fitted takes twice as long
    if len(returns) == 1:
        spread = curve_of(rows, "eval/return_std").values[0]
        low, high, label = returns[0] - spread, returns[0] + spread, "± 1 standard deviation over episodes"
        axes.plot(steps, returns[0], label="mean return")
        axes.set_title("one seed")
    else:
        axes.plot(steps, returns.T, color="grey", linewidth=0.6, alpha=0.6)
        axes.plot(steps, interquartile_mean(returns), label="interquartile mean")
        axes.set_title(f"{len(returns)} seeds")
        label = "95% bootstrap interval over seeds"
        low, high = bootstrap_interval([returns]) if len(returns) > 2 else (None, None)
    if low is not None:
        axes.fill_between(steps, low, high, alpha=0.2, linewidth=0, label=label)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("evaluation return")
    axes.legend(frameon=False)
    aside = path.with_name("learning_curve.partial.png")
    figure.savefig(aside, dpi=120)
    os.replace(aside, path)
    pyplot.close(figure)


def _draw_or_tell(rows: list[Row], folder: Path, tell: Callable[[str], None]) -> None:
    """Draws the learning curve; a run does not fail because there is nothing to draw with."""
    try:
        draw_learning_curve(rows, folder / "learning_curve.png")
    except ModuleNotFoundError as error:
        tell(f"no learning_curve.png: {error}")


def environment_facts() -> dict[str, Any]:
    """Versions, device and command line, for environment.json."""
    versions = {package.name: package.version for package in metadata.distributions() if package.name}
    return {
        "sobolev": sobolev.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": dict(sorted(versions.items())),
        "devices": [str(device) for device in jax.devices()],
        "matmul_precision": jax.config.jax_default_matmul_precision,  # type: ignore[attr-defined]
        "argv": sys.argv[1:],
    }
