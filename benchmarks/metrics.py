"""Metrics, value and gradient, beside geomloss and POT where they are installed.

    pip install geomloss pot
    python -m benchmarks.metrics

All have the same float32 samples, a batch of pairs of N points in D dimensions each, and give the mean over the batch
and its gradient in the first sample; peers without a batch axis are called pair by pair. "pair by pair" is our MMD from
the kernel's gap of two points. All programs of a shape are timed in turns; given are medians in milliseconds, and the
value; those of sliced distances depend on the directions drawn. It writes docs/results/metrics_speed.csv.
"""

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.update import medians
from experiments.lib.results import RESULTS, Results
from sobolev import metrics
from sobolev.types import Array

SHAPES = ((256, 10, 7), (256, 64, 7), (1, 1024, 7), (8, 256, 24), (8, 256, 376), (256, 64, 1))
DIRECTIONS = 50


class Case(NamedTuple):
    """What is computed, by whom, and on how many pairs of samples of which size."""

    metric: str
    library: str
    batch: int
    n: int
    d: int


class Measured(NamedTuple):
    """The median time of value and gradient, and the value."""

    milliseconds: float
    value: float


def samples(batch: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two normal samples, of which the second is shifted by 0.3 in each component."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, batch, n, d)).astype(np.float32)
    return x, y + np.float32(0.3)


def ours(distance: Callable[..., Array], x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """A distance of one pair, averaged over the batch, with its gradient, compiled."""
    program = jax.jit(jax.value_and_grad(lambda x, y: jnp.mean(jax.vmap(distance)(x, y))))
    return partial(program, jnp.asarray(x), jnp.asarray(y))


def pair_by_pair(x: Array, y: Array) -> Array:
    """The energy distance by the kernel's gap of two points."""
    gap = metrics.Energy().gap
    between, within_x, within_y = (jnp.mean(metrics.gram(gap, *pair)) for pair in ((x, y), (x, x), (y, y)))
    return 2.0 * between - within_x - within_y


def torch_program(distance: Callable[[Any, Any], Any], x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """A batched distance in PyTorch, averaged, with its gradient."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    y_there = torch.from_numpy(y)

    def run() -> tuple[float, Any]:
        x_there = torch.from_numpy(x).requires_grad_()
        value = distance(x_there, y_there).mean()
        value.backward()
        return value.item(), x_there.grad.numpy()

    return run


def programs(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Metric, library and program, of what goes with the shape."""
    batch, _, d = x.shape
    energy = partial(metrics.mmd2, kernel=metrics.Energy(), estimator="v")
    yield "energy", "sobolev", ours(energy, x, y)
    yield "energy", "sobolev, pair by pair", ours(pair_by_pair, x, y)
    for name, kernel in (("multiquadric", metrics.Multiquadric()), ("rbf", metrics.RBF())):
        yield name, "sobolev", ours(partial(metrics.mmd2, kernel=kernel, estimator="v"), x, y)
    if importlib.util.find_spec("geomloss"):
        import geomloss  # type: ignore[import-not-found, unused-ignore]

        loss = geomloss.SamplesLoss("energy", backend="tensorized")
        yield "energy", "geomloss", torch_program(lambda x, y: 2.0 * loss(x, y), x, y)
    if d > 1:
        sliced = partial(metrics.sliced_wasserstein, p=2.0, num_directions=DIRECTIONS)
        yield "sliced_wasserstein", "sobolev", ours(partial(sliced, jax.random.key(0)), x, y)
        if importlib.util.find_spec("ot"):
            import ot  # type: ignore[import-not-found, unused-ignore]

            def of_pair(x: Any, y: Any) -> Any:
                return ot.sliced_wasserstein_distance(x, y, n_projections=DIRECTIONS, p=2, seed=0) ** 2

            def of_batch(x: Any, y: Any) -> Any:
                import torch

                return torch.stack([of_pair(x[i], y[i]) for i in range(batch)])

            yield "sliced_wasserstein", "POT", torch_program(of_batch, x, y)
    if d == 1:
        yield "wasserstein", "sobolev", ours(partial(metrics.wasserstein, p=2.0), x, y)


def measure(shape: tuple[int, int, int], rounds: int) -> dict[Case, Measured]:
    """All programs of one shape, in turns."""
    runs = {Case(metric, library, *shape): run for metric, library, run in programs(*samples(*shape))}
    values = {case: float(np.asarray(run()[0])) for case, run in runs.items()}
    took = medians(runs, rounds)
    return {case: Measured(round(1e3 * took[case], 3), round(values[case], 6)) for case in runs}


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.metrics", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    return parser


def main() -> None:
    """Measures, writes the rows and prints them."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "metrics_speed.csv", Case, Measured)
    for shape in SHAPES:
        found = measure(shape, options.rounds)
        results.add(found)
        for case, measured in found.items():
            print(f"{case.metric:20} {case.library:24} {shape!s:14} {measured.milliseconds:10.2f} ms  {measured.value}")


if __name__ == "__main__":
    main()
