"""One run in several processes, on one machine or on many: each trains its own seeds in a directory that all share.

Seeds do not talk to each other, so processes need not either. They meet once, before anything is written: all have the
same configuration, all see the same directory, and nothing speaks against the run in any of them. Then they part, and
each goes on as a run by itself, on its own devices: JAX ends every process that is connected to one that has died, and
these seeds have no part in that. What is told of a seed lies in a file of its own, but for the rows of the metrics:
each process writes a part of them, and the last one to end joins the parts.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from sobolev.training.config import TrainConfig
from sobolev.training.lock import locked
from sobolev.training.logs import part_of

HEARTBEAT_SECONDS = 30
"""A process that dies before all have met ends the others after so many seconds."""


def connect(
    address: str | None = None, count: int | None = None, index: int | None = None, *, timeout: int = 300
) -> None:
    """Makes this process one of several, by ``jax.distributed``; before anything else is asked of JAX.

    Args:
        address: host and port of process 0, which listens there; None for what the cluster says (Slurm, Open MPI, …).
        count: how many processes there are; as above.
        index: of this one, from 0 on; as above.
        timeout: for so many seconds the processes wait for each other here; then JAX ends those that have come.

    Raises:
        ValueError: numbers that do not fit together, an address that cannot be used, or no cluster.
    """
    if index is not None and count is not None and not 0 <= index < count:
        raise ValueError(f"the number of a process must be in [0, {count - 1}], of {count} processes, got {index}")
    if address is not None and not re.fullmatch(r".+:\d+", address):
        raise ValueError(f"an address has a host and a port, as 10.0.0.1:1234, got {address}")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM away from a run
    try:
        jax.distributed.initialize(
            address,
            count,
            index,
            cluster_detection_method=None if address is None else "deactivate",
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        if address is None:
            raise ValueError(f"no cluster tells of several processes: {error}") from error
        reason = str(error).partition("\n")[0]
        raise ValueError(f"process {index} of {count} does not reach the others at {address}: {reason}") from error


class Processes(NamedTuple):
    """The processes of a run, and which of them this is.

    Fields:
        rank: the number of this one; 0 prints what a run is doing, and writes what there is once.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def grouped(self, config: TrainConfig) -> TrainConfig:
        """A configuration with as many groups of seeds as processes, unless it says how large they are.

        Raises:
            ValueError: groups that are fewer than the processes.

        Example:
            >>> config = Processes(1, 2).grouped(TrainConfig(num_seeds=6))
            >>> config.seeds_at_once, Processes(1, 2).share(config)
            (3, (range(3, 6),))
        """
        if self.size == 1:
            return config
        if config.seeds_at_once is None:
            if config.num_seeds % self.size:
                raise ValueError(
                    f"train.num_seeds must be a multiple of the {self.size} processes, got {config.num_seeds}; or say "
                    "with train.seeds_at_once in which groups they are trained"
                )
            return dataclasses.replace(config, seeds_at_once=config.num_seeds // self.size)
        if len(config.seed_groups) < self.size:
            raise ValueError(
                f"train.num_seeds = {config.num_seeds} and train.seeds_at_once = {config.seeds_at_once} make "
                f"{len(config.seed_groups)} groups of seeds, fewer than {self.size} processes"
            )
        return config

    def share(self, config: TrainConfig) -> tuple[range, ...]:
        """The groups of seeds that this process trains, of a configuration from :meth:`grouped`."""
        return config.seed_groups[self.rank :: self.size]

    def folder(self, run_dir: Path) -> Path:
        """Where this process writes its rows."""
        return run_dir if self.size == 1 else part_of(run_dir, self.rank)

    def meet(self, agreed: Mapping[str, str] = MappingProxyType({}), note: str = "") -> str:
        """Waits for all processes; where something speaks against the run, in any of them, all end here.

        Args:
            agreed: texts by name, which are to be the same in all processes.
            note: to the others.

        Returns:
            The note of process 0.

        Raises:
            ValueError: a process has met an error, or has another text than process 0.
        """
        if self.size == 1:
            return note
        if not jax.distributed.is_initialized():
            raise ValueError("the processes have parted after the run before: start the program again for this one")
        words = _exchange(Word(dict(agreed), note))
        if objection := _objection(words):
            jax.distributed.shutdown()
            raise ValueError(objection)
        return words[0].note

    def part(self) -> None:
        """Meets for the last time: from here on each process goes on by itself."""
        if self.size > 1:
            self.meet()
            jax.distributed.shutdown()


class Word(NamedTuple):
    """What a process says as the processes meet.

    Fields:
        agreed: texts by name, which are to be the same in all.
        note: to the others.
        error: why there can be no run.
    """

    agreed: dict[str, str] = {}  # noqa: RUF012  # is not changed
    note: str = ""
    error: str = ""


def here() -> Processes:
    """The processes that ``jax.distributed`` has connected, or this one alone."""
    return Processes(jax.process_index(), jax.process_count())


@contextmanager
def heard() -> Iterator[None]:
    """A context whose errors end the other processes too, as long as they are connected."""
    try:
        yield
    except BaseException as error:
        if jax.distributed.is_initialized():
            _exchange(Word(error=str(error) or type(error).__name__))
            jax.distributed.shutdown()
        raise


@contextmanager
def entered(run_dir: Path, processes: Processes, agreed: Mapping[str, str], join: Callable[[], None]) -> Iterator[None]:
    """A context in which the processes of one run, and no other run, are in a directory; they are still connected.

    Args:
        run_dir: of the run; there.
        processes: of the run.
        agreed: see :meth:`Processes.meet`.
        join: is called by the first process before there are others, and by the last one.

    Raises:
        ValueError: another run is in the directory, or one of :meth:`Processes.meet`.
    """
    is_first, is_alone = processes.rank == 0, processes.size == 1
    with ExitStack() as stack:
        enter = partial(stack.enter_context, locked(run_dir, joins=not is_first, at_end=join))
        holder = ""
        if is_first:
            lock = enter()
            join()
            if not is_alone:
                lock.admit_others()
            holder = lock.holder
        holder = processes.meet(agreed, holder)
        if not is_first and enter().holder != holder:
            raise ValueError(f"{run_dir} is not the directory of process 0: all processes need the same one, shared")
        yield


def _exchange(word: Word) -> list[Word]:
    """What each process says."""
    text = json.dumps(word).encode()
    length = int(np.max(multihost_utils.process_allgather(np.int32(len(text)))))
    of_all = multihost_utils.process_allgather(np.frombuffer(text.ljust(length), np.uint8))
    return [Word(*json.loads(bytes(row))) for row in np.asarray(of_all)]


def _objection(words: Sequence[Word]) -> str:
    r"""What speaks against the run, or nothing.

    Example:
        >>> _objection([Word({"the configuration": "a = 1\nb = 2"}), Word({"the configuration": "a = 1\nb = 3"})])
        'the configuration of process 1 has b = 3, that of process 0 b = 2'
    """
    for index, word in enumerate(words):
        if word.error:
            return f"process {index} has ended: {word.error}"
    for index, word in enumerate(words):
        for name, text in word.agreed.items():
            if text.splitlines() != (of_first := words[0].agreed.get(name, "")).splitlines():
                lines, others = ([*each.splitlines(), "nothing more"] for each in (text, of_first))
                line, other = next((a, b) for a, b in zip(lines, others, strict=False) if a != b)
                return f"{name} of process {index} has {line}, that of process 0 {other}"
    return ""
