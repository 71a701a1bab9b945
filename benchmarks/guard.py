"""What it costs to look for numbers that are not finite, and to leave out such updates.

    python -m benchmarks.guard

Both programs have ten updates of the default method, or another, at laptop size for a state of 17 and an action of 6.
One does not use what the updates say about their numbers, so that a compiler leaves the looking out; the other is a
run's. They are timed in turns; given are the medians, and the median and the quartiles of the ratios.
"""

import argparse
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents import gin_names
from benchmarks.methods import METHODS
from benchmarks.update import FUSED, SPEC, random_batch, seconds
from sobolev.agent import example_batch, make_agent
from sobolev.training import faults
from sobolev.training.job import full_precision


def ratios(method: str, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of ten updates without and with the guard, ``[rounds]`` each."""
    config = gin_names.load((f"gin/{method}.gin",), ["agent.policy_delay = 1", "agent.actor_start = 0"])
    options = config.cpu_compiler_options if jax.default_backend() == "cpu" else {}
    with full_precision():
        agent = make_agent(config.agent, SPEC)
        keys = jax.random.split(jax.random.key(0), FUSED)
        batches = jax.vmap(lambda key: random_batch(key, config.agent.batch_size))(keys)
        state = jax.jit(agent.init)(keys[0])
        fault = faults.none(example_batch(SPEC, config.agent.batch_size))

        def bare(state: Any, batches: Any) -> Any:
            def update(state: Any, batch: Any) -> Any:
                state, scalars = agent.update(state, batch)
                return state, {name: x for name, x in scalars.items() if name != "fault"}

            return jax.lax.scan(update, state, batches)

        def guarded(state: Any, batches: Any) -> Any:
            return jax.lax.scan(faults.guarded(agent.update, "halt", jnp.int32(0)), (state, fault), batches)

        programs = [
            partial(jax.jit(function).lower(state, batches).compile(compiler_options=options), state, batches)
            for function in (bare, guarded)
        ]
        for program in programs:
            seconds(program)
        times = np.array([[seconds(program) for program in programs] for _ in range(rounds)])
    return times[:, 0], times[:, 1]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.guard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", action="append", choices=METHODS, help="default: msmmd_cvae, huber_cvae, td3")
    parser.add_argument("--rounds", type=int, default=25, help="default: %(default)s")
    options = parser.parse_args()
    for method in options.method or ("msmmd_cvae", "huber_cvae", "td3"):
        without, with_guard = ratios(method, options.rounds)
        low, middle, high = np.percentile(with_guard / without, [25, 50, 75])
        print(
            f"{method:10} {1e3 * np.median(without) / FUSED:8.3f} ms, with the guard "
            f"{1e3 * np.median(with_guard) / FUSED:8.3f} ms; ratio {middle:.3f} ({low:.3f} to {high:.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
