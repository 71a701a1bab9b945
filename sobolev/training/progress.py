"""What a run tells on the console: stages, a bar on a terminal, and one line for each evaluation."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from sobolev.training.rows import Row
from sobolev.training.statistics import interquartile_mean

SPEED_SECONDS = 120.0
"""The time that is left is told by the speed of so many seconds, evaluations included."""
REDRAWN_A_SECOND = 2.0


class _Course(NamedTuple):
    """Where a bar began, of how many steps."""

    total_steps: int
    env_steps: int
    began: float


class Progress:
    """The console: what a run is doing, and the seconds since it began.

    Args:
        began: ``time.perf_counter()`` at the start of the program; None for now.
        process: of several, the number of this one: only 0 tells the course of a run.
    """

    def __init__(self, began: float | None = None, process: int = 0) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.began = time.perf_counter() if began is None else began
        self.process = process
        self._bar: tuple[Bar, TaskID] | None = None
        self._course: _Course | None = None

    def print(self, line: str) -> None:
        """Prints a line after the seconds since the start."""
        of_whom = f"process {self.process}: " if self.process else ""
        self.console.print(f"[{time.perf_counter() - self.began:6.1f} s] {of_whom}{line}", markup=False)

    def follow(self, line: str) -> None:
        """Prints a line about the course of a run."""
        if not self.process:
            self.print(line)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times a stage and prints its name and its seconds."""
        if self.process:
            yield
            return
        began = time.perf_counter()
        with self.console.status(f"{name} …"):
            yield
        self.follow(f"{name}: {time.perf_counter() - began:.1f} s")

    @contextmanager
    def bar(self, total_steps: int, env_steps: int) -> Iterator[None]:
        """A context with a bar on a terminal: what is done, environment steps, their speed, the time that is left.

        Elsewhere there is no bar, and the lines of evaluations have speed and time.

        Args:
            total_steps: at the end.
            env_steps: at the beginning.
        """
        self._course = _Course(total_steps, env_steps, time.perf_counter())
        if self.process or not self.console.is_terminal:
            yield
            return
        bar = Bar(
            TextColumn("{task.fields[doing]}"),
            BarColumn(bar_width=8),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps {task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left {task.fields[returns]}"),
            console=self.console,
            refresh_per_second=REDRAWN_A_SECOND,
            speed_estimate_period=SPEED_SECONDS,
        )
        with bar:
            task = bar.add_task("", total=total_steps, completed=env_steps, doing="learn   ", speed="", returns="")
            self._bar = bar, task
            try:
                yield
            finally:
                self._bar = None

    def advance(self, env_steps: int) -> None:
        """Moves the bar by so many environment steps, where there is one."""
        if self._bar:
            bar, task = self._bar
            bar.advance(task, env_steps)
            speed = bar.tasks[0].speed
            bar.update(task, speed=f"{speed:,.0f}/s" if speed else "")

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """A context in which the bar, where there is one, says that something else than learning is done."""
        self._note(doing=f"{what:8}")
        try:
            yield
        finally:
            self._note(doing="learn   ")

    def evaluated(self, rows: Sequence[Row], total_steps: int, best: float) -> None:
        """Prints the line of an evaluation.

        Args:
            rows: of it, one for each seed.
            total_steps: at the end.
            best: the highest return of all evaluations, this one included.
        """
        self._note(returns=f"return {return_of(rows):.2f} (best {best:.2f})")
        self.follow(f"{_told(rows, total_steps, best)}{self._left(int(rows[0]['env_steps']))}")

    def _note(self, **fields: Any) -> None:
        if self._bar:
            bar, task = self._bar
            bar.update(task, **fields)

    def _left(self, env_steps: int) -> str:
        """The time that is left, by the mean speed since the beginning."""
        if self._course is None or env_steps <= self._course.env_steps:
            return ""
        total_steps, first, began = self._course
        seconds = (time.perf_counter() - began) * (total_steps - env_steps) / (env_steps - first)
        return f"   {_short(seconds)} left" if seconds else ""


def return_of(rows: Sequence[Row]) -> float:
    """The interquartile mean over seeds of the returns of an evaluation; nan where a seed has none.

    Example:
        >>> return_of([{"eval/return": x} for x in (-9.0, 1.0, 3.0, 70.0)])
        2.0
    """
    return float(interquartile_mean(np.array([row.get("eval/return", math.nan) for row in rows])))


def _short(seconds: float) -> str:
    """A time in few letters.

    Example:
        >>> [_short(seconds) for seconds in (8.4, 250.0, 30_000.0)]
        ['8 s', '4 min', '8.3 h']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"


def _told(rows: Sequence[Row], total_steps: int, best: float) -> str:
    """An evaluation in one line; speeds are those of all seeds together."""
    returns = np.array([row.get("eval/return", math.nan) for row in rows])
    text = f"{int(rows[0]['env_steps']):>8} / {total_steps} env steps   return {return_of(rows):9.2f}"
    if len(rows) == 1:
        text += f" ± {rows[0].get('eval/return_std', math.nan):.2f}"
    else:
        text += f" (interquartile mean of {len(rows)} seeds, {returns.min():.2f} to {returns.max():.2f})"
    text += f"   best {best:.2f}"
    if "train/updates_per_second" in rows[0]:
        updates, steps = (sum(row[f"train/{name}_per_second"] for row in rows) for name in ("updates", "env_steps"))
        text += f"   {updates:6.0f} updates/s   {steps:6.0f} env steps/s"
    return text
