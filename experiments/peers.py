"""Our baselines beside Stable-Baselines3's: TD3, SAC and TQC, the same tasks, steps, widths and learning rates.

    pip install stable-baselines3 sb3-contrib
    python experiments/peers.py

Both sides learn on the same Brax environments with two layers of 64, batches of 256, Adam, 500 uniform actions first
and one update per step; the soft ones start at the temperature 0.1. All are scored without exploration on the same 64
episodes; the return of a seed is the mean of its last three scores. Each run is kept in runs/peers/, the table and the
verdict go to docs/results/peers.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

import jax  # noqa: E402
import numpy as np  # noqa: E402

from sobolev import environments  # noqa: E402
from sobolev.training.logs import write_text  # noqa: E402
from experiments import seeds  # noqa: E402

RUNS = ROOT / "runs" / "peers"
SEEDS = range(3)
STEPS, WARM_UP, EVALUATIONS, EPISODES, LENGTH = 5_000, 500, 9, 64, 50
LEARNING_RATE = {"td3": 1e-3, "sac": 3e-4, "tqc": 3e-4}  # Stable-Baselines3's defaults
TASKS: dict[str, dict[str, Any]] = {
    "reacher": {"gin": ["gin/noise/none.gin"], "gamma": 0.99, "tau": 0.005},
    "point_mass": {"gin": ["gin/envs/point_mass.gin"], "gamma": 0.95, "tau": 0.02},
}


def ours(method: str, task: str) -> list[list[float]]:
    """Returns ``[evaluations, seeds]`` of our agents."""
    rate, gamma, tau = LEARNING_RATE[method], TASKS[task]["gamma"], TASKS[task]["tau"]
    bindings = [
        f"agent.gamma = {gamma}",
        f"agent.polyak = {tau}",
        *([f"agent.actor_polyak = {tau}"] if method == "td3" else []),  # the others' targets take the policy itself
        f"train.total_steps = {STEPS}",
        f"train.warmup_steps = {WARM_UP}",
        "train.warmup_updates = 0",
        "agent.actor_start = 0",
        "agent.batch_size = 256",
        "agent.critic_optimizer = @critic/optimizers.adam()",
        "agent.actor_optimizer = @actor/optimizers.adam()",
        f"critic/optimizers.adam.learning_rate = {rate}",
        f"actor/optimizers.adam.learning_rate = {rate}",
    ]
    return seeds.learn([f"gin/{method}.gin", *TASKS[task]["gin"]], bindings, SEEDS, EVALUATIONS)["returns"][1:]


def theirs(method: str, task: str, seed: int) -> list[float]:
    """Returns ``[evaluations]`` of one Stable-Baselines3 agent."""
    import gymnasium
    import sb3_contrib
    import stable_baselines3
    from stable_baselines3.common.noise import NormalActionNoise

    env = environments.registry.make("brax" if task == "reacher" else task)
    reset, step = jax.jit(env.reset), jax.jit(env.step)

    class AsGymnasium(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (env.observation_size,), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (env.action_size,), np.float32)

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
            super().reset(seed=seed)
            self.steps, self.state = 0, reset(jax.random.key(int(self.np_random.integers(2**31))))
            return np.asarray(self.state.obs), {}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
            self.steps, self.state = self.steps + 1, step(self.state, action)
            over = self.steps >= LENGTH
            return np.asarray(self.state.obs), float(self.state.reward), bool(self.state.done), over, {}

    kind = {"td3": stable_baselines3.TD3, "sac": stable_baselines3.SAC, "tqc": sb3_contrib.TQC}[method]
    settings: dict[str, Any] = {
        "learning_rate": LEARNING_RATE[method],
        "batch_size": 256,
        "learning_starts": WARM_UP,
        "gamma": TASKS[task]["gamma"],
        "tau": TASKS[task]["tau"],
        "policy_kwargs": {"net_arch": [64, 64]},
    }
    if method == "td3":
        settings["action_noise"] = NormalActionNoise(np.zeros(env.action_size), 0.1 * np.ones(env.action_size))
    else:
        settings["ent_coef"] = "auto_0.1"  # learned, from the temperature of gin/sac.gin and gin/tqc.gin
    model = kind("MlpPolicy", AsGymnasium(), seed=seed, device="cpu", **settings)

    key_reset, _ = jax.random.split(jax.random.key(0))  # the starts of sobolev.training.evaluate
    resets, steps = jax.jit(jax.vmap(env.reset)), jax.jit(jax.vmap(env.step))

    def score() -> float:
        state, total = resets(jax.random.split(key_reset, EPISODES)), np.zeros(EPISODES)
        alive = np.ones(EPISODES)
        for _ in range(LENGTH):
            actions, _ = model.predict(np.asarray(state.obs), deterministic=True)
            state = steps(state, actions)
            total += alive * np.asarray(state.reward)
            alive *= 1.0 - np.asarray(state.done)
        return float(total.mean())

    curve = []
    for i in range(EVALUATIONS):
        chunk = (STEPS - WARM_UP) // EVALUATIONS + (WARM_UP if i == 0 else 0)
        model.learn(chunk, reset_num_timesteps=i == 0)
        curve.append(score())
    return curve


def run_one(side: str, method: str, task: str, seed: int) -> None:
    """One run, in this process, kept as JSON: all seeds of ours, or one of theirs."""
    began = time.perf_counter()
    returns = ours(method, task) if side == "ours" else [[x] for x in theirs(method, task, seed)]
    result = {"returns": returns, "seconds": time.perf_counter() - began}
    write_text(RUNS / f"{side}-{method}-{task}-{seed}.json", json.dumps(result) + "\n")


def final_returns(side: str, method: str, task: str) -> list[float]:
    """The mean of the last three scores of each seed; empty where there is no run."""
    paths = sorted(RUNS.glob(f"{side}-{method}-{task}-*.json"))
    if not paths:
        return []
    curves = np.concatenate([json.loads(path.read_text())["returns"] for path in paths], axis=1)
    return curves[-3:].mean(axis=0).tolist()


def table() -> str:
    """Means and ranges over seeds, as Markdown."""
    lines = [
        "# Our baselines beside Stable-Baselines3",
        "",
        f"`python experiments/peers.py`: {STEPS} environment steps, {len(SEEDS)} seeds, two layers of 64, soft",
        "actors from temperature 0.1. Not alike: ours standardises states, has Swish, skips and residuals.",
        "",
        "| task | method | ours: mean (seeds) | Stable-Baselines3: mean (seeds) | ours is |",
        "|---|---|---|---|---|",
    ]
    for task in TASKS:
        for method in LEARNING_RATE:
            mine, peer = final_returns("ours", method, task), final_returns("sb3", method, task)
            if len(mine) < len(SEEDS) or len(peer) < len(SEEDS):
                lines.append(f"| {task} | {method} | not run | | |")
                continue
            mean = statistics.fmean(mine)
            place = "above" if mean > max(peer) else "below" if mean < min(peer) else "within their seeds"
            shown = [f"{statistics.fmean(x):.2f} ({', '.join(f'{v:.2f}' for v in x)})" for x in (mine, peer)]
            lines.append(f"| {task} | {method} | {shown[0]} | {shown[1]} | {place} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what is not there yet, then writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="write the table of what is there, and run nothing")
    parser.add_argument("--only", nargs=4, metavar=("SIDE", "METHOD", "TASK", "SEED"), help="one run, in this process")
    arguments = parser.parse_args()
    RUNS.mkdir(parents=True, exist_ok=True)
    if arguments.only:
        side, method, task, seed = arguments.only
        run_one(side, method, task, int(seed))
        return
    runs = [("ours", SEEDS[0]), *(("sb3", seed) for seed in SEEDS)]
    for task in [] if arguments.table else TASKS:
        for method in LEARNING_RATE:
            for side, seed in runs:
                if not (RUNS / f"{side}-{method}-{task}-{seed}.json").exists():
                    command = [sys.executable, __file__, "--only", side, method, task, str(seed)]
                    subprocess.run(command, cwd=ROOT, check=True)
    text = table()
    write_text(ROOT / "docs" / "results" / "peers.md", text)
    print(text)


if __name__ == "__main__":
    main()
