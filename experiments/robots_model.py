"""Which derivatives does a learned world model give on HalfCheetah-v5?

    python -m experiments.robots_model --seeds=200-204

TD3 of gin/envs/halfcheetah_v5.gin learns for 3 000 steps. World models are trained on the first transitions of its
replay, with the optimizer, the batches and the number of updates that training has, and their derivatives compared with
central differences of MuJoCo's step at states from the last 150, which no model has seen. Differences are over a tenth
of a component's standard deviation, of actions over a tenth, and actions are moved inside by as much. Contacts are
stiff, so that differences over half of that are others: how much they agree is a measure of what a smooth model can
reach. Blocks are normalized as the model's inputs and targets are, and the identity is left out of s' by s. It writes
docs/results/robots_model.csv and .md; what the .csv holds is not computed again.
"""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from agents.runs import consecutive
from experiments.lib.arguments import add_seeds, base_parser
from experiments.lib.comparison import mean_interval
from experiments.lib.derivatives import Jacobian, cosine, fitted, learned_jacobians, relative_error
from experiments.lib.learning import learn, load_job
from experiments.lib.pages import command_of_rows, page, table, verdict
from experiments.lib.results import RESULTS, RUNS, Results
from experiments.robots import arm_of
from sobolev import normalizer
from sobolev.training import Job, checkpoint
from sobolev.training.logs import write_text
from sobolev.types import Array, Transition

NAME = "robots_model"
TASK = "halfcheetah_v5"
MODELS = {
    "network": "Sobolev",
    "network and separable reward": "Sobolev, separable reward",
}
HALF = "differences over half the width"
COUNTS = (1_000, 2_000, 2_800)
STEPS = 3_000
WARM_UP = 1_000  # of gin/envs/gymnasium.gin: environment steps, and updates
FIRST, EVERY = 2_850, 4  # of replay's transitions at which derivatives are taken
WIDTH = 0.1


class Point(NamedTuple):
    """What was compared with MuJoCo, and which block."""

    estimate: str
    transitions: int
    seed: int
    block: str


class Agreement(NamedTuple):
    """Of the block, over all states and components."""

    cosine: float
    error: float


class Simulation:
    """MuJoCo's step as a function of the observation, which is the state without the place along the track."""

    def __init__(self) -> None:
        env: Any = gymnasium.make("HalfCheetah-v5").unwrapped
        self.env, self.positions = env, env.model.nq - 1

    def step(self, s: np.ndarray, a: np.ndarray) -> np.ndarray:
        """``[s', r]``."""
        self.env.data.qacc_warmstart[:] = 0.0  # the solver's first guess would remember the step before
        self.env.set_state(np.append(0.0, s[: self.positions]), s[self.positions :])
        s_next, r, *_ = self.env.step(a)
        return np.append(s_next, r)

    def differences(self, s: np.ndarray, a: np.ndarray, widths_s: np.ndarray, width_a: float) -> Jacobian:
        """The Jacobian by central differences."""
        s, a = s.astype(np.float64), a.astype(np.float64)
        of_s = [(self.step(s + h, a) - self.step(s - h, a)) / (2 * h.sum()) for h in np.diag(widths_s)]
        of_a = [(self.step(s, a + h) - self.step(s, a - h)) / (2 * h.sum()) for h in width_a * np.eye(len(a))]
        by_s, by_a = (jnp.stack(columns, axis=-1) for columns in (of_s, of_a))
        return Jacobian(by_s[:-1] - jnp.eye(len(s)), by_a[:-1], by_s[-1], by_a[-1])


def replayed(seeds: range) -> Transition:
    """What TD3 has met, ``[seeds, STEPS]``, in order."""
    run_dir, arm = RUNS / NAME / f"seeds{seeds[0]}-{seeds[-1]}", arm_of(TASK, "TD3")
    arm = arm._replace(bindings=(*arm.bindings, f"train.total_steps = {STEPS}"))
    learn(arm, seeds, run_dir)
    path = checkpoint.newest(run_dir / "checkpoints")
    assert path is not None
    arrays = checkpoint.read(path)
    return Transition(*(jnp.asarray(arrays[f".replay.data.{field}"][:, :STEPS]) for field in Transition._fields))


def measure(seeds: Sequence[int], data: Transition) -> dict[Point, Agreement]:
    """Of all models, those of all seeds in one program."""
    rows = np.arange(FIRST, STEPS, EVERY)
    at = jax.tree.map(lambda leaf: leaf[:, rows], data)
    of_seeds = [jax.tree.map(lambda leaf, row=row: leaf[row], (data, at)) for row in range(len(seeds))]
    truths, halves = ([true_blocks(data, at, width) for data, at in of_seeds] for width in (WIDTH, WIDTH / 2))
    found: dict[Point, Agreement] = {}
    for seed, half, truth in zip(seeds, halves, truths, strict=True):
        found |= agreements(HALF, 0, seed, half, truth)
    for (name, arm), count in itertools.product(MODELS.items(), COUNTS):
        learned = jax.jit(jax.vmap(partial(blocks_of, load_job(arm_of(TASK, arm)))))
        blocks = learned(np.array(seeds), jax.tree.map(lambda leaf, count=count: leaf[:, :count], data), at)
        for row, (seed, truth) in enumerate(zip(seeds, truths, strict=True)):
            of_seed = jax.tree.map(lambda leaf, row=row: np.asarray(leaf[row]), blocks)
            found |= agreements(name, count, seed, normalized(of_seed, of_seeds[row][0]), truth)
    return found


def blocks_of(job: Job, seed: Array, data: Transition, at: Transition) -> Jacobian:
    """Of the world model that is trained on the data as it is in training."""
    params = fitted(job, data, jax.random.key(seed), WARM_UP + 4 * (len(data.r) - WARM_UP), WARM_UP)
    return learned_jacobians(job, params, jax.random.key(0), at, inside(at.a))


def inside(a: Array) -> Array:
    """Actions that differences do not move out of their range."""
    return jnp.clip(a, WIDTH - 1.0, 1.0 - WIDTH)


def true_blocks(data: Transition, at: Transition, width: float) -> Jacobian:
    """Of the simulator."""
    simulation, widths = Simulation(), width * np.asarray(data.s[:WARM_UP]).std(axis=0)
    s, a = np.asarray(at.s), np.asarray(inside(at.a))
    found = [simulation.differences(*pair, widths, width) for pair in zip(s, a, strict=True)]
    return normalized(jax.tree.map(lambda *blocks: jnp.stack(blocks), *found), data)


def normalized(blocks: Jacobian, data: Transition) -> Jacobian:
    """Blocks ``[K, ...]`` in units of the standard deviations of the warm-up's inputs and targets."""
    first = jax.tree.map(lambda leaf: leaf[:WARM_UP], data)
    s, a, change, r = (
        np.asarray(normalizer.fit(x).std) for x in (first.s, first.a, first.s_next - first.s, first.r[:, None])
    )
    next_s, next_a, reward_s, reward_a = blocks
    return Jacobian(next_s * s / change[:, None], next_a * a / change[:, None], reward_s * s / r, reward_a * a / r)


def agreements(name: str, count: int, seed: int, found: Jacobian, truth: Jacobian) -> dict[Point, Agreement]:
    """Of each block."""
    return {
        Point(name, count, seed, block): Agreement(round(float(cosine(x, y)), 4), round(float(relative_error(x, y)), 4))
        for block, x, y in zip(Jacobian._fields, found, truth, strict=True)
    }


HEADER = ("derivatives of", "transitions", "seeds", "s' by s", "s' by a", "r by s", "r by a")


def report(found: Mapping[Point, Agreement]) -> str:
    """The page."""
    groups: dict[tuple[str, int], list[Point]] = {}
    for point in found:
        groups.setdefault((point.estimate, point.transitions), []).append(point)
    rows = []
    for (estimate, count), points in groups.items():
        cells = [
            _cell(np.array([found[point] for point in points if point.block == block])) for block in Jacobian._fields
        ]
        rows.append((estimate, count or "", len({point.seed for point in points}), *cells))
    return page(
        "The derivatives of learned world models, on HalfCheetah-v5",
        command_of_rows(NAME),
        INTRODUCTION,
        verdict(NAME),
        table(HEADER, rows),
    )


INTRODUCTION = """\
Cosine with MuJoCo's central differences, with the 95% bootstrap interval over seeds, and relative error, over all
states and components; 1 and 0 where a model is right. The first row compares differences over half the width with
them."""


def _cell(values: np.ndarray) -> str:
    cosines, errors = values.T
    if len(values) < 3:
        return f"{cosines.mean():.2f}, {errors.mean():.2f}"
    low, high = mean_interval(cosines)
    return f"{cosines.mean():.2f} ({low:.2f} to {high:.2f}), {errors.mean():.2f}"


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser(NAME, __doc__)
    add_seeds(parser, "200-204")
    return parser


def main() -> None:
    """Computes what is missing, then writes data and page."""
    options = make_parser().parse_args()
    results = Results(RESULTS / f"{NAME}.csv", Point, Agreement)
    missing = [seed for seed in options.seeds if not any(point.seed == seed for point in results.rows)]
    for seeds in consecutive(missing):
        results.add(measure(seeds, replayed(seeds)))
    write_text(RESULTS / f"{NAME}.md", report(results.rows))


if __name__ == "__main__":
    main()
