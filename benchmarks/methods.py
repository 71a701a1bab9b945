"""Updates a second of the methods, at laptop and paper size, with one seed or several in a program.

    python -m benchmarks.methods
    python -m benchmarks.methods --method=msmmd_cvae --size=laptop --seeds=1 --seeds=16

Ten updates are fused into one program, as in a run; states have 17 numbers and actions 6. The methods of a size are
timed in turns; given are medians. It writes docs/results/speed.csv; rows of the present device are replaced.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax

from agents import gin_names
from benchmarks.update import FUSED, SPEC, medians, random_batch
from experiments.lib.results import RESULTS, Results
from sobolev.agent import make_agent
from sobolev.training.job import full_precision

METHODS = ("msmmd_cvae", "mmd_cvae", "huber_cvae", "huber_mage", "iqn", "mmd", "td3", "ddpg", "sac", "tqc")
SIZES = {"laptop": (), "paper": ("gin/scale/paper.gin",)}


class Program(NamedTuple):
    """What is timed, and where."""

    device: str
    size: str
    method: str
    seeds: int


class Speed(NamedTuple):
    """Of one update of all seeds: milliseconds; of the program: seconds to compile, and MiB besides its arguments."""

    milliseconds: float
    updates_a_second: float
    compile_seconds: float
    temporary_mib: float


def device_name() -> str:
    """The accelerator, or the number of cores."""
    kind = jax.devices()[0].device_kind
    return f"{len(os.sched_getaffinity(0))} cores" if jax.default_backend() == "cpu" else kind


def temporary_bytes(program: Any) -> int:
    """Of a compiled program, besides its arguments and results."""
    return int(program.memory_analysis().temp_size_in_bytes)


def compiled(key: Program) -> tuple[Callable[[], Any], float, float]:
    """Ten fused updates, ready to run; the seconds that compiling took, and the bytes of its temporaries."""
    config = gin_names.load((f"gin/{key.method}.gin", *SIZES[key.size]), ["agent.actor_start = 0"])
    options = config.cpu_compiler_options if jax.default_backend() == "cpu" else {}
    with full_precision():
        agent = make_agent(config.agent, SPEC)
        keys = jax.random.split(jax.random.key(0), (key.seeds, FUSED))
        batches = jax.vmap(jax.vmap(lambda key: random_batch(key, agent.parts.config.batch_size)))(keys)
        states = jax.jit(jax.vmap(agent.init))(keys[:, 0])

        def updates(state: Any, batches: Any) -> Any:
            return jax.lax.scan(agent.update, state, batches)[0]

        lowered = jax.jit(jax.vmap(updates)).lower(states, batches)
    began = time.perf_counter()
    program = lowered.compile(compiler_options=options)
    took = time.perf_counter() - began
    return partial(program, states, batches), took, temporary_bytes(program)


def measure(keys: list[Program], rounds: int) -> dict[Program, Speed]:
    """The speed of each program, timed in turns."""
    programs = {}
    for key in keys:
        programs[key] = compiled(key)
        print(*key, f"compiled in {programs[key][1]:.1f} s", flush=True)
    took = medians({key: run for key, (run, *_) in programs.items()}, rounds)
    return {
        key: Speed(
            round(1e3 * took[key] / FUSED, 4),
            round(key.seeds * FUSED / took[key], 1),
            round(compile_seconds, 1),
            round(temporary / 2**20, 2),
        )
        for key, (_, compile_seconds, temporary) in programs.items()
    }


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.methods", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", action="append", choices=METHODS, help="default: all")
    parser.add_argument("--size", action="append", choices=SIZES, help="default: both")
    parser.add_argument("--seeds", action="append", type=int, help="in one program; default: 1")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    return parser


def main() -> None:
    """Measures, writes the rows and prints them."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "speed.csv", Program, Speed)
    for size in options.size or SIZES:
        for seeds in options.seeds or [1]:
            keys = [Program(device_name(), size, method, seeds) for method in options.method or METHODS]
            found = measure(keys, options.rounds)
            results.add(found)
            for key, speed in found.items():
                print(
                    f"{key.device} {key.size} {key.method:10} {key.seeds:3} seeds: {speed.milliseconds:9.3f} ms "
                    f"{speed.updates_a_second:9.1f} updates/s, compile {speed.compile_seconds:.1f} s, "
                    f"temporary {speed.temporary_mib:.1f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
