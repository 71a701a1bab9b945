"""Keeps the contract of agents/run.py, and trains nothing: JAX is not loaded, so that hundreds of starts are cheap.

It has the same options, takes the lock of its directory, goes on from the newest checkpoint, and writes config.gin,
rows and checkpoints. Its rows are a formula of seed and step. Numbers come from the bindings. In trained.jsonl it adds
what it has trained, in which process.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def locked(run_dir: Path) -> Any:
    """The library's lock, without the library around it."""
    spec = importlib.util.spec_from_file_location("lock", ROOT / "sobolev" / "training" / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.locked(run_dir)


def value_of(seed: int, env_steps: int) -> float:
    """The return of a row."""
    return (seed * 31 + env_steps * 7) % 101 / 10


def train(run_dir: Path, bound: dict[str, str]) -> None:
    """Trains one group of seeds after the other."""
    first, count, at_once = int(bound["train.seed"]), int(bound["train.num_seeds"]), bound["train.seeds_at_once"]
    size = count if at_once == "None" else int(at_once)
    (run_dir / "config.gin").write_text("".join(f"{name} = {value}\n" for name, value in sorted(bound.items())))
    for start in range(first, first + count, size):
        of_group = f"seeds{start}-{start + size - 1}" if size < count else ""
        train_group(run_dir, bound, range(start, start + size), run_dir / "checkpoints" / of_group)


def train_group(run_dir: Path, bound: dict[str, str], seeds: range, checkpoints: Path) -> None:
    """Writes rows and checkpoints from the newest checkpoint on."""
    total, every, saved = (int(bound[f"train.{name}"]) for name in ("total_steps", "eval_every", "checkpoint_every"))
    checkpoints.mkdir(parents=True, exist_ok=True)
    done = max((int(path.stem) for path in checkpoints.glob("*.npz")), default=0)
    metrics, aside = run_dir / "metrics.jsonl", run_dir / "metrics.partial"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    rows = [row for row in rows if row["seed"] not in seeds or row["env_steps"] <= done]
    aside.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.replace(aside, metrics)
    for env_steps in range(done + every, total + 1, every):
        time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0.01")))
        with open(metrics, "a") as file:
            for seed in seeds:
                row = {"env_steps": env_steps, "seed": seed, "updates": 0, "eval/return": value_of(seed, env_steps)}
                file.write(json.dumps(row) + "\n")
        with open(run_dir / "trained.jsonl", "a") as file:
            file.write(json.dumps([os.getpid(), env_steps]) + "\n")
        if env_steps % saved == 0 or env_steps == total:
            partial = checkpoints / "partial"
            partial.write_text("")
            os.replace(partial, checkpoints / f"{env_steps}.npz")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gin_file", action="append")
    parser.add_argument("--gin_bindings", action="append", default=[])
    parser.add_argument("--run_dir", type=Path)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    bound = dict(text.split(" = ", 1) for text in options.gin_bindings)
    limit = os.environ.get("STAND_IN_FITS")
    at_once = bound["train.seeds_at_once"]
    group = int(bound["train.num_seeds"]) if at_once == "None" else int(at_once)
    if limit and group > int(limit):
        sys.stderr.write(f"error: {group} seeds in one program do not fit: memory\n")
        sys.exit(3)
    if bound.get("agent.gamma") == os.environ.get("STAND_IN_REFUSES", ""):
        sys.stderr.write("error: this gamma is refused\n")
        sys.exit(2)
    try:
        with locked(options.run_dir):
            train(options.run_dir, bound)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(4)


if __name__ == "__main__":
    main()
