"""What telling of a run costs: rows in three files, TensorBoard, the console with its bar, and the learning curve.

    python -m benchmarks.logging

In one process, with programs that are compiled once, whole runs with all of it and with none take turns; checkpoints
belong to both. Given are the median seconds of both, median and quartiles of the ratio of a turn, and the share of a
run's time that passes within the calls that tell, which other programs on the machine disturb less.
"""

import argparse
import importlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from rich.console import Console

from agents import gin_names
from benchmarks.methods import METHODS
from sobolev.training import Job, Progress, build, processes
from sobolev.training.interrupts import Interrupts
from sobolev.training.job import full_precision
from sobolev.training.logs import Reporter
from sobolev.training.programs import Programs

STEPS = {"td3": 6_000, "msmmd_cvae": 2_000}
TELLING = ((Reporter, ("__init__", "add", "close")), (Progress, ("advance", "print", "_note")))

trainer = importlib.import_module("sobolev.training.train")  # the package has a function of the same name


class Turn(NamedTuple):
    """A run.

    Fields:
        seconds: that it took.
        telling: of them within the calls that tell.
    """

    seconds: float
    telling: float


class Silent:
    """Takes the place of a :class:`Reporter` and tells nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def add(self, *_: Any) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class SilentProgress(Progress):
    """Shows no bar and prints nothing."""

    def print(self, line: str) -> None:
        """Does nothing."""

    def stage(self, name: str) -> Any:
        """Does nothing."""
        return nullcontext()

    def bar(self, total_steps: int, env_steps: int) -> Any:
        """Does nothing."""
        return nullcontext()


@contextmanager
def timed() -> Iterator[list[float]]:
    """A context with the seconds that pass within the outermost of the calls that tell."""
    seconds, depth = [0.0], [0]

    def wrapped(function: Any) -> Any:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            depth[0] += 1
            try:
                return function(*args, **kwargs)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    seconds[0] += time.perf_counter() - began

        return call

    patches = [mock.patch.object(kind, name, wrapped(getattr(kind, name))) for kind, names in TELLING for name in names]
    for patch in patches:
        patch.start()
    try:
        yield seconds
    finally:
        for patch in patches:
            patch.stop()


def train_once(job: Job, programs: Programs, tells: bool) -> Turn:
    """A run from its warm-up to its end."""
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere, timed() as telling:
        run_dir = Path(folder)
        progress = Progress() if tells else SilentProgress()
        progress.console = Console(file=nowhere, force_terminal=True, width=120)
        (seeds,) = job.config.seed_groups
        group = trainer.seed_group(job.config, seeds, run_dir, resume=False)
        session = trainer.Session(job, programs, run_dir, processes.here(), (), progress, Interrupts(), {})
        reporter = nullcontext() if tells else mock.patch.object(trainer, "Reporter", Silent)
        began = time.perf_counter()
        with reporter:
            trainer.train_group(session, group, None)
        return Turn(time.perf_counter() - began, telling[0])


def turns(method: str, steps: int, rounds: int) -> tuple[list[Turn], list[Turn]]:
    """The runs that tell and those that do not."""
    job = build(gin_names.load((f"gin/{method}.gin", "gin/envs/point_mass.gin"), [f"train.total_steps = {steps}"]))
    with full_precision(), tempfile.TemporaryDirectory() as folder:
        (seeds,) = job.config.seed_groups
        groups = [trainer.seed_group(job.config, seeds, Path(folder), resume=False)]
        programs, _ = trainer.compile_groups(job, groups, Progress())
        train_once(job, programs, tells=True)
        pairs = [[train_once(job, programs, tells) for tells in (True, False)] for _ in range(rounds)]
    told, silent = zip(*pairs, strict=True)
    return list(told), list(silent)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.logging", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", action="append", choices=METHODS, help="default: td3, msmmd_cvae")
    parser.add_argument("--steps", type=int, help="environment steps of a run; default: 6000, of msmmd_cvae 2000")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    for method in options.method or STEPS:
        steps = options.steps or STEPS.get(method, 2_000)
        told, silent = turns(method, steps, options.rounds)
        on, off = (np.array([turn.seconds for turn in runs]) for runs in (told, silent))
        low, middle, high = np.percentile(on / off, [25, 50, 75])
        share = np.median([turn.telling / turn.seconds for turn in told])
        print(
            f"{method}, {steps} steps: {np.median(on):.2f} s, silent {np.median(off):.2f} s; ratio {middle:.3f} "
            f"({low:.3f} to {high:.3f}); within the calls {share:.2%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
