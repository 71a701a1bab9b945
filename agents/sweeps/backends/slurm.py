"""Job arrays of Slurm, by way of submitit; jobs that Slurm preempts or whose time is over save, and are queued again.

The file slurm_job in a run directory names the job, so that another sweep knows what is queued. All machines need the
clone, the Python of this program and the sweep's directory, under the same paths.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from agents.gin_messages import ConfigError, did_you_mean
from agents.sweeps import attempt, record
from agents.sweeps.attempt import SECONDS, Order, Outcome, Started
from agents.sweeps.backends import TRIES, Backend, Handle, Options
from sobolev.training import lock
from sobolev.training.logs import write_text

# submitit reads it as it is imported: it would configure all logging anew, and close what others log to.
os.environ.setdefault("SUBMITIT_LOG_LEVEL", "NOCONFIG")
JOB = "slurm_job"
FOLDER = "slurm_jobs"
"""Of submitit's files, in the sweep's directory."""
MINUTES = 60
"""Of a job, where the command line says nothing."""
REQUEUES = 1_000
"""So often a job's time may be over; it goes on from its checkpoint each time."""
LOOK_SECONDS = 10
"""Between two questions to Slurm."""


class Job:
    """What runs on the machine that Slurm gives: submitit calls it, and its ``checkpoint`` before the time is over.

    Args:
        order: what is attempted.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._started: Started | None = None

    def __call__(self) -> tuple[int, str]:
        """An attempt, to its end."""
        self._started = Started(self._order)
        try:
            return self._wait(self._started)
        except KeyboardInterrupt:
            self._stop(self._started)
            raise

    def checkpoint(self) -> Any:
        """Lets the program save and end; what submitit is to queue again."""
        from submitit.helpers import DelayedSubmission

        if self._started is not None:
            self._stop(self._started)
        return DelayedSubmission(Job(self._order))

    def _stop(self, started: Started) -> None:
        started.stop(signal.SIGTERM)
        self._wait(started)

    def _wait(self, started: Started) -> tuple[int, str]:
        while (outcome := started.poll()) is None:
            time.sleep(SECONDS)
        return outcome.status, outcome.error


class SlurmHandle:
    """A job.

    Args:
        job: of submitit.
        order: what it attempts.
        is_local: whether it is a process of this machine.
    """

    def __init__(self, job: Any, order: Order, is_local: bool) -> None:
        self._job, self._order, self._is_local, self._since = job, order, is_local, time.time()

    def poll(self) -> Outcome | None:
        """How it has ended, by its result, or where there is none by the log."""
        has_result = self._job.paths.result_pickle.exists()
        if not self._job.done() if self._is_local else not has_result and is_queued(self._job.job_id, self._since):
            return None
        if not has_result:
            last = record.last_attempt(Path(self._order.run_dir))
            return Outcome(-signal.SIGKILL if last is None or last.status is None else last.status)
        kind, result = self._job._get_outcome_and_result()
        return Outcome(*result) if kind == "success" else Outcome(1, f"submitit: {result.strip().splitlines()[-1]}")

    def stop(self, number: int) -> None:
        """Cancels it: Slurm sends SIGTERM, and after some seconds SIGKILL."""
        del number
        self._job.cancel(check=False)


class Slurm:
    """Hands tasks to Slurm.

    Args:
        executor: of submitit.
        is_local: whether it starts processes of this machine.
    """

    tries = TRIES

    def __init__(self, executor: Any, is_local: bool) -> None:
        self._executor, self._is_local = executor, is_local

    def start(self, orders: Sequence[Order]) -> list[Handle]:
        """Hands them to Slurm, several as one array."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        if not orders:
            return []
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(Job(order)) for order in orders]
        except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
            raise OSError(f"Slurm has refused the job: {str(error).strip().splitlines()[-1]}") from error
        for order, job in zip(orders, jobs, strict=True):
            if not self._is_local:
                Path(order.run_dir).mkdir(parents=True, exist_ok=True)
                write_text(Path(order.run_dir) / JOB, f"{job.job_id}\n")
        return [SlurmHandle(job, order, self._is_local) for order, job in zip(orders, jobs, strict=True)]


def queued(run_dir: Path) -> str | None:
    """The job of a run directory, in words, where Slurm has it."""
    path = run_dir / JOB
    with contextlib.suppress(FileNotFoundError):
        job = path.read_text().strip()
        if shutil.which("squeue") and is_queued(job, path.stat().st_mtime):
            return f"Slurm as job {job}"
    return None


def is_queued(job: str, since: float) -> bool:
    """Whether a job waits or runs, as far as is known; it was handed over at a time of the clock."""
    look = int(time.time() // LOOK_SECONDS)
    if look <= since // LOOK_SECONDS:  # what Slurm said last may be older than the job
        return True
    known = queue(look)
    return known is None or job in known


@lru_cache(maxsize=1)
def queue(look: int) -> frozenset[str] | None:
    """The jobs of this user that wait or run, asked once for each look; None where Slurm does not answer."""
    del look
    words = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    return frozenset(answer.stdout.split()) if answer.returncode == 0 else None


def make(options: Options, sweep_dir: Path) -> Backend:
    """The backend; a ConfigError for parameters that submitit does not know, and where there is no Slurm."""
    import cloudpickle
    import submitit
    from submitit.slurm.slurm import SlurmExecutor

    for module in (attempt, record, lock, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)
    known = sorted(SlurmExecutor._valid_parameters())
    given = {name: number_of(text) for name, text in options.slurm}
    if unknown := next((name for name in given if name not in known), None):
        raise ConfigError(f"--slurm={unknown}=…: no such parameter{did_you_mean(unknown, known)}")
    if options.slurm_executor == "slurm" and shutil.which("srun") is None:
        raise ConfigError("--backend=slurm: there is no Slurm here; --slurm_executor=local tries it without")
    executor = submitit.AutoExecutor(
        sweep_dir.absolute() / FOLDER,
        cluster=options.slurm_executor,
        slurm_max_num_timeout=REQUEUES,
        local_max_num_timeout=REQUEUES,
    )
    given.setdefault("time", MINUTES)
    given.setdefault("job_name", sweep_dir.name)
    if options.workers is not None:
        given.setdefault("array_parallelism", options.workers)
    executor.update_parameters(timeout_min=given["time"], **{f"slurm_{name}": value for name, value in given.items()})
    return Slurm(executor, options.slurm_executor == "local")


def number_of(text: str) -> int | str:
    """A whole number where the text is one.

    Example:
        >>> number_of("240"), number_of("32GB")
        (240, '32GB')
    """
    return int(text) if text.isdigit() else text
