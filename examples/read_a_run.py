"""Reads a run from its directory: what it was, how the seeds did, whether it was sound, and a picture.

python examples/read_a_run.py RUN_DIR

Without a directory it first trains a small run of four seeds, in one program.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from sobolev import actors, critics, metrics, world_models
from sobolev.agent import AgentConfig
from sobolev.environments import PointMass
from sobolev.training import TrainConfig, read_run, train
from sobolev.training.statistics import bootstrap_interval, interquartile_mean


def small_run(run_dir: Path) -> None:
    """Four seeds of a point critic without gradients on a point mass."""
    agent = AgentConfig(
        critic=partial(critics.make_deterministic, hidden_sizes=(32, 32), layer_norm=True, quadratic=True),
        metric=metrics.L2(),
        world_model=world_models.make_recorded,
        actor=partial(actors.make_deterministic, hidden_sizes=(32, 32)),
        gradient="none",
        overestimation="min",
        num_samples=1,
    )
    config = TrainConfig(
        environment=PointMass(), agent=agent, total_steps=1_500, eval_every=100, eval_episodes=64, num_seeds=4
    )
    train(config, run_dir)


def main() -> None:
    """Prints what a run directory holds and draws it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", nargs="?", type=Path, help="of a run; without it one is trained in runs/read_a_run")
    run_dir = parser.parse_args().run_dir
    if run_dir is None:
        run_dir = Path("runs/read_a_run")
        small_run(run_dir)

    run = read_run(run_dir)  # also of a run that is not yet at its end
    facts = json.loads((run_dir / "environment.json").read_text())
    print(f"{len(run.rows)} rows of {len(run.rows[-1])} columns; on {facts['devices'][0]}")

    steps, returns = run.curve("eval/return")  # [T] and [seeds, T]
    print(f"final return of each seed: {', '.join(f'{value:.2f}' for value in returns[:, -1])}")
    middle = interquartile_mean(returns)
    print(f"interquartile mean: {middle[0]:.2f} before learning, {middle[-1]:.2f} after {steps[-1]} environment steps")

    # What the critics expect of the replay, discounted. Where it runs away from the returns, they overestimate.
    for name in ("train/critic_loss", "train/critic_mean"):
        values = run.curve(name).values
        print(f"{name}: {np.nanmean(values[:, 1]):.3g} at first, {np.nanmean(values[:, -1]):.3g} at last")

    policy = run.policy(seed=int(run.rows[0]["seed"]))  # runs with jax alone
    action = np.asarray(policy(np.zeros(policy.observation_size)))
    print(f"action at the zero observation: {', '.join(f'{value:.2f}' for value in action)}")

    _, axes = plt.subplots(figsize=(6, 4))
    axes.plot(steps, returns.T, color="0.8", label=["each seed", *(["_"] * (len(returns) - 1))])
    axes.plot(steps, middle, label="interquartile mean")
    if len(returns) > 2:  # an interval over two seeds says nothing
        axes.fill_between(steps, *bootstrap_interval([returns]), alpha=0.3, label="95% bootstrap interval")
    axes.set(xlabel="environment steps", ylabel="evaluation return", title=run_dir.name)
    axes.legend()
    plt.savefig(run_dir / "returns.png", dpi=150, bbox_inches="tight")
    print(f"drawn: {run_dir / 'returns.png'}")


if __name__ == "__main__":
    main()
