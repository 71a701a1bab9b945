"""Runs that diverge, are signalled or are killed: none ends well without a word, and each can go on."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sobolev.training import checkpoint
from sobolev.training.train import rows_of_run
from tests.faults.case import Case

ROOT = Path(__file__).resolve().parent.parent.parent
SHORT = {
    "train.total_steps": 600,
    "train.warmup_steps": 100,
    "train.warmup_updates": 40,
    "train.eval_every": 100,
    "train.eval_episodes": 8,
    "train.checkpoint_every": 100,
    "train.num_envs": 4,
    "agent.actor_start": 0,
}
TASKS = {"jax": "gin/envs/point_mass.gin", "gymnasium": "gin/envs/reacher_v5.gin"}
TIMES = ("time/", "train/updates_per_second", "train/env_steps_per_second")

DIVERGING = {
    "a critic's rate of 1e30": ["critic/optimizers.radam.learning_rate = 1e30"],
    "an actor's rate of 1e38": ["actor/optimizers.radam.learning_rate = 1e38"],
    "all rates of 1e25": [
        "critic/optimizers.radam.learning_rate = 1e25",
        "actor/optimizers.radam.learning_rate = 1e25",
    ],
}


def command(task: str, run_dir: Path, *bindings: str, resume: bool = False) -> list[str]:
    """The command line of a short run."""
    texts = [*(f"{name} = {value}" for name, value in SHORT.items()), *bindings]
    flags = ["--resume"] if resume else []
    files = ["--gin_file=gin/td3.gin", f"--gin_file={TASKS[task]}"]
    return [
        sys.executable,
        "agents/run.py",
        *files,
        f"--run_dir={run_dir}",
        *flags,
        *(f"--gin_bindings={x}" for x in texts),
    ]


def to_its_end(words: list[str]) -> "subprocess.CompletedProcess[str]":
    """Runs a command line."""
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def diverges(bindings: list[str], folder: Path) -> str:
    """Of a run that diverges: status 1, one message, finite checkpoints, and the operation that it began with."""
    found = to_its_end(command("jax", folder / "run", *bindings))
    if found.returncode != 1 or len(found.stderr.splitlines()) > 3 or "not finite" not in found.stderr:
        return f"status {found.returncode}: {found.stderr[-200:]}"
    if "agents/repeat.py" in found.stderr:
        again = to_its_end([sys.executable, "agents/repeat.py", str(folder / "run")])
        if again.returncode or " at " not in again.stdout:
            return f"repeat: status {again.returncode}: {again.stdout[-200:]} {again.stderr[-200:]}"
    return ""


def whole_run(task: str, folder: Path) -> list[dict[str, float]]:
    """The rows of a run that nothing has stopped; made once."""
    run_dir = folder / f"whole_{task}"
    if not run_dir.exists():
        found = to_its_end(command(task, run_dir))
        if found.returncode:
            raise RuntimeError(found.stderr[-500:])
    return without_times(run_dir)


def without_times(run_dir: Path) -> list[dict[str, float]]:
    """What of the rows the machine does not decide."""
    return [{name: x for name, x in row.items() if not name.startswith(TIMES)} for row in rows_of_run(run_dir)]


def stopped(task: str, number: int, seed: int, folder: Path) -> str:
    """Of a signal at a random instant: the run goes on to the same numbers."""
    expected = whole_run(task, folder.parent)
    rng, run_dir = random.Random(seed), folder / "run"
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command(task, run_dir), cwd=ROOT, stdout=log, stderr=log)
        while process.poll() is None and not (run_dir / "metrics.csv").exists():
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 4.0))
        process.send_signal(number)
        status = process.wait(timeout=120)
    if number != signal.SIGKILL and status not in (128 + number, 0):
        return f"status {status}: {(folder / 'log').read_text()[-200:]}"
    found = to_its_end(command(task, run_dir, resume=True))
    if found.returncode:
        return f"resumed: status {found.returncode}: {found.stderr[-200:]}"
    if without_times(run_dir) != expected:
        return "other numbers"
    newest = checkpoint.newest(run_dir / "checkpoints")
    return "" if newest is not None and newest.stem == "600" else f"the newest checkpoint is {newest}"


def in_directory(prepare: str, folder: Path) -> str:
    """Of a run directory that cannot be one: status 2 and one message, before anything compiles."""
    run_dir = folder / "run"
    if prepare == "a file":
        run_dir.write_text("")
    elif prepare == "below a file":
        run_dir.write_text("")
        run_dir = run_dir / "below"
    elif prepare == "a name of 300 letters":
        run_dir = folder / ("x" * 300)
    elif prepare == "a name that is a number of bytes too long":
        run_dir = folder / "/".join(["x" * 200] * 30)
    found = to_its_end(command("jax", run_dir))
    good = found.returncode == 2 and len(found.stderr.splitlines()) <= 2 and found.stderr.startswith("error: ")
    return "" if good else f"status {found.returncode}: {found.stderr[-200:]}"


def cases() -> Iterator[Case]:
    """All of them; of signals and kills thirty and more."""
    for name, bindings in DIVERGING.items():
        yield Case("divergence", name, partial(diverges, bindings), is_long=True)
    for name in ("a file", "below a file", "a name of 300 letters", "a name that is a number of bytes too long"):
        yield Case("directory", name, partial(in_directory, name), is_long=True)
    for task in TASKS:
        for seed in range(15):
            yield Case("kill", f"{task}, instant {seed}", partial(stopped, task, signal.SIGKILL, seed), is_long=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            for seed in range(3):
                name = f"{number.name}, {task}, instant {seed}"
                yield Case("signal", name, partial(stopped, task, number, 100 + seed), is_long=True)
