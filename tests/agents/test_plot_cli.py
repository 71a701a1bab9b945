"""``agents/plot.py``: which runs are one method, what is drawn, and what is said of the rest."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from agents import plot
from agents.gin_messages import ConfigError
from agents.methods import methods_of
from sobolev.training.statistics import improvement_interval, probability_of_improvement

ROOT = Path(__file__).resolve().parents[2]


def write_run(directory: Path, seeds: Sequence[int], level: float = 0.0, gamma: float = 0.9, last: int = 400) -> Path:
    """A run of some seeds whose return grows by one an evaluation, from ``level`` plus a tenth of the seed."""
    directory.mkdir(parents=True)
    (directory / "config.gin").write_text(f"agent.gamma = {gamma}\ntrain.num_seeds = {len(seeds)}\ntrain.seed = 7\n")
    rows = [
        {
            "env_steps": steps,
            "seed": seed,
            "eval/return": level + seed / 10 + steps / 100,
            "time/learn_seconds": 30.0,
            "diagnostics/gamma_kappa": 1.5,
            "diagnostics/gamma_kappa_closed_loop": 0.5,
        }
        for steps in range(0, last + 1, 100)
        for seed in seeds
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def run(*arguments: Any) -> None:
    plot.run(plot.make_parser().parse_args([str(argument) for argument in arguments]))


def test_runs_that_differ_in_their_seeds_are_one_method(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        write_run(tmp_path / "td3" / f"seed{seed}", [seed])
    write_run(tmp_path / "sac" / "seeds0-1", [0, 1], gamma=0.99)
    sac, td3 = methods_of([tmp_path])
    assert (sac.name, td3.name) == ("sac", "td3")
    assert sac.colour != td3.colour
    np.testing.assert_allclose(td3.finals(400), 3.0 + np.array([0.0, 0.1, 0.2]))
    np.testing.assert_allclose(td3.finals(200), 1.0 + np.array([0.0, 0.1, 0.2]))
    np.testing.assert_allclose(plot.seconds_of(td3), 30.0 * np.arange(1, 6))
    (alone,) = methods_of([tmp_path / "td3" / "seed1"])
    assert alone.name == "td3"


def test_pictures_and_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "td3", [0, 1, 2])
    write_run(tmp_path / "sac", [0, 1], level=1.0, gamma=0.99, last=300)
    (tmp_path / "td3" / "slopes.csv").write_text("seed,estimate,cosine,size\n0,critics,0.9,0.5\n1,critics,,\n")
    run(tmp_path, "--output", tmp_path / "out")
    names = ("curves", "improvement", "expansion", "slopes")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{name}.png" for name in names)
    printed = capsys.readouterr().out
    assert "sac: 3.05 (an interval needs 3) after 300 environment steps, 2 seeds" in printed
    assert "td3: 3.1 (3 to 3.2) after 400 environment steps, 3 seeds" in printed


def test_intervals_begin_with_three_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def spy(tasks: Sequence[np.ndarray], *rest: Any) -> Any:
        drawn.append(len(tasks[0]))
        return bootstrap(tasks, *rest)

    bootstrap = plot.bootstrap_interval
    monkeypatch.setattr(plot, "bootstrap_interval", spy)
    write_run(tmp_path / "two", [0, 1])
    run(tmp_path / "two")
    assert drawn == []
    write_run(tmp_path / "three", [0, 1, 2], gamma=0.99)
    run(tmp_path / "three")
    assert set(drawn) == {3}


def test_a_title_speaks_of_means_where_there_are_several_seeds(tmp_path: Path) -> None:
    def title(**seeds_of: Sequence[int]) -> str:
        folder = tmp_path / "-".join(f"{name}{len(seeds)}" for name, seeds in seeds_of.items())
        for i, (name, seeds) in enumerate(seeds_of.items()):
            write_run(folder / name, seeds, gamma=0.9 + i / 100)
        return plot._of_curves(methods_of([folder]))

    assert title(a=[0]) == "one seed"
    assert title(a=[0], b=[0]) == "one seed of each method"
    assert title(a=[0, 1], b=[0]) == "interquartile mean over seeds, thin: each seed"
    assert title(a=[0, 1, 2], b=[0]) == "interquartile mean over seeds,\n95% bootstrap interval from 3 seeds on"
    assert title(a=[0, 1, 2]) == "interquartile mean over seeds,\n95% bootstrap interval"


def test_no_title_runs_into_another_or_out_of_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    titles: dict[str, list[Any]] = {}

    def spy(figure: Figure, path: Path, **options: Any) -> None:
        save(figure, path, **options)
        found = [axes.title.get_window_extent() for axes in figure.axes]
        titles[Path(path).name.partition(".")[0]] = found
        ends = [0.0, *(x for box in found for x in (box.x0, box.x1)), figure.bbox.width]
        assert ends == sorted(ends), path

    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", spy)
    write_run(tmp_path / "td3", [0, 1, 2])
    write_run(tmp_path / "sac", [0], gamma=0.99)
    rows = "".join(
        f"{seed},{name},0.9,0.5\n" for seed in range(3) for name in ("half step", "critics", "model 1", "model 5")
    )
    (tmp_path / "td3" / "slopes.csv").write_text(f"seed,estimate,cosine,size\n{rows}")
    run(tmp_path, "--output", tmp_path / "out")
    assert set(titles) == {"curves", "improvement", "expansion", "slopes"}


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    def refused(message: str, *arguments: Any) -> None:
        with pytest.raises(ConfigError, match=message):
            run(*arguments)

    refused("no such directory", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    refused("holds no run", tmp_path / "empty")
    write_run(tmp_path / "a", [0, 1])
    write_run(tmp_path / "b", [1, 2])
    refused("seed 1 is in .*b and in another directory", tmp_path)
    write_run(tmp_path / "c", [0], gamma=0.5)
    (tmp_path / "c" / "metrics.jsonl").write_text("")
    refused("c: no evaluation yet", tmp_path / "c")
    (tmp_path / "file").write_text("")
    refused(
        r"file/x cannot be written to: Not a directory \(--output\)",
        tmp_path / "a",
        "--output",
        tmp_path / "file" / "x",
    )


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), ([], 2), (["nowhere"], 2)])
def test_statuses(arguments: list[str], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["agents/plot.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        plot.main()
    assert ended.value.code == status


def test_the_program_starts_anywhere(tmp_path: Path) -> None:
    write_run(tmp_path / "td3", [0])
    done = subprocess.run(
        [sys.executable, str(ROOT / "agents" / "plot.py"), "td3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "written: td3/curves.png" in done.stdout
    assert not list((tmp_path / "td3").glob("*partial*"))


def test_the_probability_of_improvement_is_the_statistic_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    x, y = np.round(rng.normal(size=9), 1), np.round(rng.normal(0.3, 1.0, size=6), 1)
    expected = mannwhitneyu(x, y).statistic / (len(x) * len(y))
    np.testing.assert_allclose(probability_of_improvement(x, y), expected)
    np.testing.assert_allclose(probability_of_improvement(y, x), 1.0 - expected)
    low, high = improvement_interval(x, y)
    assert low < expected < high
