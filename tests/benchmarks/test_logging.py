"""The benchmark of what telling costs: which seconds it counts, and that its silent run tells nothing."""

import pytest

from benchmarks import logging
from sobolev.training import Progress


def test_the_seconds_of_the_calls_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def tick() -> float:
        clock[0] += 1.0
        return clock[0]

    monkeypatch.setattr(logging.time, "perf_counter", tick)
    progress = Progress(began=0.0)
    before = Progress.print
    with logging.timed() as seconds:
        progress._note(doing="x")  # 2 looks at the clock
        assert seconds == [1.0]
        progress.print("told")  # a third within
        assert seconds == [3.0]
        with progress.bar(10, 0):
            progress.follow("of which print is a part")
        assert seconds == [5.0]
    assert Progress.print is before


def test_a_silent_run_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = logging.SilentProgress()
    with progress.stage("compile"), progress.bar(10, 0), progress.doing("evaluate"):
        progress.advance(3)
        progress.follow("line")
        progress.evaluated([{"env_steps": 3, "seed": 0, "eval/return": 1.0}], 10, best=1.0)
    assert capsys.readouterr().out == ""
