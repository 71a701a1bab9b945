"""Where the tasks of a sweep run: a backend starts attempts, and gives what tells of their ends.

Each is a module with ``make(options, sweep_dir)``, which gives a :class:`Backend`; :data:`BACKENDS` has their names.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from agents.gin_messages import ConfigError
from agents.sweeps.attempt import Order, Outcome

BACKENDS = {"local": None, "ray": "ray", "slurm": "submitit"}
"""The names, and the package that each needs besides."""
TRIES = 3
"""So often a task is started in one call that a signal ends, or whose machine is lost."""


class Options(NamedTuple):
    """What the command line says of backends.

    Fields:
        workers: so many tasks side by side at the most; None for as many as the backend has room for.
        ray_address: of a cluster; None for that of RAY_ADDRESS, or one of this machine.
        cpus_per_task, gpus_per_task: what Ray sets aside for a task.
        slurm_executor: of submitit, "slurm" or "local".
        slurm: parameters of jobs by the names that submitit gives them.
    """

    workers: int | None = None
    ray_address: str | None = None
    cpus_per_task: float = 1.0
    gpus_per_task: float = 0.0
    slurm_executor: str = "slurm"
    slurm: tuple[tuple[str, str], ...] = ()


class Handle(Protocol):
    """An attempt that a backend has started."""

    def poll(self) -> Outcome | None:
        """How it has ended; None while it runs or waits."""

    def stop(self, number: int) -> None:
        """Asks it to end by a signal: SIGKILL at once, others after it has saved; nothing where it has ended."""


class Backend(Protocol):
    """Starts attempts.

    Attributes:
        tries: how often a sweep starts a task; 1 where the backend itself tries again.
    """

    tries: int

    def start(self, orders: Sequence[Order]) -> list[Handle]:
        """Starts attempts at tasks, or queues them; an OSError where it cannot."""


def make(name: str, options: Options, sweep_dir: Path) -> Backend:
    """The backend of a name.

    Raises:
        ConfigError: it has no connection, or its options are wrong.
    """
    module = importlib.import_module(f"agents.sweeps.backends.{name}")
    backend: Backend = module.make(options, sweep_dir)
    return backend


def check_installed(option: str, package: str | None) -> None:
    """Raises a ConfigError where a package is missing that an option needs."""
    if package is None:
        return
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"{option} needs the package {package}: pip install 'sobolev[sweep]'") from error
