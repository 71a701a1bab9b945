"""Many seeds in one program against as many single runs, one after another: whole processes, start-up included.

    python -m benchmarks.seeds
    python -m benchmarks.seeds --seeds=4 --gin_file=gin/td3.gin

Each side has a compilation cache of its own, empty at first: of the single runs the first compiles and the others load
what it compiled. Printed are the seconds of each process, those that it spent learning, and the ratio of the sides.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from sobolev.training import read_run

ROOT = Path(__file__).resolve().parent.parent


class Seconds(NamedTuple):
    """Of one process: in all, and of the chunks between evaluations."""

    wall: float
    learning: float


def run(gin_files: list[str], bindings: list[str], run_dir: Path, cache: Path) -> Seconds:
    """One run of the command line."""
    arguments = [f"--gin_file={file}" for file in gin_files] + [f"--gin_bindings={binding}" for binding in bindings]
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "agents/run.py", *arguments, f"--run_dir={run_dir}"],
        cwd=ROOT,
        env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - began
    rows = read_run(run_dir).rows
    chunks = {row["env_steps"]: row.get("time/learn_seconds", 0.0) for row in rows}
    return Seconds(wall, sum(chunks.values()))


def main() -> None:
    """Measures both sides and prints their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--gin_file", action="append")
    parser.add_argument("--gin_bindings", action="append", default=[])
    options = parser.parse_args()
    files = options.gin_file or ["gin/msmmd_cvae.gin"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        together = run(
            files, [*options.gin_bindings, f"train.num_seeds={options.seeds}"], folder / "all", folder / "cache_all"
        )
        print(
            f"{options.seeds} seeds in one program: {together.wall:.1f} s, learning {together.learning:.1f} s",
            flush=True,
        )
        singles = []
        for seed in range(options.seeds):
            bindings = [*options.gin_bindings, f"train.seed={seed}"]
            singles.append(run(files, bindings, folder / str(seed), folder / "cache_single"))
            print(f"seed {seed}: {singles[-1].wall:.1f} s, learning {singles[-1].learning:.1f} s", flush=True)
    wall, learning = (sum(seconds) for seconds in zip(*singles, strict=True))
    print(f"single runs: {wall:.1f} s, learning {learning:.1f} s")
    print(f"ratio: {together.wall / wall:.2f} of the time in all, {together.learning / learning:.2f} of the learning")


if __name__ == "__main__":
    main()
