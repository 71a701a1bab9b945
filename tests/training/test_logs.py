"""The files of a run."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sobolev
from sobolev.training import logs
from sobolev.training.logs import Progress, Reporter
from sobolev.training.statistics import Interval, bootstrap_interval

COLUMNS = ("env_steps", "seed", "eval/return", "eval/return_std", "train/loss", "train/updates_per_second")


def row(env_steps: int, seed: int = 4, **more: float) -> dict[str, float]:
    return {"env_steps": env_steps, "seed": seed, "eval/return": env_steps / 3, "eval/return_std": 0.5, **more}


@pytest.fixture
def reporter(tmp_path: Path) -> Reporter:
    reporter = Reporter(tmp_path, COLUMNS, [4], Progress())
    reporter.add([row(10)], 30)
    reporter.add([row(20, **{"train/loss": 0.1})], 30)
    reporter.add([row(30, **{"train/loss": 1e-30})], 30)
    return reporter


def steps_in(run_dir: Path) -> tuple[list[int], list[int]]:
    """The environment steps of the rows of metrics.csv and of metrics.jsonl."""
    with open(run_dir / "metrics.csv", newline="") as file:
        of_csv = [int(row["env_steps"]) for row in csv.DictReader(file)]
    return of_csv, [int(row["env_steps"]) for row in logs.read_rows(run_dir / "metrics.jsonl")]


def test_rows_are_on_disk_at_once_and_exact(tmp_path: Path, reporter: Reporter) -> None:
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert lines[1] == f"10,4,{10 / 3!r},0.5,,"
    assert lines[3] == "30,4,10.0,0.5,1e-30,"
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == reporter.rows
    assert len(reporter.rows) == 3


def test_columns_are_read_back(tmp_path: Path, reporter: Reporter) -> None:
    columns = logs.read_columns(tmp_path / "metrics.csv")
    assert tuple(columns) == COLUMNS
    assert columns["env_steps"] == [10, 20, 30]
    np.testing.assert_array_equal(columns["train/loss"], [np.nan, 0.1, 1e-30])
    assert np.all(np.isnan(columns["train/updates_per_second"]))


def test_fresh_reporter_starts_empty(tmp_path: Path, reporter: Reporter) -> None:
    assert reporter.run_dir == tmp_path
    assert Reporter(tmp_path, COLUMNS, [4], Progress()).rows == []
    assert steps_in(tmp_path) == ([], [])


@pytest.mark.parametrize(("resumed_at", "kept"), [(5, []), (10, [10]), (20, [10, 20]), (99, [10, 20, 30])])
@pytest.mark.usefixtures("reporter")
def test_resuming_drops_the_rows_that_come_again(tmp_path: Path, resumed_at: int, kept: list[int]) -> None:
    resumed = Reporter(tmp_path, COLUMNS, [4], Progress(), resumed_at=resumed_at)
    assert steps_in(tmp_path) == (kept, kept)
    resumed.add([row(100)], 100)
    assert steps_in(tmp_path) == ([*kept, 100], [*kept, 100])


@pytest.mark.usefixtures("reporter")
def test_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    for name in ("metrics.jsonl", "metrics.csv"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text[:-4])
    assert [row["env_steps"] for row in logs.read_rows(tmp_path / "metrics.jsonl")] == [10, 20]
    Reporter(tmp_path, COLUMNS, [4], Progress(), resumed_at=30)
    assert steps_in(tmp_path) == ([10, 20], [10, 20])


def test_no_file_no_rows(tmp_path: Path) -> None:
    assert logs.read_rows(tmp_path / "metrics.jsonl") == []


def test_write_text_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    logs.write_text(path, "first")
    logs.write_text(path, "second")
    assert path.read_text() == "second"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(logs.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        logs.write_text(path, "third")
    assert path.read_text() == "second"


def drawn(run_dir: Path) -> np.ndarray:
    """The pixels of the learning curve."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.imread(run_dir / "learning_curve.png")


def test_closing_draws_the_learning_curve(tmp_path: Path, reporter: Reporter) -> None:
    reporter.close()
    assert len(np.unique(drawn(tmp_path).reshape(-1, 4), axis=0)) > 10  # lines, a band and text, not one color
    assert not list(tmp_path.glob("*partial*"))
    assert list((tmp_path / "tensorboard" / "seed4").glob("events.out.tfevents.*"))


def test_a_run_without_matplotlib_ends_without_a_curve(
    tmp_path: Path, reporter: Reporter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    reporter.close()
    assert not (tmp_path / "learning_curve.png").exists()
    told = "no learning_curve.png: the package matplotlib is missing: pip install 'sobolev[plot]'"
    assert told in capsys.readouterr().out


@pytest.mark.usefixtures("reporter")
def test_the_best_return_is_that_of_the_rows_that_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Reporter(tmp_path, COLUMNS, [4], Progress(), resumed_at=20).add([row(24, **{"eval/return": 1.0})], 30)
    assert "best 6.67" in capsys.readouterr().out
    Reporter(tmp_path, COLUMNS, [5], Progress()).add([row(9, seed=5)], 30)
    assert "best 3.00" in capsys.readouterr().out


def test_rows_of_other_seeds_stay(tmp_path: Path) -> None:
    first = Reporter(tmp_path, COLUMNS, [4, 5], Progress())
    first.add([row(10, seed=4), row(10, seed=5)], 20)
    second = Reporter(tmp_path, COLUMNS, [6, 7], Progress())
    second.add([row(10, seed=6), row(10, seed=7)], 20)
    second.add([row(20, seed=6), row(20, seed=7)], 20)
    again = Reporter(tmp_path, COLUMNS, [6, 7], Progress(), resumed_at=10)
    assert [(r["seed"], r["env_steps"]) for r in again.rows] == [(4, 10), (5, 10), (6, 10), (7, 10)]
    again.close()
    assert len(list(tmp_path.glob("tensorboard/seed*"))) == 4


def test_curve_has_what_all_seeds_have_reached() -> None:
    rows = [row(10, seed=9), row(10, seed=3, x=1.0), row(20, seed=3), row(20, seed=9, x=2.0), row(30, seed=3)]
    curve = logs.curve_of(rows, "x")
    assert curve.env_steps.tolist() == [10, 20]
    np.testing.assert_array_equal(curve.values, [[1.0, np.nan], [np.nan, 2.0]])


@pytest.mark.parametrize("seeds", [2, 5])
def test_curve_of_several_seeds_has_an_interval_from_three_on(
    tmp_path: Path, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(tasks: list[np.ndarray]) -> Interval:
        asked.append(tasks[0].shape)
        return bootstrap_interval(tasks)

    monkeypatch.setattr(logs, "bootstrap_interval", counted)
    rows = [row(step, seed=seed, **{"eval/return": float(step * seed)}) for seed in range(seeds) for step in (0, 1, 2)]
    logs.draw_learning_curve(rows, tmp_path / "learning_curve.png")
    assert asked == ([(5, 3)] if seeds == 5 else [])
    assert len(np.unique(drawn(tmp_path).reshape(-1, 4), axis=0)) > 10


def test_environment_facts_name_versions_and_devices() -> None:
    facts = logs.environment_facts()
    assert facts["sobolev"] == sobolev.__version__
    assert {"jax", "brax", "dm-haiku", "optax", "numpy"} <= set(facts["packages"])
    assert facts["packages"]["jax"] == __import__("jax").__version__
    assert facts["devices"]
    json.dumps(facts)
