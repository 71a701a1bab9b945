"""The speed of one update at the papers' size, against the matrix products that it consists of.

    python benchmarks/update.py

Every matrix product of the update is counted from its trace, shape by shape. The products of one shape are timed alone,
in the same process; what the update would take if it consisted of them and nothing else is the limit. Printed are the
products' floating-point operations per update, both rates, and their ratio.
"""

import argparse
import collections
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parent.parent)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402

from agents.agent import Agent, make_agent  # noqa: E402
from agents.agent_config import AgentConfig  # noqa: E402
from sobolev import actors, balance, critics, metrics, world_models  # noqa: E402
from sobolev.types import Spec, Transition  # noqa: E402

FUSED = 10
Product = tuple[tuple[int, ...], tuple[int, ...], Any]


def paper_agent(noise_source: str, metric: str) -> Agent:
    """DSDPG at the size of gin/scale/paper.gin, S = 17 and A = 6."""
    effort = {"num_directions": 16, "num_climbs": 1, "num_steps": 3} if metric == "msmmd" else {}
    config = AgentConfig(
        metric=metrics.registry.make(metric, **effort),
        world_model=world_models.make_cvae,
        critic=critics.make_generative,
        actor=actors.make_deterministic,
        gradient="action",
        gradient_scale=balance.Balanced(),
        noise_source=noise_source,
        continuation="data",
        overestimation="truncate",
        drop=2,
        num_critics=2,
        num_samples=10,
        batch_size=256,
        gamma=0.99,
        n_step=1,
        polyak=0.005,
        actor_polyak=0.005,
        actor_value="mean",
        target_noise=0.0,
        policy_delay=1,  # a product of a branch that is not taken would count all the same
        actor_start=0,
        critic_optimizer=optax.radam(3e-4),
        actor_optimizer=optax.radam(3e-4),
        world_model_optimizer=optax.adam(3e-4),
    )
    return make_agent(config, Spec(17, 6))


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


def seconds(run: Callable[[], Any], repeats: int) -> list[float]:
    """Wall times of ``repeats`` runs after one that compiles."""
    jax.block_until_ready(run())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - began)
    return times


def product_seconds(product: Product, repeats: int) -> float:
    """Median time of one product alone."""
    left, right, dimensions = product
    keys = jax.random.split(jax.random.key(0))
    x, y = jax.random.normal(keys[0], left), jax.random.normal(keys[1], right)
    multiply = jax.jit(lambda x, y: jax.lax.dot_general(x, y, dimensions))
    return statistics.median(seconds(lambda: multiply(x, y), repeats))


def main() -> None:
    """Prints the table for one noise source and metric."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--noise_source", default="imagination", choices=("imagination", "inference"))
    parser.add_argument("--metric", default="msmmd", choices=("msmmd", "mmd"))
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    agent = paper_agent(options.noise_source, options.metric)
    keys = jax.random.split(jax.random.key(0), 4)
    rows = (FUSED, 256)
    batches = Transition(
        s=jax.random.normal(keys[0], (*rows, 17)),
        a=jax.random.uniform(keys[1], (*rows, 6), minval=-1.0, maxval=1.0),
        r=jax.random.normal(keys[2], rows),
        discount=jnp.ones(rows),
        s_next=jax.random.normal(keys[3], (*rows, 17)),
    )
    state = jax.jit(agent.init)(jax.random.key(1))
    first = jax.tree.map(lambda x: x[0], batches)

    count: collections.Counter[Product] = collections.Counter()
    for product, times in products(jax.make_jaxpr(agent.update)(state, first).jaxpr):
        count[product] += times
    total = sum(flops(product) * times for product, times in count.items())
    # A product that is a thousandth of the whole or less is timed by its share, not by itself.
    large = {product: times for product, times in count.items() if flops(product) * times > 1e-3 * total}
    covered = sum(flops(product) * times for product, times in large.items())
    limit = sum(times * product_seconds(product, 5 * options.repeats) for product, times in large.items())
    limit *= total / covered

    fused = jax.jit(lambda state, batches: jax.lax.scan(agent.update, state, batches)[0])
    together = statistics.median(seconds(lambda: fused(state, batches), options.repeats)) / FUSED
    one = jax.jit(lambda state, batch: agent.update(state, batch)[0])
    alone = statistics.median(seconds(lambda: one(state, first), 3 * options.repeats))
    gflop = total / 1e9
    print(f"device                     {jax.devices()[0].device_kind}, {options.noise_source}, {options.metric}")
    print(f"matrix products            {gflop:8.2f} GFLOP per update ({len(count)} shapes)")
    print(f"the same products alone    {gflop / limit:8.1f} GFLOP/s   {1e3 * limit:8.1f} ms per update")
    print(f"ten updates fused          {gflop / together:8.1f} GFLOP/s   {1e3 * together:8.1f} ms per update")
    print(f"one update a call          {gflop / alone:8.1f} GFLOP/s   {1e3 * alone:8.1f} ms per update")
    print(f"fused / products           {limit / together:8.2f}")
    print(f"single / products          {limit / alone:8.2f}")


if __name__ == "__main__":
    main()
