"""What the console is told: stages, lines of evaluations, a bar on a terminal."""

import io
import re
import time

import pytest
from rich.console import Console

from sobolev.training import Progress
from sobolev.training.rows import Row

SPEEDS = {"train/updates_per_second": 12.0, "train/env_steps_per_second": 3.0}


def row(env_steps: int, value: float, seed: int = 4, **more: float) -> Row:
    return {"env_steps": env_steps, "seed": seed, "eval/return": value, "eval/return_std": 0.5, **more}


def on(is_terminal: bool, process: int = 0) -> tuple[Progress, io.StringIO]:
    """A console, and what it is told."""
    progress, text = Progress(process=process), io.StringIO()
    progress.console = Console(file=text, force_terminal=is_terminal, width=80, soft_wrap=True)
    return progress, text


def plain(text: io.StringIO) -> str:
    """Without the codes that move and color."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())


def test_stages_and_evaluations_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(began=time.perf_counter() - 100.0)
    with progress.stage("compile"):
        pass
    progress.evaluated([row(30, 10.0, **SPEEDS)], 60, best=12.0)
    told = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[ 10\d\.\d s\] compile: 0\.0 s", told[0])
    words = r"30 / 60 env steps   return     10\.00 ± 0\.50   best 12\.00       12 updates/s        3 env steps/s"
    assert re.fullmatch(rf"\[ 10\d\.\d s\]       {words}", told[1])


def test_several_seeds_have_their_spread(capsys: pytest.CaptureFixture[str]) -> None:
    returns = (-5.0, 1.0, 3.0, 100.0)
    Progress().evaluated([row(8, x, seed=i, **SPEEDS) for i, x in enumerate(returns)], 60, best=2.0)
    told = capsys.readouterr().out
    for word in ("2.00 (interquartile mean of 4 seeds, -5.00 to 100.00)", "48 updates/s", "12 env steps/s"):
        assert word in told


def test_the_time_that_is_left_is_told_by_the_speed_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, text = on(is_terminal=False)
    now = 100.0
    monkeypatch.setattr("sobolev.training.progress.time.perf_counter", lambda: now)
    with progress.bar(total_steps=1_000, env_steps=400):
        progress.evaluated([row(400, 1.0)], 1_000, best=1.0)
        now = 160.0
        progress.evaluated([row(500, 1.0)], 1_000, best=1.0)
        progress.evaluated([row(1_000, 1.0)], 1_000, best=1.0)
    first, second, last = text.getvalue().splitlines()
    assert second.endswith("   5 min left")  # 100 steps in 60 s, and 500 to go
    assert "left" not in first + last


def test_a_terminal_has_a_bar() -> None:
    progress, text = on(is_terminal=True)
    progress.advance(3)  # nothing yet to move
    with progress.bar(total_steps=1_200, env_steps=300):
        progress.advance(100)
        with progress.doing("evaluate"):
            progress._bar[0].refresh()  # type: ignore[index]
        progress.evaluated([row(90, 30.0)], 1_200, best=30.0)
        progress.evaluated([row(60, 20.0)], 1_200, best=30.0)
    told = plain(text)
    assert "400/1,200 steps" in told
    assert "evaluate " in told
    assert told.count("return 20.00 (best 30.00)") >= 1
    assert told.count("/ 1200 env steps   return") == 2
    lines = told.replace("\r", "\n").splitlines()
    assert max(map(len, (line for line in lines if "400/1,200" in line))) <= 80


@pytest.mark.parametrize(("is_terminal", "process"), [(False, 0), (True, 1)])
def test_elsewhere_there_is_none(is_terminal: bool, process: int) -> None:
    progress, text = on(is_terminal, process)
    with progress.bar(total_steps=1_200, env_steps=300), progress.doing("evaluate"):
        progress.advance(100)
    assert text.getvalue() == ""


def test_paths_are_told_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().print("runs/a[bold]b[/bold]")
    assert capsys.readouterr().out.endswith("runs/a[bold]b[/bold]\n")


def test_only_the_first_of_several_processes_tells_the_course(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(process=1).follow("unseen")
    Progress(process=1).print("seen")
    assert re.fullmatch(r"\[.*s\] process 1: seen\n", capsys.readouterr().out)
