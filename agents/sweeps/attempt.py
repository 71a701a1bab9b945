"""One attempt at a task, wherever it runs: it takes the lock of the task, starts the program, and keeps the record.

This module, the record and the lock travel to other machines by value, so that nothing has to be installed for them
there but what the program itself needs.
"""

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agents.exits import IN_USE
from agents.sweeps import record
from sobolev.training.lock import InUseError, locked

SECONDS = 0.1
"""Between two looks at the program."""


class Order(NamedTuple):
    """What is to be attempted.

    Fields:
        run_dir: of the task, a complete path.
        seeds: of the task.
        fingerprint: of its configuration.
        starts: how many of them the log had when the task was not done.
        words: the command line of the program.
        folder: in which it is started.
        variables: of its environment, besides those that it finds.
    """

    run_dir: str
    seeds: range
    fingerprint: str
    starts: int
    words: list[str]
    folder: str
    variables: dict[str, str]


class Outcome(NamedTuple):
    """How an attempt has ended.

    Fields:
        status: the exit status, negative for a signal; one of :mod:`agents.exits` where another has the task.
        error: the message, or "".
    """

    status: int
    error: str = ""


def attempt(order: Order, asked: Callable[[], int | None]) -> Outcome:
    """Runs the program of a task to its end, unless another has the task or has done it.

    Args:
        order: what is to be attempted.
        asked: gives the signals that the program is to be sent, one at a time.
    """
    run_dir = Path(order.run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        with locked(run_dir, name=record.CLAIM) as claim:
            last = record.last_attempt(run_dir)
            if last == (0, order.fingerprint, "") and record.num_starts(run_dir) > order.starts:
                return Outcome(0)
            other = record.overlapping(run_dir, order.seeds)
            if other is None:
                return _run(order, claim.descriptor, asked)
        run_dir.rmdir()
    except InUseError as error:
        return Outcome(IN_USE, str(error))
    except OSError as error:
        return Outcome(1, str(error))
    return Outcome(2, f"{other} has some of the same seeds: give all sweeps of a directory the same groups")


def _run(order: Order, claim: int, asked: Callable[[], int | None]) -> Outcome:
    """Runs the program; it inherits the lock, and so keeps the task where this process alone is killed."""
    run_dir = Path(order.run_dir)
    record.begin_attempt(run_dir, order.fingerprint, order.words)
    with open(run_dir / record.LOG, "a") as file:
        process = subprocess.Popen(
            order.words,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=order.folder,
            env={**os.environ, **order.variables},
            pass_fds=(claim,),
            start_new_session=True,  # Ctrl-C reaches it from the sweep alone, and once
        )
    while (status := process.poll()) is None:
        if number := asked():
            process.send_signal(number)
        time.sleep(SECONDS)
    last = record.last_attempt(run_dir)
    error = last.error if last else ""
    unsaid = ""
    if not error and status != 0 and record.signal_of(status) is None:
        unsaid = f"status {status}: {record.last_line(run_dir)}"
    record.end_attempt(run_dir, status, unsaid)
    return Outcome(status, error or unsaid)


class Started:
    """An attempt in a thread.

    Args:
        order: what is attempted.
    """

    def __init__(self, order: Order) -> None:
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._attempt, args=(order,), daemon=True)
        self._thread.start()

    def _attempt(self, order: Order) -> None:
        try:
            self._outcome = attempt(order, self._next)
        except Exception as error:
            self._outcome = Outcome(1, f"{type(error).__name__}: {error}")

    def _next(self) -> int | None:
        return None if self._asked.empty() else self._asked.get()

    def poll(self) -> Outcome | None:
        """How it has ended; None while it runs."""
        return None if self._thread.is_alive() else self._outcome

    def stop(self, number: int) -> None:
        """Sends the program a signal."""
        self._asked.put(number)


def complete(order: Order) -> Outcome:
    """An attempt of a process that has nothing else to do: what interrupts it asks the program to save and end."""
    started = Started(order)
    try:
        while (outcome := started.poll()) is None:
            time.sleep(SECONDS)
    except KeyboardInterrupt:
        started.stop(signal.SIGTERM)
        while started.poll() is None:
            time.sleep(SECONDS)
        raise
    return outcome
