"""Environment steps a second of TD3 with learning on, beside sbx (Stable-Baselines3 in JAX) and Stable-Baselines3.

    pip install sbx-rl
    python -m benchmarks.training
    python -m benchmarks.training --task=HalfCheetah-v5 --utd=1 --side=ours --side=sbx

Both sides have two layers of 256 with ReLU and no skips, batches of 256, Adam, and ``utd`` updates a step; ours steps
four environments side by side, as by default, the peers one. Timed are the steps after the first, in which programs are
compiled. Each training is a process of its own, and the sides take turns; given are medians. It writes
docs/results/training_speed.csv; rows of the present device are replaced.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

from agents import gin_names
from benchmarks.baselines import BATCH, WIDTHS, bindings_of
from benchmarks.methods import device_name
from experiments.lib.results import RESULTS, Results
from sobolev import environments
from sobolev.environments import as_gymnasium
from sobolev.training import train

WARM_UP, COMPILED = 500, 1_000
TASKS = {"HalfCheetah-v5": "gin/envs/halfcheetah_v5.gin", "point_mass": "gin/envs/point_mass.gin"}
LENGTH = 50  # of an episode of the point mass
TIMED = {1: 2_000, 10: 500}
SIDES = ("ours", "sbx", "Stable-Baselines3")


class Training(NamedTuple):
    """What is timed, and where."""

    device: str
    task: str
    utd: int
    side: str


class Speed(NamedTuple):
    """Of the steps that are timed."""

    env_steps_a_second: float


def ours(task: str, utd: int) -> float:
    """Environment steps a second of our agent."""
    bindings = [
        *bindings_of("td3", equal=True),
        f"train.updates_per_step = {float(utd)}",
        f"train.warmup_steps = {WARM_UP}",
        "train.warmup_updates = 0",
        f"train.eval_every = {TIMED[utd]}",
        "train.eval_episodes = 1",
        f"train.total_steps = {WARM_UP + 2 * TIMED[utd]}",
    ]
    config = gin_names.load(("gin/td3.gin", TASKS[task]), bindings)
    with tempfile.TemporaryDirectory() as run_dir:
        return float(train(config, run_dir).rows[-1]["train/env_steps_per_second"])


def peer(task: str, utd: int, side: str) -> float:
    """Environment steps a second of a peer's agent."""
    if side == "sbx":
        import sbx as library  # type: ignore[import-not-found, unused-ignore]
    else:
        import stable_baselines3 as library  # type: ignore[import-not-found, unused-ignore]
    env: Any = as_gymnasium(environments.registry.make(task), LENGTH) if task == "point_mass" else task
    model = library.TD3(
        "MlpPolicy",
        env,
        batch_size=BATCH,
        learning_starts=WARM_UP,
        gradient_steps=utd,
        policy_kwargs={"net_arch": list(WIDTHS)},
        device="cpu",
    )
    model.learn(COMPILED)
    began = time.perf_counter()
    model.learn(TIMED[utd], reset_num_timesteps=False)
    return TIMED[utd] / (time.perf_counter() - began)


def steps_a_second(task: str, utd: int, side: str) -> float:
    """Of one training."""
    return ours(task, utd) if side == "ours" else peer(task, utd, side)


def alone(function: Callable[..., float], *args: Any) -> float:
    """The result of a function in a process of its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", action="append", choices=TASKS, help="default: both")
    parser.add_argument("--utd", action="append", type=int, choices=TIMED, help="updates a step; default: both")
    parser.add_argument("--side", action="append", choices=SIDES, help="default: all")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    return parser


def main() -> None:
    """Measures, writes the rows and prints them."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "training_speed.csv", Training, Speed)
    sides = options.side or SIDES
    for task in options.task or TASKS:
        for utd in options.utd or TIMED:
            rounds = [{side: alone(steps_a_second, task, utd, side) for side in sides} for _ in range(options.rounds)]
            for side in sides:
                speed = round(statistics.median(row[side] for row in rounds), 1)
                results.add({Training(device_name(), task, utd, side): Speed(speed)})
                print(f"{task:15} {utd:3} updates a step, {side:18} {speed:9.1f} environment steps/s", flush=True)


if __name__ == "__main__":
    main()
