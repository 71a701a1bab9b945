"""A run that diverges, and its update repeated."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents import repeat, runs
from agents.gin_messages import ConfigError

BINDING = "--gin_bindings=critic/optimizers.radam.learning_rate = 1e30"


def test_a_run_that_diverges_ends_with_status_one_and_its_update_is_repeated(
    tmp_path: Path, tiny: Path, call: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    result = call(f"--gin_file={tiny}", f"--run_dir={run_dir}", BINDING)
    assert result.returncode == 1
    assert result.stderr.startswith("error: seed 0, environment step 16, update ")
    assert len(result.stderr.splitlines()) == 1
    assert f"python agents/repeat.py {run_dir} --seed=0" in result.stderr
    job = runs.load_job(run_dir)
    with pytest.raises(ConfigError, match="seed3 holds no update"):
        repeat.tell(job, run_dir, seed=3)
    repeat.tell(job, run_dir, seed=0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("not finite: the ")
    named = [line for line in lines if " at " in line]
    assert named
    assert all("sobolev/" in line and "not finite" in line for line in named)
    assert any(line.startswith("    of float32[") for line in lines)
