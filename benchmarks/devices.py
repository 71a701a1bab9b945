"""Updates a second of several seeds on one device, on several, and in several processes, beside the ideal.

    python -m benchmarks.devices
    python -m benchmarks.devices --seeds=8 --gin_file=gin/msmmd_cvae.gin

The devices are those that XLA is forced to see on the host: they share its cores, so that no more of them than there
are cores can be of use, and one of them may already use several. Each layout's processes are started once, compile the
program that learns, and then learn in turns, while the others wait; timed is one piece of a run, until the last process
of the layout has ended it. Given are medians, and medians and quartiles of the ratios of a turn to one device. The
ideal is as many times the speed of one device as there are devices in all, and not more than there are cores. It writes
docs/results/devices.csv; rows of the present machine are replaced.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents import gin_names
from benchmarks.methods import device_name
from experiments.lib.results import RESULTS, Results
from sobolev.training import build, loop
from sobolev.training.job import Job, full_precision
from sobolev.training.processes import Processes
from sobolev.training.programs import trace

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = "gin/envs/point_mass.gin"


class Layout(NamedTuple):
    """Where the seeds are."""

    device: str
    method: str
    seeds: int
    processes: int
    devices_each: int


class Speed(NamedTuple):
    """Of all seeds together; ``ratio`` to one device, with its quartiles; ``efficiency`` is the ratio to the ideal."""

    updates_a_second: float
    ratio: float
    low: float
    high: float
    efficiency: float


LAYOUTS = ((1, 1), (1, 2), (1, 4), (2, 1))
"""Processes, and devices of each."""


def make_job(gin_file: str, seeds: int, processes: Processes) -> Job:
    """The job of one process: its share of the seeds."""
    config = gin_names.load((gin_file, ENVIRONMENT), [f"train.num_seeds = {seeds // processes.size}"])
    return build(config)


def learn_on_demand(job: Job, iterations: int) -> None:
    """Compiles the program that learns, and runs a piece of it for every line of stdin."""
    with full_precision():
        init, fit_normalizers, advance = (lowered.compile() for _, lowered in islice(trace(job), 3))
    axis, config = job.seed_axis, job.config.loop
    state = loop.warm_up(config, init(axis.keys(range(axis.size))), fit_normalizers, advance)
    for count in (1, iterations):
        state = jax.block_until_ready(advance(state, jnp.int32(count), loop.LEARN))
    print("ready", axis.mesh.size, flush=True)
    for _ in sys.stdin:
        state = jax.block_until_ready(advance(state, jnp.int32(iterations), loop.LEARN))
        print("done", flush=True)


class Workers:
    """The processes of a layout.

    Args:
        started: they.
    """

    def __init__(self, started: "list[subprocess.Popen[str]]") -> None:
        self._started = started

    def wait_for(self, word: str) -> None:
        """Returns when all have said a word."""
        for process in self._started:
            assert process.stdout is not None
            if not any(line.startswith(word) for line in iter(process.stdout.readline, "")):
                raise RuntimeError(f"a process has ended with status {process.wait()}")

    def seconds(self) -> float:
        """Of one piece, until the last has ended it."""
        began = time.perf_counter()
        for process in self._started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        self.wait_for("done")
        return time.perf_counter() - began


@contextmanager
def workers(processes: int, devices: int, options: argparse.Namespace) -> Iterator[Workers]:
    """The processes of a layout, compiled and ready."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-m", "benchmarks.devices", f"--seeds={options.seeds}", f"--gin_file={options.gin_file}"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        started = []
        for index in range(processes):
            share = [f"--iterations={options.iterations}", "--worker", str(index), str(processes)]
            env = {**os.environ, "XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
            started.append(stack.enter_context(subprocess.Popen([*command, *share], cwd=ROOT, env=env, **pipes)))
            stack.callback(started[-1].kill)
        all_of_them = Workers(started)
        all_of_them.wait_for("ready")
        yield all_of_them


def measure(options: argparse.Namespace) -> dict[Layout, Speed]:
    """The speed of each layout, in turns."""
    with ExitStack() as stack:
        ready = {}
        for processes, devices in LAYOUTS:
            ready[processes, devices] = stack.enter_context(workers(processes, devices, options))
            print(f"{processes} processes of {devices} devices: compiled", flush=True)
        times = np.array([[each.seconds() for each in ready.values()] for _ in range(options.rounds)])
    config = gin_names.load((options.gin_file, ENVIRONMENT), [])
    updates = options.seeds * options.iterations * config.loop.updates
    cores, found = len(os.sched_getaffinity(0)), {}
    for i, (processes, devices) in enumerate(LAYOUTS):
        low, ratio, high = np.percentile(times[:, 0] / times[:, i], [25, 50, 75])
        layout = Layout(device_name(), Path(options.gin_file).stem, options.seeds, processes, devices)
        numbers = (float(ratio), float(low), float(high), float(ratio) / min(processes * devices, cores))
        found[layout] = Speed(round(updates / float(np.median(times[:, i])), 1), *(round(x, 3) for x in numbers))
    return found


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.devices", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=4, help="a multiple of 4; default: %(default)s")
    parser.add_argument("--gin_file", default="gin/td3.gin", help="default: %(default)s")
    parser.add_argument("--iterations", type=int, default=50, help="of a piece; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--worker", type=int, nargs=2, metavar=("INDEX", "COUNT"), help="be one of the processes timed")
    return parser


def main() -> None:
    """Measures, writes the rows and prints them."""
    options = make_parser().parse_args()
    if options.worker:
        job = make_job(options.gin_file, options.seeds, Processes(*options.worker))
        learn_on_demand(job, options.iterations)
        return
    found = measure(options)
    Results(RESULTS / "devices.csv", Layout, Speed).add(found)
    for layout, speed in found.items():
        print(
            f"{layout.processes} processes of {layout.devices_each} devices {speed.updates_a_second:9.1f} updates/s, "
            f"{speed.ratio:.2f} ({speed.low:.2f} to {speed.high:.2f}) of one device's, {speed.efficiency:.2f} of ideal"
        )


if __name__ == "__main__":
    main()
