"""The speed of one update at the papers' size, against the matrix products that it consists of.

    python benchmarks/update.py
    python benchmarks/update.py --gin_bindings="agent.noise_source='imagination'"

The agent is that of gin/msmmd_cvae.gin and gin/scale/paper.gin for a state of 17 and an action of 6. Every matrix
product of its update is counted from the trace, shape by shape, and the products of one shape are timed alone, in the
same process; what the update would take if it consisted of them and nothing else is the limit. Products and updates are
timed in turns, so that a machine that others share slows them alike. Printed are the products' floating-point
operations per update, the rates, and their ratios: medians over the rounds.
"""

import argparse
import collections
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parent.parent)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from agents import gin_names  # noqa: E402
from sobolev.agent.agent import Agent, make_agent  # noqa: E402
from sobolev.types import Spec, Transition  # noqa: E402

FUSED = 10
SPEC = Spec(state_size=17, action_size=6)
FILES = ("gin/msmmd_cvae.gin", "gin/scale/paper.gin")
Product = tuple[tuple[int, ...], tuple[int, ...], Any]


def paper_agent(bindings: Sequence[str]) -> tuple[Agent, int, dict[str, Any]]:
    """DSDPG at the papers' size with the given bindings, its batch size, and how a run compiles it."""
    # With a delay, the products of a branch that is not taken would count all the same.
    config = gin_names.load(FILES, ["agent.policy_delay=1", "agent.actor_start=0", *bindings])
    is_cpu = jax.default_backend() == "cpu"
    return make_agent(config.agent, SPEC), config.agent.batch_size, config.cpu_compiler_options if is_cpu else {}


def random_batch(key: jax.Array, size: int) -> Transition:
    """Transitions of ``SPEC``'s sizes, ``[size]``."""
    keys = jax.random.split(key, 4)
    return Transition(
        s=jax.random.normal(keys[0], (size, SPEC.state_size)),
        a=jax.random.uniform(keys[1], (size, SPEC.action_size), minval=-1.0, maxval=1.0),
        r=jax.random.normal(keys[2], (size,)),
        discount=jnp.ones(size),
        s_next=jax.random.normal(keys[3], (size, SPEC.state_size)),
    )


def products(jaxpr: Any, times: int = 1) -> Iterator[tuple[Product, int]]:
    """Every matrix product in a trace with how often it runs; of the branches of a condition, all."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            left, right = (variable.aval.shape for variable in equation.invars)
            yield (left, right, equation.params["dimension_numbers"]), times
        inner = times * equation.params.get("length", 1) if equation.primitive.name == "scan" else times
        for parameter in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")
        ):
            body = getattr(parameter, "jaxpr", parameter)
            if hasattr(body, "eqns"):
                yield from products(body, inner)


def flops(product: Product) -> int:
    """Two operations for each term of each sum."""
    left, right, ((_, contracted), (_, batched)) = product
    free = [length for axis, length in enumerate(right) if axis not in (*contracted, *batched)]
    return 2 * math.prod(left) * math.prod(free)


def seconds(run: Callable[[], Any]) -> float:
    """Median wall time of five runs in a row, so that caches are as warm as they get."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def alone(product: Product) -> Callable[[], Any]:
    """One product by itself, compiled, on random operands."""
    left, right, dimensions = product
    keys = jax.random.split(jax.random.key(0))
    x, y = jax.random.normal(keys[0], left), jax.random.normal(keys[1], right)
    multiply = jax.jit(lambda x, y: jax.lax.dot_general(x, y, dimensions))
    return lambda: multiply(x, y)


def medians(runs: dict[Any, Callable[[], Any]], rounds: int) -> dict[Any, float]:
    """Each run's median wall time over ``rounds`` in which all take their turn, after one that compiles."""
    for run in runs.values():
        seconds(run)
    times = [{name: seconds(run) for name, run in runs.items()} for _ in range(rounds)]
    return {name: statistics.median(row[name] for row in times) for name in runs}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gin_bindings", action="append", default=[], help="as agents/run.py's")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    agent, batch_size, compiler_options = paper_agent(options.gin_bindings)
    batches = jax.vmap(lambda key: random_batch(key, batch_size))(jax.random.split(jax.random.key(0), FUSED))
    first = jax.tree.map(lambda x: x[0], batches)
    state = jax.jit(agent.init)(jax.random.key(1))

    count: collections.Counter[Product] = collections.Counter()
    for product, times in products(jax.make_jaxpr(agent.update)(state, first).jaxpr):
        count[product] += times
    total = sum(flops(product) * times for product, times in count.items())
    # A product that is a thousandth of the whole or less is timed by its share, not by itself.
    large = {product: times for product, times in count.items() if flops(product) * times > 1e-3 * total}
    covered = sum(flops(product) * times for product, times in large.items())

    compiled = partial(jax.jit, compiler_options=compiler_options)
    fused = compiled(lambda state, batches: jax.lax.scan(agent.update, state, batches)[0])
    one = compiled(lambda state, batch: agent.update(state, batch)[0])
    runs = {product: alone(product) for product in large}
    took = medians({**runs, "fused": lambda: fused(state, batches), "one": lambda: one(state, first)}, options.rounds)
    limit = sum(times * took[product] for product, times in large.items()) * total / covered

    print("device          ", jax.devices()[0].device_kind, *options.gin_bindings)
    print(f"products         {total / 1e9:8.2f} GFLOP per update, {len(count)} shapes, {options.rounds} rounds")
    for name, duration in (
        ("products alone", limit),
        (f"{FUSED} fused", took["fused"] / FUSED),
        ("one a call", took["one"]),
    ):
        ratio = limit / duration
        print(f"{name:16} {total / 1e9 / duration:8.1f} GFLOP/s {1e3 * duration:8.1f} ms per update {ratio:6.2f}")


if __name__ == "__main__":
    main()
