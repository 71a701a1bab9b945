"""Our baselines beside Stable-Baselines3's: TD3, SAC and TQC, the same tasks, steps, widths and learning rates.

    pip install stable-baselines3 sb3-contrib
    python -m experiments.peers

Both sides learn on the same Brax environments with two layers of 64, batches of 256, Adam, 500 uniform actions first
and one update per step; the soft ones start at the temperature 0.1. All are scored without exploration on the same 64
episodes; the return of a seed is the mean of its last three scores. It writes docs/results/peers.csv and peers.md; runs
that the .csv holds are not run again.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from brax.envs.base import Env

from experiments.lib.arguments import add_seeds, base_parser
from experiments.lib.comparison import LAST, final_returns
from experiments.lib.learning import Arm, consecutive, learn
from experiments.lib.pages import command, page, table
from experiments.lib.results import RESULTS, RUNS, Results
from sobolev import environments
from sobolev.environments import as_gymnasium
from sobolev.training.logs import write_text

STEPS, WARM_UP, EVERY, EPISODES, LENGTH = 5_000, 500, 500, 64, 50
LEARNING_RATE = {"td3": 1e-3, "sac": 3e-4, "tqc": 3e-4}  # Stable-Baselines3's defaults
SIDES = {"ours": "ours", "sb3": "Stable-Baselines3"}


class Task(NamedTuple):
    """A task, and what both sides take for it.

    Fields:
        environment: its name in the registry.
        file: its gin file.
        gamma: discount.
        tau: step of the targets.
    """

    environment: str
    file: str
    gamma: float
    tau: float


TASKS = {
    "reacher": Task("brax", "gin/envs/reacher.gin", 0.99, 0.005),
    "point_mass": Task("point_mass", "gin/envs/point_mass.gin", 0.95, 0.02),
}


class Run(NamedTuple):
    """One training."""

    task: str
    method: str
    side: str
    seed: int


class Final(NamedTuple):
    """The mean of the last three scores."""

    final_return: float


def arm_of(method: str, task: Task) -> Arm:
    """Our agent with the peer's numbers."""
    rate = LEARNING_RATE[method]
    # The targets of SAC and TQC take the policy itself.
    actor_polyak = (f"agent.actor_polyak = {task.tau}",) if method == "td3" else ()
    bindings = (
        f"agent.gamma = {task.gamma}",
        f"agent.polyak = {task.tau}",
        *actor_polyak,
        f"train.total_steps = {STEPS}",
        f"train.warmup_steps = {WARM_UP}",
        "train.warmup_updates = 0",
        f"train.eval_every = {EVERY}",
        f"train.eval_episodes = {EPISODES}",
        "agent.actor_start = 0",
        "agent.batch_size = 256",
        "agent.critic_optimizer = @critic/optimizers.adam()",
        "agent.actor_optimizer = @actor/optimizers.adam()",
        f"critic/optimizers.adam.learning_rate = {rate}",
        f"actor/optimizers.adam.learning_rate = {rate}",
    )
    return Arm((f"gin/{method}.gin", task.file), bindings)


def make_peer(method: str, task: Task, env: Env, seed: int) -> Any:
    """A Stable-Baselines3 agent on a Brax environment."""
    import sb3_contrib  # type: ignore[import-not-found, unused-ignore]
    import stable_baselines3  # type: ignore[import-not-found, unused-ignore]
    from stable_baselines3.common.noise import (  # type: ignore[import-not-found, unused-ignore]
        NormalActionNoise,
    )

    kind = {"td3": stable_baselines3.TD3, "sac": stable_baselines3.SAC, "tqc": sb3_contrib.TQC}[method]
    settings: dict[str, Any] = {
        "learning_rate": LEARNING_RATE[method],
        "batch_size": 256,
        "learning_starts": WARM_UP,
        "gamma": task.gamma,
        "tau": task.tau,
        "policy_kwargs": {"net_arch": [64, 64]},
    }
    if method == "td3":
        settings["action_noise"] = NormalActionNoise(np.zeros(env.action_size), 0.1 * np.ones(env.action_size))
    else:
        settings["ent_coef"] = "auto_0.1"  # learned, from the temperature of gin/sac.gin and gin/tqc.gin
    return kind("MlpPolicy", as_gymnasium(env, LENGTH), seed=seed, device="cpu", **settings)


def score(env: Env, model: Any) -> float:
    """The mean return of a Stable-Baselines3 agent without exploration, from the starts of our evaluations."""
    key_reset, _ = jax.random.split(jax.random.key(0))
    resets, steps = jax.jit(jax.vmap(env.reset)), jax.jit(jax.vmap(env.step))
    state, total, alive = resets(jax.random.split(key_reset, EPISODES)), np.zeros(EPISODES), np.ones(EPISODES)
    for _ in range(LENGTH):
        actions, _ = model.predict(np.asarray(state.obs), deterministic=True)
        state = steps(state, actions)
        total += alive * np.asarray(state.reward)
        alive *= 1.0 - np.asarray(state.done)
    return float(total.mean())


def run_peer(key: Run) -> Final:
    """Trains one Stable-Baselines3 agent, and scores it as often as ours."""
    task = TASKS[key.task]
    env = environments.registry.make(task.environment)
    model, scores = make_peer(key.method, task, env, key.seed), []
    for i in range((STEPS - WARM_UP) // EVERY):
        model.learn(EVERY + (WARM_UP if i == 0 else 0), reset_num_timesteps=i == 0)
        scores.append(score(env, model))
    return Final(statistics.fmean(scores[-LAST:]))


def run_ours(task: str, method: str, seeds: range) -> dict[Run, Final]:
    """Trains our agents, all seeds in one program."""
    run_dir = RUNS / "peers" / f"{method}-{task}" / f"seeds{seeds[0]}-{seeds[-1]}"
    finals = final_returns(learn(arm_of(method, TASKS[task]), seeds, run_dir).curve())
    return {Run(task, method, "ours", seed): Final(float(x)) for seed, x in zip(seeds, finals, strict=True)}


def row_of(task: str, method: str, found: Mapping[Run, Final], seeds: Sequence[int]) -> tuple[str, ...]:
    """The cells of one method on one task: means and each seed."""
    runs = {side: [Run(task, method, side, seed) for seed in seeds] for side in SIDES}
    if any(run not in found for of_side in runs.values() for run in of_side):
        return task, method, "not run", "", ""
    ours, peers = ([found[run].final_return for run in of_side] for of_side in runs.values())
    mean = statistics.fmean(ours)
    place = "above" if mean > max(peers) else "below" if mean < min(peers) else "within their seeds"
    shown = (f"{statistics.fmean(x):.2f} ({', '.join(f'{v:.2f}' for v in x)})" for x in (ours, peers))
    return task, method, *shown, place


def report(found: Mapping[Run, Final], seeds: Sequence[int]) -> str:
    """The page."""
    return page(
        "Our baselines beside Stable-Baselines3",
        command("peers"),
        f"{STEPS} environment steps, {len(seeds)} seeds, two layers of 64, soft actors from temperature 0.1. Not\n"
        "alike: ours normalizes states, and has Swish, skip connections and residuals.",
        table(
            ("task", "method", *(f"{name}: mean (seeds)" for name in SIDES.values()), "ours is"),
            [row_of(task, method, found, seeds) for task in TASKS for method in LEARNING_RATE],
        ),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("peers", __doc__)
    add_seeds(parser, "0-2")
    return parser


def main() -> None:
    """Runs what is missing, then writes data and page."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "peers.csv", Run, Final)
    for task in TASKS:
        for method in LEARNING_RATE:
            missing = [seed for seed in options.seeds if Run(task, method, "ours", seed) not in results.rows]
            for group in consecutive(missing):
                results.add(run_ours(task, method, group))
            for seed in options.seeds:
                key = Run(task, method, "sb3", seed)
                results.find(key, partial(run_peer, key))
    text = report(results.rows, options.seeds)
    write_text(RESULTS / "peers.md", text)
    print(text)


if __name__ == "__main__":
    main()
