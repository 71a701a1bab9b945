"""Signals that ask a run to end: it saves a checkpoint first, where it can."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal has ended the run.

    Args:
        number: of the signal.
        message: what was saved, and how to go on.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class Interrupts:
    """Takes the signals of a run: the first is remembered while one can still save, any other ends it at once.

    Attributes:
        number: of the signal that asks the run to end, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._deferring = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """A context in which the signals come here; in the main thread alone, where Python lets them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[signal.Signals, Any] = {number: signal.signal(number, self._take) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A context in which the first signal waits until :attr:`number` is looked at."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._deferring and self.number is None:
            self.number = number
            return
        raise Interrupted(
            number, f"{signal.Signals(number).name}: ended at once; resume it to go on from the newest checkpoint"
        )
