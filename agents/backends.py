"""Where the tasks of a sweep run: a backend starts a program with a log, and gives what tells of its end."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol


class Process(Protocol):
    """A program that a backend has started."""

    def poll(self) -> int | None:
        """Its exit status, negative for a signal that has ended it; None while it runs."""

    def send_signal(self, sig: int) -> None:
        """Sends it a signal; nothing where it has ended."""


Backend = Callable[[Sequence[str], Path, int], Process]
"""``(words, log, claim) -> process``: starts the program of a command line, whose output is added to a file.

The claim is the descriptor of a lock. A program that inherits it keeps its task from other sweeps after this one has
died; a backend without this has the lock of the run alone, which the run takes as soon as it is configured.
"""


def local(words: Sequence[str], log: Path, claim: int) -> Process:
    """A process of this machine, in a group of its own: Ctrl-C reaches it from the sweep alone, and once."""
    with open(log, "a") as file:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=(claim,),
            start_new_session=True,
        )


BACKENDS: dict[str, Backend] = {"local": local}
