"""Our TD3 and SAC beside those of sbx (Stable-Baselines3 in JAX) on Gymnasium's MuJoCo tasks, at equal networks.

    pip install sbx-rl
    python -m experiments.peers_mujoco --seeds=0-4

Both sides have two layers of 128 and 1 000 uniform steps first. Ours is on the base of gin/envs/gymnasium.gin, with its
four updates a step; sbx has its own defaults, one update a step on batches of 256 among them, and for TD3 the usual
Gaussian exploration of 0.1. All are scored without exploration, on ten episodes. It writes the .csv and .md files
docs/results/peers_mujoco; runs that the .csv holds are not run again.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from experiments.lib.arguments import add_seeds, base_parser
from experiments.lib.learning import Arm, consecutive, learn
from experiments.lib.pages import command, page, table
from experiments.lib.results import RESULTS, RUNS, Results
from sobolev.training.logs import write_text
from sobolev.training.statistics import interquartile_mean

STEPS, WARM_UP, EPISODES, WIDTHS = (10_000, 25_000), 1_000, 10, (128, 128)
TASKS = {"HalfCheetah-v5": "gin/envs/halfcheetah_v5.gin", "Hopper-v5": "gin/envs/hopper_v5.gin"}
METHODS = ("td3", "sac")
SIDES = ("ours", "sbx")


class Run(NamedTuple):
    """One training."""

    task: str
    method: str
    side: str
    seed: int


class Returns(NamedTuple):
    """The mean return of ten episodes after so many environment steps."""

    after_10_000: float
    after_25_000: float


def arm_of(method: str, task: str) -> Arm:
    """Our agent on the base, scored as often as the peer."""
    bindings = (
        f"train.total_steps = {STEPS[-1]}",
        f"train.warmup_steps = {WARM_UP}",
        "train.eval_every = 1_000",
        f"train.eval_episodes = {EPISODES}",
        f"widths = {WIDTHS}",
    )
    return Arm((f"gin/{method}.gin", TASKS[task]), bindings)


def run_ours(task: str, method: str, seeds: range) -> dict[Run, Returns]:
    """Trains our agents, all seeds in one program."""
    run_dir = RUNS / "peers_mujoco" / f"{method}-{task}" / f"seeds{seeds[0]}-{seeds[-1]}"
    curve = learn(arm_of(method, task), seeds, run_dir).curve()
    columns = [int(np.flatnonzero(curve.env_steps == steps)[0]) for steps in STEPS]
    scores = [[float(row[column]) for column in columns] for row in curve.values]
    return {Run(task, method, "ours", seed): Returns(*row) for seed, row in zip(seeds, scores, strict=True)}


def make_peer(method: str, task: str, seed: int) -> Any:
    """An agent of sbx on the task."""
    import gymnasium  # type: ignore[import-not-found, unused-ignore]
    import sbx  # type: ignore[import-not-found, unused-ignore]
    from stable_baselines3.common.noise import NormalActionNoise  # type: ignore[import-not-found, unused-ignore]

    env = gymnasium.make(task)
    settings: dict[str, Any] = {"learning_starts": WARM_UP, "policy_kwargs": {"net_arch": list(WIDTHS)}}
    if method == "td3":
        mean = np.zeros_like(env.action_space.sample())
        settings["action_noise"] = NormalActionNoise(mean, mean + 0.1)
    return {"td3": sbx.TD3, "sac": sbx.SAC}[method]("MlpPolicy", env, seed=seed, **settings)


def score(task: str, model: Any, seed: int) -> float:
    """The mean return of ten episodes without exploration."""
    import gymnasium  # type: ignore[import-not-found, unused-ignore]

    env, returns = gymnasium.make(task), []
    for episode in range(EPISODES):
        obs, _ = env.reset(seed=10_000 * (seed + 1) + episode)
        total, over = 0.0, False
        while not over:
            action, _ = model.predict(obs, deterministic=True)
            obs, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
        returns.append(total)
    return float(np.mean(returns))


def run_peer(key: Run) -> Returns:
    """Trains one agent of sbx, and scores it."""
    model, scores, done = make_peer(key.method, key.task, key.seed), [], 0
    for steps in STEPS:
        model.learn(steps - done, reset_num_timesteps=done == 0)
        scores.append(score(key.task, model, key.seed))
        done = steps
    return Returns(*scores)


def cell(values: Sequence[float]) -> str:
    """The interquartile mean, and each seed."""
    return f"{interquartile_mean(np.array(values)):.0f} ({', '.join(f'{value:.0f}' for value in values)})"


def rows_of(task: str, method: str, found: Mapping[Run, Returns], seeds: Sequence[int]) -> list[tuple[str, ...]]:
    """The rows of one method on one task, one for each number of steps."""
    rows = []
    for place, steps in enumerate(STEPS):
        runs = {side: [found.get(Run(task, method, side, seed)) for seed in seeds] for side in SIDES}
        cells = [
            "not run" if None in of_side else cell([returns[place] for returns in of_side if returns is not None])
            for of_side in runs.values()
        ]
        rows.append((task, method, f"{steps}", *cells))
    return rows


def report(found: Mapping[Run, Returns], seeds: Sequence[int]) -> str:
    """The page."""
    return page(
        "TD3 and SAC beside sbx, on MuJoCo",
        command("peers_mujoco"),
        f"{len(seeds)} seeds; interquartile means and each seed's mean return of {EPISODES} episodes. Two layers of\n"
        f"{WIDTHS[0]} on both sides; four updates a step in ours, one in sbx.",
        table(
            ("task", "method", "environment steps", *(f"{side}: interquartile mean (seeds)" for side in SIDES)),
            [row for task in TASKS for method in METHODS for row in rows_of(task, method, found, seeds)],
        ),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("peers_mujoco", __doc__)
    parser.add_argument("--task", choices=TASKS, action="append", help="to run; default: both")
    parser.add_argument("--method", choices=METHODS, action="append", help="to run; default: both")
    parser.add_argument("--side", choices=SIDES, action="append", help="to run; default: both")
    add_seeds(parser, "0-4")
    return parser


def main() -> None:
    """Runs what is missing, then writes data and page."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "peers_mujoco.csv", Run, Returns)
    for task in options.task or TASKS:
        for method in options.method or METHODS:
            if "ours" in (options.side or SIDES):
                missing = [seed for seed in options.seeds if Run(task, method, "ours", seed) not in results.rows]
                for group in consecutive(missing):
                    results.add(run_ours(task, method, group))
            if "sbx" in (options.side or SIDES):
                for seed in options.seeds:
                    key = Run(task, method, "sbx", seed)
                    results.find(key, partial(run_peer, key))
    text = report(results.rows, options.seeds)
    write_text(RESULTS / "peers_mujoco.md", text)
    print(text)


if __name__ == "__main__":
    main()
