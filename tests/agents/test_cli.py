"""The command line: run directories, resuming, exit status."""

import csv
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest

from agents import gin_names

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Cells = list[dict[str, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny: Path, call: Run) -> Path:
    """The run directory of an uninterrupted run."""
    run_dir = tmp_path_factory.mktemp("run") / "first"
    result = call(f"--gin_file={tiny}", f"--run_dir={run_dir}", "--seed=3")
    assert result.returncode == 0, result.stderr
    assert "160 / 160 env steps" in result.stdout
    return run_dir


def cells(run_dir: Path) -> Cells:
    """metrics.csv as text, without the columns that depend on the clock."""
    with open(run_dir / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))

    def timed(name: str) -> bool:
        return name.startswith("time/") or name.endswith("_per_second")

    return [{name: cell for name, cell in row.items() if not timed(name)} for row in rows]


def test_run_directory(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        *("config.gin", "environment.json", "metrics.csv", "metrics.jsonl"),
        *("tensorboard", "checkpoints", "policies", "learning_curve.png"),
    }
    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == ["120.npz", "160.npz"]
    assert (finished / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads((finished / "environment.json").read_text())
    assert facts["packages"]["jax"] == jax.__version__
    assert "--seed=3" in facts["argv"]
    config = (finished / "config.gin").read_text()
    assert re.search(r"^train.seed = 3$", config, re.MULTILINE)
    assert re.search(r"^agent.num_samples = 3$", config, re.MULTILINE)


def test_metrics_of_a_run(finished: Path) -> None:
    with open(finished / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["env_steps"]) for row in rows] == list(range(16, 161, 4))
    assert [int(row["updates"]) for row in rows] == list(range(4, 149, 4))
    assert {row["seed"] for row in rows} == {"3"}
    for name in ("eval/return", "train/critic_loss", "train/world_model_loss", "train/updates_per_second"):
        values = [float(row[name]) for row in rows[1:]]
        assert all(abs(value) < 1e6 for value in values)
        assert len(set(values)) > 10
    assert rows[0]["train/critic_loss"] == ""
    assert all(float(row["eval/length"]) == 6 for row in rows)
    jsonl = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [float(row["eval/return"]) for row in rows] == [row["eval/return"] for row in jsonl]


def test_other_seed_other_run(finished: Path, tmp_path: Path, tiny: Path, call: Run) -> None:
    result = call(f"--gin_file={tiny}", "--gin_bindings=train.seed = 4", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    other = cells(tmp_path / "runs" / "tiny" / "seed4")
    assert [row["env_steps"] for row in other] == [row["env_steps"] for row in cells(finished)]
    for name in ("eval/return", "train/critic_loss"):
        assert all(a[name] != b[name] for a, b in zip(other[1:], cells(finished)[1:], strict=True))


def test_killed_run_of_the_written_configuration_resumes_to_the_same_metrics(
    finished: Path, tmp_path: Path, call: Run, command: Callable[..., tuple[list[str], dict[str, Any]]]
) -> None:
    run_dir = tmp_path / "killed"
    arguments = (f"--gin_file={finished / 'config.gin'}", f"--run_dir={run_dir}")
    words, how = command(*arguments, "--resume")  # with nothing to resume from it starts afresh
    process = subprocess.Popen(words, **how, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics, deadline = run_dir / "metrics.csv", time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and metrics.read_text().count("\n") >= 13 and list((run_dir / "checkpoints").glob("*.npz")):
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    cut = cells(run_dir)
    assert 12 <= len(cut) < len(cells(finished))
    assert cut[:-1] == cells(finished)[: len(cut) - 1]

    resumed = call(*arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r"resumed at (40|80|120) ", resumed.stdout)
    assert cells(run_dir) == cells(finished)
    assert (run_dir / "learning_curve.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (["--gin_bindings=agent.num_sample = 3"], ["--gin_bindings='agent.num_sample = 3'", "num_samples"], 2),
        (["--gin_bindings=train.memory_limit_gib = 1e-6"], ["GiB", "train.memory_limit_gib"], 3),
        (["--run_dir={finished}"], ["--resume", "--run_dir", "{finished}"], 2),
    ],
    ids=["misspelt", "too large", "taken directory"],
)
def test_mistake_ends_with_a_status_and_one_message(
    arguments: list[str], words: list[str], status: int, finished: Path, tmp_path: Path, tiny: Path, call: Run
) -> None:
    before = (finished / "metrics.csv").read_text()
    given = [argument.format(finished=finished) for argument in arguments]
    result = call(f"--gin_file={tiny}", f"--run_dir={tmp_path / 'x'}", *given)
    assert result.returncode == status
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) <= 2
    for word in words:
        assert word.format(finished=finished) in result.stderr
    assert not (tmp_path / "x" / "metrics.csv").exists()
    assert (finished / "metrics.csv").read_text() == before


def test_list_names_everything(call: Run) -> None:
    result = call("--list")
    assert result.returncode == 0, result.stderr
    assert result.stdout == gin_names.listing() + "\n"


PART = '''"""A correction that a gin file imports."""

from dataclasses import dataclass
from typing import Literal

from sobolev import corrections


@corrections.registry.register("of_elsewhere")
@dataclass(frozen=True)
class OfElsewhere(corrections.Correction):
    """Leaves the samples as they are."""

    order: Literal["first", "last"] = "last"

    def __call__(self, samples):
        return samples.reshape(-1, samples.shape[-1])
'''


def test_list_has_what_the_gin_files_import_and_the_choices_of_strings(tmp_path: Path, call: Run) -> None:
    (tmp_path / "elsewhere.py").write_text(PART)
    (tmp_path / "mine.gin").write_text("import elsewhere\ninclude 'gin/td3.gin'\n")
    result = call("--list", "--gin_file=mine.gin", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    entry = (
        "corrections.of_elsewhere",
        "    Leaves the samples as they are.",
        "    .order = 'last'   one of 'first', 'last'",
    )
    assert "\n".join(entry) + "\n" in result.stdout
    assert "    .gradient = 'state_action'   one of 'none', 'action', 'state_action', 'closed_loop'\n" in result.stdout
