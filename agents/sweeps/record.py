"""What a run directory tells of the starts there: log.txt, to which a sweep adds a line at each start and each end."""

import re
import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CLAIM = "sweep.lock"
"""The lock by which a sweep has a run directory; that of the run itself is another."""
LOG = "log.txt"
_STARTS = re.compile(r"^==> .*? configuration (\w+): .*$", re.MULTILINE)


def groups_in(folder: Path) -> dict[Path, range]:
    """The seeds of each run directory of a setting; of one that is empty they do not count."""
    found = {}
    for path in sorted(folder.glob("seed*")):
        name = re.fullmatch(r"seeds?(\d+)(?:-(\d+))?", path.name)
        if name and path.is_dir() and any(path.iterdir()):
            found[path] = range(int(name[1]), int(name[2] or name[1]) + 1)
    return found


class Attempt(NamedTuple):
    """What log.txt tells of the last start.

    Fields:
        status: the exit status, negative for a signal; None where nobody has seen the end.
        fingerprint: of the configuration.
        error: the message, or "".
    """

    status: int | None
    fingerprint: str
    error: str


def begin_attempt(run_dir: Path, fingerprint: str, words: Sequence[str]) -> None:
    """Writes a start to the log."""
    with open(run_dir / LOG, "a") as file:
        file.write(f"==> {time.strftime('%Y-%m-%d %H:%M:%S')} configuration {fingerprint}: {shlex.join(words)}\n")


def end_attempt(run_dir: Path, status: int, error: str = "") -> None:
    """Writes an end to the log, with a message where the program has not left one."""
    with open(run_dir / LOG, "a") as file:
        file.write(f"\nerror: {error}\n" if error else "")
        file.write(f"\n<== {time.strftime('%Y-%m-%d %H:%M:%S')} status {status}\n")


def last_attempt(run_dir: Path) -> Attempt | None:
    """The last start in a run directory's log; None where there is none."""
    path = run_dir / LOG
    if not path.is_file():
        return None
    text = path.read_text(errors="replace")
    begins = list(_STARTS.finditer(text))
    if not begins:
        return None
    text = text[begins[-1].end() :]
    end = re.search(r"^<== .*? status (-?\d+)$", text, re.MULTILINE)
    errors = list(re.finditer(r"^error: (.*(?:\n(?!<==|\s*$).*)*)", text, re.MULTILINE))
    return Attempt(int(end[1]) if end else None, begins[-1][1], errors[-1][1] if errors else "")


def last_line(run_dir: Path) -> str:
    """The last line of the log that is not empty."""
    return (run_dir / LOG).read_text(errors="replace").strip().rsplit("\n", 1)[-1][:300]


def num_starts(run_dir: Path) -> int:
    """How many starts the log tells of."""
    path = run_dir / LOG
    return len(_STARTS.findall(path.read_text(errors="replace"))) if path.is_file() else 0


def overlapping(run_dir: Path, seeds: range) -> Path | None:
    """Another run directory of the setting that has some of the seeds."""
    groups = groups_in(run_dir.parent).items()
    return next((path for path, others in groups if path != run_dir and not set(others).isdisjoint(seeds)), None)


def signal_of(status: int) -> int | None:
    """The signal that has ended a program, by its exit status; None for another end.

    Example:
        >>> signal_of(-9), signal_of(143), signal_of(2)
        (9, 15, None)
    """
    number = -status if status < 0 else status - 128
    return number if number in set(signal.Signals) else None
