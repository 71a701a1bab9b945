"""The faults that take seconds; ``python -m tests.faults --full`` tries the others."""

from pathlib import Path

import pytest

from tests.faults.__main__ import all_cases
from tests.faults.case import refused

CASES = list(all_cases())
KINDS = sorted({case.kind for case in CASES if not case.is_long})


def test_there_are_two_hundred() -> None:
    assert len(CASES) >= 200
    assert len({(case.kind, case.name) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("kind", KINDS)
def test_every_promise_is_kept(kind: str, tmp_path: Path) -> None:
    broken: dict[str, str] = {}
    for number, case in enumerate(case for case in CASES if case.kind == kind and not case.is_long):
        folder = tmp_path / str(number)
        folder.mkdir()
        if problem := case.attempt(folder):
            broken[case.name] = problem
    assert broken == {}


def raises(error: Exception) -> object:
    raise error


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        (lambda: None, "it was accepted"),
        (lambda: raises(KeyError("x")), "KeyError"),
        (lambda: raises(ValueError("other")), "lacks"),
        (lambda: raises(ValueError("word\n" * 9)), "9 lines"),
        (lambda: raises(ValueError("word")), ""),
    ],
)
def test_a_promise_can_be_broken(action: object, problem: str) -> None:
    found = refused(ValueError, action, "word")
    assert problem in found
    assert bool(found) == bool(problem)
