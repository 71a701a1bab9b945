"""The speed of one update at the papers' size, against the matrix products that it consists of.

    python -m benchmarks.update
    python -m benchmarks.update --gin_bindings="agent.noise_source='imagination'"

The agent is that of gin/msmmd_cvae.gin and gin/scale/paper.gin for a state of 17 and an action of 6. Every matrix
product of its update is counted from the trace, shape by shape, and the products of one shape are timed alone, in the
same process; the limit is the time of an update that consists of them and nothing else. Products and updates are timed
in turns, so that other load on the machine slows them alike. Printed are the products' floating-point operations per
update, the rates, and their ratios: medians over the rounds.
"""

import argparse
import collections
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from agents import gin_names
from sobolev.agent import Agent, make_agent
from sobolev.types import Array, Key, Spec, Transition

FUSED = 10
SPEC = Spec(state_size=17, action_size=6)
FILES = ("gin/msmmd_cvae.gin", "gin/scale/paper.gin")
Product = tuple[tuple[int, ...], tuple[int, ...], Any]


def paper_agent(bindings: Sequence[str]) -> tuple[Agent, dict[str, Any]]:
    """The default method at the papers' size with the given bindings, and the options with which a run compiles it."""
    # With a delay, the products of a branch that is not taken would count all the same.
    config = gin_names.load(FILES, ["agent.policy_delay = 1", "agent.actor_start = 0", *bindings])
    is_cpu = jax.default_backend() == "cpu"
    return make_agent(config.agent, SPEC), config.cpu_compiler_options if is_cpu else {}


def random_batch(key: Key, size: int, spec: Spec = SPEC) -> Transition:
    """Transitions of a specification's sizes, ``[size]``."""
    keys = jax.random.split(key, 4)
    return Transition(
        s=jax.random.normal(keys[0], (size, spec.state_size)),
        a=jax.random.uniform(keys[1], (size, spec.action_size), minval=-1.0, maxval=1.0),
        r=jax.random.normal(keys[2], (size,)),
        discount=jnp.ones(size),
        s_next=jax.random.normal(keys[3], (size, spec.state_size)),
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

    def multiply(x: Array, y: Array) -> Array:
        return jax.lax.dot_general(x, y, dimensions)

    return partial(jax.jit(multiply), x, y)


def medians(runs: dict[Any, Callable[[], Any]], rounds: int) -> dict[Any, float]:
    """Each run's median wall time over ``rounds`` in which all take their turn, after one that compiles."""
    for run in runs.values():
        seconds(run)
    times = [{name: seconds(run) for name, run in runs.items()} for _ in range(rounds)]
    return {name: statistics.median(row[name] for row in times) for name in runs}


def count_products(agent: Agent, batch: Transition) -> collections.Counter[Product]:
    """How often an update has each matrix product."""
    state = jax.eval_shape(agent.init, jax.random.key(0))
    count: collections.Counter[Product] = collections.Counter()
    for product, times in products(jax.make_jaxpr(agent.update)(state, batch).jaxpr):
        count[product] += times
    return count


def measure(
    agent: Agent, batches: Transition, options: dict[str, Any], large: Mapping[Product, int], rounds: int
) -> tuple[dict[str, float], float]:
    """Seconds per update, fused and one a call, and the seconds that its large products take alone."""
    state, first = jax.jit(agent.init)(jax.random.key(1)), jax.tree.map(lambda x: x[0], batches)
    compiled = partial(jax.jit, compiler_options=options)
    fused = compiled(lambda state, batches: jax.lax.scan(agent.update, state, batches)[0])
    one = compiled(lambda state, batch: agent.update(state, batch)[0])
    updates = {"fused": partial(fused, state, batches), "one": partial(one, state, first)}
    took = medians({**{product: alone(product) for product in large}, **updates}, rounds)
    alone_seconds = sum(times * took[product] for product, times in large.items())
    return {f"{FUSED} fused": took["fused"] / FUSED, "one a call": took["one"]}, alone_seconds


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.update", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gin_bindings", action="append", default=[], help="as agents/run.py's")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    return parser


def main() -> None:
    """Prints the table."""
    options = make_parser().parse_args()
    agent, compiler_options = paper_agent(options.gin_bindings)
    batch_size = agent.parts.config.batch_size
    batches = jax.vmap(lambda key: random_batch(key, batch_size))(jax.random.split(jax.random.key(0), FUSED))
    count = count_products(agent, jax.tree.map(lambda x: x[0], batches))
    total = sum(flops(product) * times for product, times in count.items())
    # A product that is a thousandth of the whole or less is timed by its share, not by itself.
    large = {product: times for product, times in count.items() if flops(product) * times > 1e-3 * total}
    covered = sum(flops(product) * times for product, times in large.items())
    updates, alone_seconds = measure(agent, batches, compiler_options, large, options.rounds)
    limit = alone_seconds * total / covered

    print("device          ", jax.devices()[0].device_kind, *options.gin_bindings)
    print(f"products         {total / 1e9:8.2f} GFLOP per update, {len(count)} shapes, {options.rounds} rounds")
    for name, duration in {"products alone": limit, **updates}.items():
        ratio = limit / duration
        print(f"{name:16} {total / 1e9 / duration:8.1f} GFLOP/s {1e3 * duration:8.1f} ms per update {ratio:6.2f}")


if __name__ == "__main__":
    main()
