"""The gradient's scale balances itself: three tasks, one configuration but for the task, and no critic runs away.

python -m pytest -m slow tests/agent/test_gradient_scales_in_training.py
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sobolev.training.logs import read_columns

ROOT = Path(__file__).resolve().parents[2]
TASKS = {
    "reacher": ["--gin_file=gin/envs/reacher.gin", "--gin_file=gin/noise/multiplicative_observation.gin"],
    "point_mass": ["--gin_file=gin/envs/point_mass.gin"],
    "linear_quadratic": ["--gin_bindings=train.environment = @environments.linear_quadratic()"],
}


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_no_critic_runs_away(task: str, tmp_path: Path) -> None:
    """At every evaluation the critic's mean is one that returns can have, and close to its target's mean."""
    command = [sys.executable, "agents/run.py", "--gin_file=gin/msmmd_cvae.gin", *TASKS[task], f"--run_dir={tmp_path}"]
    subprocess.run([*command, "--gin_bindings=train.total_steps = 2_500"], cwd=ROOT, check=True, capture_output=True)
    columns = {name: np.array(column) for name, column in read_columns(tmp_path / "metrics.csv").items()}
    learnt = np.isfinite(columns["train/critic_mean"])
    critic, target = columns["train/critic_mean"][learnt], columns["train/target_mean"][learnt]
    assert len(critic) >= 8
    assert np.max(np.abs(critic)) <= 2 * np.max(np.abs(columns["eval/return"]))
    assert np.max(np.abs(critic - target)) <= 0.1 * np.max(np.abs(target))
    for block in ("action", "state"):
        assert np.all(columns[f"train/{block}_gradient_scale"][learnt] <= 1)
