"""Processes of this machine."""

from collections.abc import Sequence
from pathlib import Path

from agents.sweeps.attempt import Order, Started
from agents.sweeps.backends import TRIES, Backend, Handle, Options


class Local:
    """Starts a process for each task, and a thread that looks after it."""

    tries = TRIES

    def start(self, orders: Sequence[Order]) -> list[Handle]:
        """Starts them at once."""
        return [Started(order) for order in orders]


def make(options: Options, sweep_dir: Path) -> Backend:
    """The backend."""
    del options, sweep_dir
    return Local()
