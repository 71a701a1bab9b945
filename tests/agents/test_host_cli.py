"""The command line on a task of MuJoCo, which Python steps: a run that is killed again and again."""

import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.agents.test_cli import cells

Run = Callable[..., "subprocess.CompletedProcess[str]"]

TINY = """
widths = (4,)
agent.batch_size = 4
agent.actor_start = 4

train.noise = @perturbations.additive_dynamics
perturbations.additive_dynamics.scale = 0.05
train.total_steps = 320
train.episode_length = 7
train.num_envs = 2
train.warmup_steps = 16
train.warmup_updates = 4
train.eval_every = 16
train.eval_episodes = 2
train.checkpoint_every = 80
"""


def newest(run_dir: Path) -> int:
    """Environment steps of the newest checkpoint."""
    return max([0, *(int(path.stem) for path in (run_dir / "checkpoints").glob("*.npz"))])


def written(run_dir: Path) -> int:
    """Environment steps of the newest row."""
    found = re.findall(r"^(\d+),.*\n", (run_dir / "metrics.csv").read_text(), re.MULTILINE)
    return int(found[-1]) if found else 0


def test_run_on_mujoco_killed_three_times_ends_as_an_unbroken_one(
    tmp_path: Path, call: Run, command: Callable[..., tuple[list[str], dict[str, Any]]]
) -> None:
    tiny, whole, killed = tmp_path / "tiny.gin", tmp_path / "whole", tmp_path / "killed"
    tiny.write_text(TINY)
    files = [f"--gin_file={file}" for file in ("gin/td3.gin", "gin/envs/halfcheetah_v5.gin", tiny)]
    unbroken = call(*files, f"--run_dir={whole}")
    assert unbroken.returncode == 0, unbroken.stderr

    before, steps = 0, []
    for later in (0, 16, 32):
        words, how = command(*files, f"--run_dir={killed}", "--resume")
        process = subprocess.Popen(words, **how, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < deadline:
            if newest(killed) > before and written(killed) >= newest(killed) + later:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        before = newest(killed)
        assert before < 320
        with np.load(killed / "checkpoints" / f"{before}.npz") as stored:
            steps += stored[".episodes.steps"].ravel().tolist()
    assert before >= 240
    assert any(steps)  # it was cut within an episode

    resumed = call(*files, f"--run_dir={killed}", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(rf"resumed at {before} ", resumed.stdout)
    assert "does not repeat" not in resumed.stderr
    assert [int(row["env_steps"]) for row in cells(whole)] == list(range(16, 321, 16))
    assert len({row["eval/return"] for row in cells(whole)}) == 20
    assert cells(killed) == cells(whole)
