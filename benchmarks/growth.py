"""How an update's cost grows with samples, batch, actions, state and width, as fitted exponents.

    python -m benchmarks.growth
    python -m benchmarks.growth --method=huber_cvae --axis=num_samples

From laptop size, one number at a time is changed; the programs of an axis are timed in turns, and given are medians.
Exponents are slopes of least squares in the logarithms: 1 is proportional, 0 no growth. It writes
docs/results/growth.csv; rows of the present device are replaced.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from agents import gin_names
from benchmarks.methods import METHODS, device_name, temporary_bytes
from benchmarks.update import FUSED, SPEC, medians, random_batch
from experiments.lib.results import RESULTS, Results
from sobolev.agent import make_agent
from sobolev.training.job import full_precision
from sobolev.types import Spec

AXES = {
    "num_samples": (8, 16, 32, 64),
    "batch_size": (32, 64, 128, 256),
    "action_size": (1, 4, 16, 64),
    "state_size": (8, 32, 128),
    "width": (64, 128, 256),
}


class Case(NamedTuple):
    """What is timed, and where."""

    device: str
    method: str
    axis: str
    value: int


class Cost(NamedTuple):
    """Of one update: milliseconds, operations as the compiler counts them; of ten, the temporary memory."""

    milliseconds: float
    gflop: float
    temporary_mib: float


def bindings(case: Case) -> list[str]:
    """What the case changes in the configuration."""
    common = ["agent.policy_delay = 1", "agent.actor_start = 0"]
    if case.axis in ("num_samples", "batch_size"):
        return [*common, f"agent.{case.axis} = {case.value}"]
    if case.axis == "width":
        layers = (case.value, case.value)
        return [*common, f"widths = {layers}", f"model_widths = {layers}"]
    return common


def program(case: Case) -> tuple[Callable[[], Any], float, float]:
    """Ten fused updates, ready to run; GFLOP of one, and MiB besides arguments and results."""
    spec = Spec(
        state_size=case.value if case.axis == "state_size" else SPEC.state_size,
        action_size=case.value if case.axis == "action_size" else SPEC.action_size,
    )
    config = gin_names.load((f"gin/{case.method}.gin",), bindings(case))
    options = config.cpu_compiler_options if jax.default_backend() == "cpu" else {}
    with full_precision():
        agent = make_agent(config.agent, spec)
        keys = jax.random.split(jax.random.key(0), FUSED)
        batches = jax.vmap(lambda key: random_batch(key, config.agent.batch_size, spec))(keys)
        state = jax.jit(agent.init)(keys[0])
        compiled = (
            jax.jit(lambda state, batches: jax.lax.scan(agent.update, state, batches)[0])
            .lower(state, batches)
            .compile(compiler_options=options)
        )
    analysis = compiled.cost_analysis()
    operations = float(analysis["flops"]) if analysis else 0.0
    return partial(compiled, state, batches), operations / 1e9, temporary_bytes(compiled) / 2**20


def measure(device: str, method: str, axis: str, rounds: int) -> dict[Case, Cost]:
    """The programs of one axis, in turns."""
    programs = {case: program(case) for case in (Case(device, method, axis, value) for value in AXES[axis])}
    took = medians({case: run for case, (run, *_) in programs.items()}, rounds)
    return {
        case: Cost(round(1e3 * took[case] / FUSED, 4), round(gflop, 4), round(mib, 2))
        for case, (_, gflop, mib) in programs.items()
    }


def exponent(values: list[float], costs: list[float]) -> float:
    """The slope of least squares in the logarithms."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0])


def main() -> None:
    """Measures, writes the rows and prints them with the exponents."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", action="append", choices=METHODS, help="default: msmmd_cvae")
    parser.add_argument("--axis", action="append", choices=AXES, help="default: all")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    options = parser.parse_args()
    results = Results(RESULTS / "growth.csv", Case, Cost)
    for method in options.method or ["msmmd_cvae"]:
        for axis in options.axis or AXES:
            found = measure(device_name(), method, axis, options.rounds)
            results.add(found)
            for case, cost in found.items():
                print(
                    f"{method} {axis} {case.value:4} {cost.milliseconds:9.3f} ms {cost.gflop:8.3f} GFLOP "
                    f"{cost.temporary_mib:8.2f} MiB",
                    flush=True,
                )
            exponents = (exponent(list(AXES[axis]), list(column)) for column in zip(*found.values(), strict=True))
            time, gflop, mib = exponents
            print(f"{method} {axis}: exponents {time:.2f} of the time, {gflop:.2f} of operations, {mib:.2f} of memory")


if __name__ == "__main__":
    main()
