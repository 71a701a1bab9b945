"""Tasks are brought to their end, some side by side."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol

from agents.exits import DOES_NOT_FIT, IN_USE
from agents.sweeps import record
from agents.sweeps.attempt import Order, Outcome
from agents.sweeps.backends import TRIES, Backend, Handle
from agents.sweeps.states import holder, is_done, is_whole, smaller_group, stored_at_once
from agents.sweeps.tasks import Task
from sobolev.training.interrupts import Interrupted, Interrupts

SECONDS = 0.2
"""Between two looks at the tasks that this sweep has started."""
ELSEWHERE_SECONDS = 1.0
"""Between two looks at those that others have in hand."""
Tell = Callable[[str], None]


class Running(NamedTuple):
    """A task that this call has started.

    Fields:
        task: which.
        handle: tells of its end.
    """

    task: Task
    handle: Handle


class Source(Protocol):
    """Where tasks come from that are not known from the beginning."""

    def more(self, count: int) -> list[Task]:
        """Further tasks, some ``count`` of them; none where there are none yet, or none any more."""

    def ended(self, task: Task, failed: bool) -> None:
        """Is told of the end of each task."""

    def is_over(self) -> bool:
        """Whether no further tasks will come."""


class Given:
    """The source of a grid, all of whose tasks are known."""

    def more(self, count: int) -> list[Task]:
        """None."""
        del count
        return []

    def ended(self, task: Task, failed: bool) -> None:
        """Does nothing."""

    def is_over(self) -> bool:
        """True."""
        return True


class Sweep:
    """Brings tasks to their end, some side by side.

    Args:
        tasks: those that are not done.
        words_of: the command line of a task, with how many seeds share a program.
        backend: where they run.
        workers: how many side by side; None for all, as far as the backend has room.
        tell: is told of every start and end.
        source: of further tasks.

    Attributes:
        failed: the messages of the tasks that have failed.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        words_of: Callable[[Task, int | None], list[str]],
        backend: Backend,
        workers: int | None,
        tell: Tell,
        source: Source | None = None,
    ) -> None:
        self._words_of, self._backend, self._workers, self._tell = words_of, backend, workers, tell
        self._source = source or Given()
        self._waiting = list(tasks)
        self._running: list[Running] = []
        self._lost: Counter[Path] = Counter()
        self._at_once: dict[Path, int] = {}
        self.failed: dict[str, str] = {}

    def run(self, interrupts: Interrupts) -> None:
        """Runs all tasks, those that others have in hand too if they leave them unfinished.

        Raises:
            Interrupted: a signal has ended it; no task of it runs any more.
        """
        next_look, elsewhere = 0.0, 0
        with suppress(Interrupted), interrupts.deferred():
            while (self._waiting or self._running or not self._source.is_over()) and interrupts.number is None:
                if self._take_ended(stopping=False) or time.monotonic() >= next_look:
                    self._start_some()
                    next_look = time.monotonic() + ELSEWHERE_SECONDS
                    if not self._running and len(self._waiting) not in (0, elsewhere):
                        elsewhere = len(self._waiting)
                        self._tell(f"waiting for {number_of_tasks(elsewhere)} that others have in hand")
                time.sleep(SECONDS)
        if interrupts.number is not None:
            self._end(interrupts.number)

    def _start_some(self) -> None:
        """Starts what is free, as far as there is room, and asks for more where there is room left."""
        self._start(self._free(self._waiting))
        if room := self._room():
            further = self._source.more(room)
            self._waiting += further
            self._start(self._free(further))

    def _room(self) -> int:
        return sys.maxsize if self._workers is None else self._workers - len(self._running)

    def _free(self, tasks: Sequence[Task]) -> list[Task]:
        """Those of some waiting tasks that are to be started now; those that others have done wait no more."""
        free: list[Task] = []
        for task in list(tasks):
            if len(free) >= self._room():
                break
            if holder(task):
                continue
            if is_done(task):
                self._waiting.remove(task)
                self._source.ended(task, failed=False)
            else:
                free.append(task)
        return free

    def _start(self, tasks: Sequence[Task]) -> None:
        try:
            handles = self._backend.start([self._order(task) for task in tasks])
        except OSError as error:
            for task in tasks:
                self._waiting.remove(task)
                self._fail(task, str(error))
            return
        for task, handle in zip(tasks, handles, strict=True):
            self._waiting.remove(task)
            self._running.append(Running(task, handle))
            self._tell(f"{task}: started, see {task.run_dir / record.LOG}")

    def _order(self, task: Task) -> Order:
        words = self._words_of(task, self._at_once.get(task.run_dir) or stored_at_once(task.run_dir))
        starts, run_dir = record.num_starts(task.run_dir), str(task.run_dir.absolute())
        return Order(run_dir, task.seeds, task.loaded.fingerprint, starts, words, os.getcwd(), {})

    def _take_ended(self, stopping: bool) -> bool:
        """Takes note of the tasks that have ended; whether there are any."""
        ended = [(running, outcome) for running in self._running if (outcome := running.handle.poll()) is not None]
        for running, outcome in ended:
            self._running.remove(running)
            if not stopping:
                self._end_of(running.task, outcome)
        return bool(ended)

    def _end_of(self, task: Task, outcome: Outcome) -> None:
        """What follows from an outcome."""
        status, error = outcome
        at_once = self._at_once.get(task.run_dir) or stored_at_once(task.run_dir) or len(task.seeds)
        number = record.signal_of(status)
        if status == 0 and is_whole(task):
            self._tell(f"{task}: done")
            self._source.ended(task, failed=False)
        elif status == 0:
            missing = "it ended without rows or checkpoints of its last step"
            record.end_attempt(task.run_dir, 0, missing)
            self._fail(task, missing)
        elif status == IN_USE:
            self._waiting.append(task)
        elif number is not None:
            self._after_signal(task, status, number)
        elif status == DOES_NOT_FIT and (smaller := smaller_group(at_once)):
            self._at_once[task.run_dir] = smaller
            self._waiting.insert(0, task)
            self._tell(f"{task}: {at_once} seeds do not fit the memory; again with {smaller} in one program")
        else:
            self._fail(task, error)

    def _after_signal(self, task: Task, status: int, number: int) -> None:
        """Tries a task again that a signal has ended, unless it was the last try."""
        name = signal.Signals(number).name
        self._lost[task.run_dir] += 1
        tries = self._lost[task.run_dir]
        if tries < self._backend.tries:
            self._tell(f"{task}: ended by {name}; again, try {tries + 1} of {self._backend.tries}")
            self._waiting.insert(0, task)
            return
        message = f"{TRIES} tries were ended by a signal, the last by {name}"
        record.end_attempt(task.run_dir, status, message)
        self._fail(task, message)

    def _fail(self, task: Task, message: str) -> None:
        self.failed[str(task)] = message
        self._tell(f"{task}: failed: {message}")
        self._source.ended(task, failed=True)

    def _end(self, number: int) -> NoReturn:
        """Ends the tasks, which save first; at a further signal at once."""
        self._tell(f"{signal.Signals(number).name}: {number_of_tasks(len(self._running))} save and end …")
        self._stop(number)
        while self._running:
            try:
                self._take_ended(stopping=True)
                time.sleep(SECONDS)
            except Interrupted:
                self._stop(signal.SIGKILL)
        raise Interrupted(number, "ended")

    def _stop(self, number: int) -> None:
        for running in self._running:
            running.handle.stop(number)


def number_of_tasks(count: int) -> str:
    """A number of tasks in words.

    Example:
        >>> number_of_tasks(1), number_of_tasks(3)
        ('1 task', '3 tasks')
    """
    return "1 task" if count == 1 else f"{count} tasks"
