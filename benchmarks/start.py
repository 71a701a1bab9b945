"""How long a start takes: imports, and the default job to its first update, with an empty cache and with a full one.

    python -m benchmarks.start

Each is a process of its own, from its start. The default job is gin/msmmd_cvae.gin with a warm-up of one round of
updates; its seconds are those that it tells once the warm-up has ended. Given are medians over the rounds, each of
which begins with an empty cache of compiled programs. It writes docs/results/start.csv; rows of the present device are
replaced.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.methods import device_name
from experiments.lib.results import RESULTS, Results

ROOT = Path(__file__).resolve().parent.parent
IMPORTS = ("jax", "sobolev.metrics", "sobolev", "sobolev.training")


class Start(NamedTuple):
    """What is started, and where."""

    device: str
    what: str


class Duration(NamedTuple):
    """From the process's start."""

    seconds: float


def imported(module: str) -> float:
    """Seconds of a process that imports a module and ends."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began


def first_update(cache: Path, directory: str) -> float:
    """Seconds until the default job has made its first updates."""
    command = [sys.executable, "agents/run.py", "--gin_file=gin/msmmd_cvae.gin", f"--run_dir={directory}"]
    bindings = ["train.warmup_updates=1", "train.total_steps=504", "train.warmup_steps=500", "train.eval_every=504"]
    run = subprocess.run(
        [*command, *(f"--gin_bindings={binding}" for binding in bindings)],
        cwd=ROOT,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)},
        check=True,
        capture_output=True,
        text=True,
    )
    found = re.search(r"\[ *([\d.]+) s\].*warm-up", run.stdout)
    if found is None:
        raise ValueError(f"no warm-up told by {' '.join(command)}: {run.stdout[-500:]}")
    return float(found.group(1))


def one_round() -> dict[str, float]:
    """The seconds of each start, once."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        starts: dict[str, Callable[[], float]] = {f"import {module}": partial(imported, module) for module in IMPORTS}
        starts["first update, empty cache"] = partial(first_update, folder / "cache", str(folder / "cold"))
        starts["first update, full cache"] = partial(first_update, folder / "cache", str(folder / "warm"))
        return {what: start() for what, start in starts.items()}


def main() -> None:
    """Measures, writes the rows and prints them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.start", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    rounds = [one_round() for _ in range(parser.parse_args().rounds)]
    medians = {what: statistics.median(each[what] for each in rounds) for what in rounds[0]}
    found = {Start(device_name(), what): Duration(round(seconds, 2)) for what, seconds in medians.items()}
    Results(RESULTS / "start.csv", Start, Duration).add(found)
    for what, seconds in medians.items():
        print(f"{what:28} {seconds:8.2f} s")


if __name__ == "__main__":
    main()
