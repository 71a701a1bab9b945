"""Sweeps whose tasks are killed: all tasks come to their end, and nothing is trained twice.

python -m tests.sweeps                  200 tasks, a third of them killed, two sweeps side by side, one of them killed
python -m tests.sweeps --backend=ray    the same, on a Ray cluster that outlives the sweep that is killed

The tasks are tests/sweeps/stand_in.py, which keeps the contract of agents/run.py (lock, rows, checkpoints, resuming)
and trains nothing: 200 starts of JAX would take an hour. tests/agents/test_sweep_cli.py kills real ones, fewer.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.sweeps.stand_in import ROOT, value_of

TOTAL, EVERY, SAVED = 40, 4, 12
VALUES = ("0.9", "0.95")
GIN = """
include 'gin/base.gin'
agent.metric = @metrics.mmd()
agent.gradient = 'none'
agent.world_model = @world_models.recorded
train.environment = @environments.point_mass()
train.num_envs = 2
train.warmup_steps = 4
"""


class Outcome(NamedTuple):
    """What became of a stress.

    Fields:
        problems: what was promised and not kept.
        killed: how many tasks.
        seconds: from the first start to the last end.
    """

    problems: list[str]
    killed: int
    seconds: float


def command(folder: Path, num_seeds: int, workers: int, backend: Sequence[str]) -> list[str]:
    """A sweep of the stand-in."""
    numbers = {"total_steps": TOTAL, "eval_every": EVERY, "checkpoint_every": SAVED}
    return [
        *(sys.executable, "agents/sweep.py", f"--gin_file={folder / 'small.gin'}", f"--workers={workers}"),
        *(f"--gin_bindings=train.{name} = {value}" for name, value in numbers.items()),
        *(f"--grid=agent.gamma=[{','.join(VALUES)}]", f"--seeds=0-{num_seeds - 1}", "--seeds_at_once=1"),
        *(f"--sweep_dir={folder / 'sweep'}", f"--program={ROOT / 'tests/sweeps/stand_in.py'}", *backend),
    ]


def pid_of(run_dir: Path) -> int | None:
    """The process that trains in a directory."""
    try:
        pid = int((run_dir / "lock").read_text().split()[1])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (OSError, IndexError, ValueError):
        return None
    return pid if f"--run_dir={run_dir}" in words else None


def is_at_end(run_dir: Path) -> bool:
    """Whether a task has its last checkpoint."""
    return (run_dir / "checkpoints" / f"{TOTAL}.npz").exists()


def stress(
    folder: Path, num_seeds: int, share: float, workers: int, seed: int = 0, backend: Sequence[str] = ()
) -> Outcome:
    """Two sweeps of a seed per task in one directory; kills tasks, and one of the sweeps on the way.

    Args:
        folder: of everything.
        num_seeds: of each of the two settings.
        share: of tasks that are killed.
        workers: of each sweep.
        seed: of victims and instants.
        backend: the sweeps' options that say where tasks run.
    """
    (folder / "small.gin").write_text(GIN)
    rng, began = random.Random(seed), time.monotonic()
    run_dirs = [folder / "sweep" / f"agent.gamma={value}" / f"seed{i}" for value in VALUES for i in range(num_seeds)]
    victims = set(rng.sample(run_dirs, round(share * len(run_dirs))))
    due: dict[Path, float] = {}
    killed: set[Path] = set()
    words, how = command(folder, num_seeds, workers, backend), {**os.environ, "STAND_IN_SECONDS": "0.05"}
    with open(folder / "out", "a") as out:

        def begin() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(words, cwd=ROOT, env=how, stdout=out, stderr=out)

        running, first = [begin(), begin()], True
        while any(sweep.poll() is None for sweep in running):
            for run_dir in victims - killed:
                pid = pid_of(run_dir)
                if pid is not None and time.monotonic() > due.setdefault(
                    run_dir, time.monotonic() + rng.uniform(0, 0.4)
                ):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(run_dir)
            if first and sum(map(is_at_end, run_dirs)) > len(run_dirs) // 3:
                first = False
                running[0].kill()
                running.append(begin())
            time.sleep(0.02)
    problems = [f"a sweep ended with {sweep.poll()}" for sweep in running[1:] if sweep.poll() != 0]
    if first or running[0].wait() != -signal.SIGKILL:
        problems.append("no sweep was killed on the way")
    for run_dir in run_dirs:
        problems += problems_of(run_dir, run_dir in killed)
    return Outcome(problems, len(killed), time.monotonic() - began)


def problems_of(run_dir: Path, was_killed: bool) -> list[str]:
    """What is wrong with a run directory."""
    seed, found = int(run_dir.name.removeprefix("seed")), []
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    steps = range(EVERY, TOTAL + 1, EVERY)
    if [(row["env_steps"], row["eval/return"]) for row in rows] != [(t, value_of(seed, t)) for t in steps]:
        found.append(f"{run_dir}: other rows")
    if not is_at_end(run_dir):
        found.append(f"{run_dir}: not at its end")
    trained = [json.loads(line) for line in (run_dir / "trained.jsonl").read_text().splitlines()]
    starts = [i for i, (pid, _) in enumerate(trained) if i == 0 or pid != trained[i - 1][0]]
    if len({pid for pid, _ in trained}) != len(starts):
        found.append(f"{run_dir}: two at once")
    for i in starts[1:]:
        last, again = trained[i - 1][1], trained[i][1] - EVERY
        if again not in (last // SAVED * SAVED, (last - 1) // SAVED * SAVED):
            found.append(f"{run_dir}: trained up to {last}, and again from {again}")
    if len(starts) > 1 + was_killed:
        found.append(f"{run_dir}: {len(starts)} processes have trained it")
    text = (run_dir / "log.txt").read_text()
    if not text.rstrip().endswith("status 0") or (run_dir / "sweep.lock").exists():
        found.append(f"{run_dir}: the log ends with {text.rstrip()[-60:]!r}")
    return found


@contextmanager
def cluster(backend: str, cpus: int) -> Iterator[list[str]]:
    """The options of a backend; those of Ray have a cluster that is there meanwhile."""
    if backend != "ray":
        yield []
        return
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", STAND_IN_SECONDS="0.05")
    import ray

    ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield ["--backend=ray", f"--ray_address={ray.get_runtime_context().gcs_address}"]
    finally:
        ray.shutdown()


def main() -> None:
    """Prints what was not kept."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sweeps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--share", type=float, default=1 / 3, help="of tasks that are killed; default: a third")
    parser.add_argument("--workers", type=int, default=4, help="of each sweep; default: %(default)s")
    parser.add_argument("--backend", default="local", choices=("local", "ray"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of victims and instants; default: %(default)s")
    options = parser.parse_args()
    num_seeds, workers = options.tasks // len(VALUES), options.workers
    with tempfile.TemporaryDirectory() as folder, cluster(options.backend, 2 * workers) as backend:
        outcome = stress(Path(folder), num_seeds, options.share, workers, options.seed, backend)
        log = (Path(folder) / "out").read_text()
    if outcome.problems:
        print(log)
    print("\n".join(outcome.problems))
    print(
        f"{options.tasks} tasks, {outcome.killed} of them and one sweep killed, {outcome.seconds:.0f} s: "
        f"{len(outcome.problems)} problems"
    )
    sys.exit(1 if outcome.problems else 0)


if __name__ == "__main__":
    main()
