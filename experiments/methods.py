"""Does every method learn? Each gin file of a method on the point mass with one place, several seeds in one program.

    python experiments/methods.py                       # all methods; those that are finished are not run again
    python experiments/methods.py --methods=td3,sac     # some

Each method runs in a process of its own, at the sizes of gin/base.gin, with what gin/envs/point_mass.gin sets, and
writes runs/methods/<name>.json. The table of all that are there goes to docs/results/methods.md and methods.csv.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from sobolev.training.logs import write_text  # noqa: E402
from experiments import seeds  # noqa: E402
from experiments.point_mass import best_returns  # noqa: E402

SEEDS = 3
EVALUATIONS = 8
STEPS = 4_000
RUNS = ROOT / "runs" / "methods"


def method_names() -> list[str]:
    """The gin files that are methods."""
    return sorted(path.stem for path in (ROOT / "gin").glob("*.gin") if path.stem != "base")


def learn(method: str, first_seed: int) -> dict[str, Any]:
    """Trains ``SEEDS`` agents on the point mass with N = 1, for ``STEPS`` steps unless there are many actors."""
    bindings = ["environments.point_mass.num_locations = 1"]
    if method != "dsdpg_2024":
        bindings.append(f"train.total_steps = {STEPS}")
    files = [f"gin/{method}.gin", "gin/envs/point_mass.gin"]
    seeds_of_run = range(first_seed, first_seed + SEEDS)
    return {"method": method, "first_seed": first_seed} | seeds.learn(files, bindings, seeds_of_run, EVALUATIONS)


def table(results: list[dict[str, Any]], best: float) -> str:
    """One row a method, as Markdown."""
    lines = [
        "# Every method on the point mass with N = 1",
        "",
        "`python experiments/methods.py`",
        "",
        f"Best mean return: {best:.2f} (`python experiments/point_mass.py --num_locations=1`). Return: the last",
        f"evaluation of each of {SEEDS} seeds, 64 episodes each. Seconds and updates per second are of all seeds",
        "together, in one program, compilation included in the former.",
        "",
        "| method | environment steps | returns | least share of the best | within 10% | seconds | updates/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        final = result["returns"][-1]
        lines.append(
            f"| {result['method']} | {result['env_steps'][-1]} | {', '.join(f'{x:.1f}' for x in final)} "
            f"| {min(final) / best:.0%} | {sum(x >= 0.9 * best for x in final)} of {len(final)} "
            f"| {result['wall_seconds']:.0f} | {result['updates_per_second']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def write_table() -> None:
    """Writes the table and the curves of all finished methods."""
    results = [json.loads(path.read_text()) for path in sorted(RUNS.glob("*.json"))]
    best = float(best_returns(num_locations=1).mean())
    write_text(ROOT / "docs" / "results" / "methods.md", table(results, best))
    with open(ROOT / "docs" / "results" / "methods.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["method", "seed", "env_steps", "return"])
        for result in results:
            for steps, returns in zip(result["env_steps"], result["returns"], strict=True):
                for i, value in enumerate(returns):
                    writer.writerow([result["method"], result["first_seed"] + i, steps, f"{value:.4f}"])


def main() -> None:
    """Runs what is not there yet, then writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(method_names()))
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--only", help="run this method here, and write no table")
    arguments = parser.parse_args()
    if arguments.only:
        RUNS.mkdir(parents=True, exist_ok=True)
        result = learn(arguments.only, arguments.first_seed)
        write_text(RUNS / f"{arguments.only}.json", json.dumps(result) + "\n")
        return
    for method in arguments.methods.split(","):
        if not (RUNS / f"{method}.json").exists():
            print(method, flush=True)
            command = [sys.executable, __file__, f"--only={method}", f"--first_seed={arguments.first_seed}"]
            subprocess.run(command, cwd=ROOT, check=False)
    write_table()


if __name__ == "__main__":
    main()
