"""What the machine can do at most: products, element-wise work, random numbers, and small operations one by one.

    python -m benchmarks.limits

Products are those of hidden layers, of the rows of a batch, or of all its samples; element-wise work is a fused
``a x + b`` and a Swish on the activations of a layer; random numbers are standard normal; an operation by itself is one
of a chain of dependent sums of eight numbers, which a compiler cannot fuse across a loop. All are timed in turns; given
are medians. It writes docs/results/limits.csv; rows of the present device are replaced.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.methods import device_name
from benchmarks.update import medians
from experiments.lib.results import RESULTS, Results
from sobolev.types import Array

REPEATED = 20
LAUNCHES = 1_000


class Limit(NamedTuple):
    """What is timed, and where."""

    device: str
    work: str


class Rate(NamedTuple):
    """Units of work a second, and the unit."""

    rate: float
    unit: str


class Work(NamedTuple):
    """A program, how much it does, in which unit."""

    run: Callable[[], Any]
    amount: float
    unit: str


def repeated(step: Callable[[Array], Array], x: Array, times: int = REPEATED) -> Callable[[], Any]:
    """A program that applies a step over and over."""
    return partial(jax.jit(lambda x: jax.lax.fori_loop(0, times, lambda _, x: step(x), x)), x)


def product(rows: int, width: int) -> Work:
    """Of activations and a square matrix of weights."""
    x, w = jnp.ones((rows, width)), jnp.eye(width)
    return Work(repeated(lambda x: x @ w, x), REPEATED * 2 * rows * width**2 / 1e9, "GFLOP/s")


def elementwise(step: Callable[[Array], Array], rows: int, width: int) -> Work:
    """Of activations."""
    return Work(repeated(step, jnp.ones((rows, width))), REPEATED * rows * width / 1e9, "G numbers/s")


def normal(rows: int, width: int) -> Work:
    """Random numbers, of a new key each time."""

    def draw(x: Array) -> Array:
        return jax.random.normal(jax.random.key(x[0, 0].astype(jnp.int32)), (rows, width))

    return Work(repeated(draw, jnp.ones((rows, width))), REPEATED * rows * width / 1e9, "G numbers/s")


def works() -> dict[str, Work]:
    """By name; 64 rows are a batch at laptop size, 1 024 its samples, 5 120 those at the papers' size."""
    sizes = ((64, 64), (1_024, 64), (256, 256), (5_120, 256), (4_608, 512))
    return {
        **{f"product {rows} x {width} x {width}": product(rows, width) for rows, width in sizes},
        "a x + b, 1 024 x 64": elementwise(lambda x: 0.5 * x + 0.25, 1_024, 64),
        "Swish, 1 024 x 64": elementwise(jax.nn.swish, 1_024, 64),
        "Swish, 5 120 x 256": elementwise(jax.nn.swish, 5_120, 256),
        "normal, 1 024 x 16": normal(1_024, 16),
        "one small operation": Work(
            repeated(lambda x: jnp.cumsum(x)[::-1] / 8, jnp.ones(8), LAUNCHES), LAUNCHES / 1e3, "thousand/s"
        ),
    }


def main() -> None:
    """Measures, writes the rows and prints them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.limits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    rounds = parser.parse_args().rounds
    found = works()
    took = medians({name: work.run for name, work in found.items()}, rounds)
    rates = {name: Rate(round(work.amount / took[name], 3), work.unit) for name, work in found.items()}
    Results(RESULTS / "limits.csv", Limit, Rate).add({Limit(device_name(), name): rate for name, rate in rates.items()})
    for name, rate in rates.items():
        print(f"{name:28} {rate.rate:10.3f} {rate.unit}")


if __name__ == "__main__":
    main()
