"""A long run of training and evaluation: does its memory stay flat, and does it compile nothing after its warm-up?

    python -m benchmarks.soak --minutes=120
    python -m benchmarks.soak --minutes=120 --gin_file=gin/td3.gin --gin_file=gin/envs/reacher_v5.gin

One process trains a job that would last for years, evaluates every 1 000 environment steps, writes a checkpoint every
5 000, and ends by a signal. At the first evaluation of each minute it notes the memory of the process that is in use
(resident, in MiB; Linux), the arrays that are alive in JAX, the threads, the open files, and how many programs were
compiled so far. It writes docs/results/soak.csv; rows of the present device and job are replaced. Growth is the slope
of a line through the second half of the notes: the first is the warm-up of allocators and caches.
"""

import argparse
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from agents import gin_names
from benchmarks.methods import device_name
from experiments.lib.results import RESULTS, Results
from sobolev.training import build, train
from sobolev.training.interrupts import Interrupted
from sobolev.training.rows import Row

LONG = (
    "train.total_steps = 2_000_000_000",
    "train.replay_capacity = 20_000",
    "train.eval_every = 1_000",
    "train.checkpoint_every = 5_000",
)
COMPILED = "/jax/core/compile/backend_compile_duration"


class Minute(NamedTuple):
    """When, of which job, and where."""

    device: str
    job: str
    minute: int


class Usage(NamedTuple):
    """What the process has at that time.

    Fields:
        env_steps: of the run, at its last evaluation.
        resident_mib: memory in use.
        arrays: alive in JAX.
        threads: of the process.
        files: open.
        compiled: programs so far.
    """

    env_steps: int
    resident_mib: float
    arrays: int
    threads: int
    files: int
    compiled: int


@contextmanager
def counted_compilations() -> Iterator[list[float]]:
    """The seconds of each program that XLA compiles within the context, one entry each."""
    seconds: list[float] = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        del kwargs
        if event == COMPILED:
            seconds.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def resident_mib() -> float:
    """The memory of this process that is in use, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(files: Sequence[str], bindings: Sequence[str], minutes: int) -> dict[int, Usage]:
    """Trains for so many minutes after the first evaluation; what the process had in each that had an evaluation."""
    notes: dict[int, Usage] = {}
    began = 0.0

    with counted_compilations() as compiled, tempfile.TemporaryDirectory() as folder:

        def note(row: Row) -> None:
            nonlocal began
            began = began or time.perf_counter()
            minute = int((time.perf_counter() - began) / 60.0)
            if minute and minute not in notes:
                notes[minute] = Usage(
                    int(row["env_steps"]),
                    round(resident_mib(), 1),
                    len(jax.live_arrays()),
                    threading.active_count(),
                    len(os.listdir("/proc/self/fd")),
                    len(compiled),
                )
                print(minute, notes[minute], flush=True)
            if minute >= minutes:
                os.kill(os.getpid(), signal.SIGINT)

        with suppress(Interrupted):
            train(build(gin_names.load(files, [*LONG, *bindings])), folder, callbacks=[note])
    return notes


def growth_mib_an_hour(notes: Mapping[int, Usage]) -> float:
    """The slope of resident memory over the second half of the notes."""
    minutes = sorted(notes)[len(notes) // 2 :]
    return 60.0 * float(np.polyfit(minutes, [notes[minute].resident_mib for minute in minutes], 1)[0])


def main() -> None:
    """Runs, writes the rows and prints what became of it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gin_file", action="append", help="may be repeated; default: gin/msmmd_cvae.gin")
    parser.add_argument("--gin_bindings", action="append", default=[], help="may be repeated")
    parser.add_argument("--minutes", type=int, default=120, help="at least 4; default: %(default)s")
    options = parser.parse_args()
    if options.minutes < 4:
        parser.error(f"--minutes={options.minutes}: a slope needs at least 4")
    files = options.gin_file or ["gin/msmmd_cvae.gin"]
    notes = soak(files, options.gin_bindings, options.minutes)
    job = " ".join([*(Path(file).stem for file in files), *options.gin_bindings])
    results = Results(RESULTS / "soak.csv", Minute, Usage)
    results.rows = {key: value for key, value in results.rows.items() if key[:2] != (device_name(), job)}
    results.add({Minute(device_name(), job, minute): usage for minute, usage in notes.items()})
    minutes = sorted(notes)
    half = minutes[len(minutes) // 2]
    begun, middle, last = (notes[minute] for minute in (minutes[0], half, minutes[-1]))
    print(
        f"{job}: {last.env_steps} environment steps in {minutes[-1]} minutes; from minute {half} on "
        f"{middle.resident_mib} to {last.resident_mib} MiB, {growth_mib_an_hour(notes):+.1f} MiB an hour, arrays "
        f"{middle.arrays} to {last.arrays}, threads {middle.threads} to {last.threads}, files {middle.files} to "
        f"{last.files}; compiled {begun.compiled} programs at first and {last.compiled - begun.compiled} after that"
    )


if __name__ == "__main__":
    main()
