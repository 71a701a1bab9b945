"""What a run tells: progress on the console, and files in the run directory.

metrics.csv   metrics.jsonl   TensorBoard events   learning_curve.png   environment.json   config.gin
"""

import csv
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from tensorboardX import SummaryWriter

Row = dict[str, float]

PACKAGES = ("sobolev", "jax", "jaxlib", "dm-haiku", "optax", "brax", "mujoco", "mujoco-mjx", "gin-config", "numpy")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all: aside first, then renamed."""
    aside = path.with_name(path.name + ".partial")
    aside.write_text(text)
    os.replace(aside, path)


class Progress:
    """The console: what a run is doing, and the seconds since it began.

    Args:
        began: ``time.perf_counter()`` at the start of the program; None for now.
    """

    def __init__(self, began: float | None = None) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.began = time.perf_counter() if began is None else began

    def print(self, line: str) -> None:
        """Prints a line after the seconds since the start."""
        self.console.print(f"[{time.perf_counter() - self.began:6.1f} s] {line}")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a stage and prints its name and its seconds."""
        began = time.perf_counter()
        with self.console.status(f"{name} …"):
            yield
        self.print(f"{name}: {time.perf_counter() - began:.1f} s")


class Reporter:
    """Writes one row per evaluation, everywhere.

    Args:
        run_dir: where the files go.
        columns: of metrics.csv, the first of them ``env_steps``.
        progress: where each row is told.
        resumed_at: environment steps of the checkpoint that the run goes on from; later rows are dropped, since they
            will come again. None starts afresh.
    """

    def __init__(
        self, run_dir: Path, columns: tuple[str, ...], progress: Progress, resumed_at: int | None = None
    ) -> None:
        self.run_dir = run_dir
        self.columns = columns
        self.progress = progress
        rows = [] if resumed_at is None else read_rows(run_dir / "metrics.jsonl")
        self.rows = [row for row in rows if row["env_steps"] <= (resumed_at or 0)]
        self._rewrite()
        self.events = SummaryWriter(
            str(run_dir / "tensorboard"), purge_step=None if resumed_at is None else resumed_at + 1
        )

    def _rewrite(self) -> None:
        write_text(self.run_dir / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in self.rows))
        lines = [",".join(self.columns), *(self._csv(row) for row in self.rows)]
        write_text(self.run_dir / "metrics.csv", "\n".join(lines) + "\n")

    def _csv(self, row: Row) -> str:
        return ",".join(repr(row[name]) if name in row else "" for name in self.columns)

    def add(self, row: Row, total_steps: int) -> None:
        """Appends one row to every file, on disk before this returns, and prints a line."""
        self.rows.append(row)
        for name, line in (("metrics.jsonl", json.dumps(row)), ("metrics.csv", self._csv(row))):
            with open(self.run_dir / name, "a") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        for name, value in row.items():
            self.events.add_scalar(name, value, int(row["env_steps"]))
        self.events.flush()
        speeds = ""
        if "train/updates_per_second" in row:
            speeds = (
                f"   {row['train/updates_per_second']:6.0f} updates/s"
                f"   {row['train/env_steps_per_second']:6.0f} env steps/s"
            )
        self.progress.print(
            f"{int(row['env_steps']):>8} / {total_steps} env steps"
            f"   return {row['eval/return']:9.2f} ± {row['eval/return_std']:.2f}{speeds}"
        )

    def close(self) -> None:
        """Draws the learning curve and closes the event file."""
        self.events.close()
        draw_learning_curve(self.rows, self.run_dir / "learning_curve.png")


def read_rows(path: Path) -> list[Row]:
    """The rows of a metrics.jsonl; a last line that was cut off in writing is left out."""
    rows = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def read_columns(path: Path) -> dict[str, list[float]]:
    """The columns of a metrics.csv; an empty cell is nan."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}


def draw_learning_curve(rows: list[Row], path: Path) -> None:
    """The evaluation return against environment steps, with the spread of the episodes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = [row["env_steps"] for row in rows]
    mean = [row["eval/return"] for row in rows]
    spread = [row["eval/return_std"] for row in rows]
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    axes.fill_between(
        steps,
        [m - s for m, s in zip(mean, spread, strict=True)],
        [m + s for m, s in zip(mean, spread, strict=True)],
        alpha=0.2,
        linewidth=0,
        label="± 1 standard deviation over episodes",
    )
    axes.plot(steps, mean, label="mean return")
    axes.set_xlabel("environment steps")
    axes.set_ylabel("evaluation return")
    axes.set_title("one seed")
    axes.legend(frameon=False)
    figure.savefig(path.with_name("learning_curve.partial.png"), dpi=120)
    os.replace(path.with_name("learning_curve.partial.png"), path)
    pyplot.close(figure)


def environment_facts() -> dict[str, Any]:
    """Versions, device and command line, for environment.json."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "devices": [str(device) for device in jax.devices()],
        "matmul_precision": jax.config.jax_default_matmul_precision,  # type: ignore[attr-defined]
        "argv": sys.argv[1:],
    }
