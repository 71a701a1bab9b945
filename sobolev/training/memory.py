"""What a run takes of a device's memory, told before anything is allocated, and refused where it does not fit."""

import contextlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax

from sobolev.training import replay as replay_buffer
from sobolev.training.job import SeedAxis
from sobolev.training.loop import TrainingState

_GIB = 2**30


class DoesNotFitError(ValueError):
    """The seeds that share a program need more memory than there is."""


class Budget(NamedTuple):
    """Bytes per device.

    Fields:
        replay: of the replay buffers.
        state: of everything that changes, the replay buffers included.
        temporary: of the program that learns, besides the state.
        limit: what may be taken.
    """

    replay: int
    state: int
    temporary: int
    limit: int

    def __str__(self) -> str:
        replay, state, temporary = (f"{size / 2**20:.1f} MiB" for size in self[:3])
        return f"memory: state {state} (replay {replay}), program {temporary}, limit {self.limit / _GIB:.1f} GiB"


def device_bytes() -> int:
    """The memory of a device, in bytes: a GPU's own, or that of the machine or of its control group."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics and "bytes_limit" in statistics:
        return int(statistics["bytes_limit"])
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError, ValueError):  # not Linux, or no limit
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(sizes)


def budget(states: TrainingState, axis: SeedAxis, limit_gib: float | None, temporary: int = 0) -> Budget:
    """The budget of a run.

    Args:
        states: of all seeds, arrays or their shapes.
        axis: of the seeds that share the programs.
        limit_gib: what may be taken of each device; None for what it has.
        temporary: bytes of the program that learns, on each device.

    Raises:
        DoesNotFitError: it does not fit.
    """
    limit = device_bytes() if limit_gib is None else int(limit_gib * _GIB)
    devices = axis.mesh.size
    replay = replay_buffer.num_bytes(states.replay) // devices
    found = Budget(replay, _num_bytes(states) // devices, temporary, limit)
    if found.state + found.temporary > limit:
        raise DoesNotFitError(
            f"{axis.size} seeds in one program do not fit: {found}. Lower train.seeds_at_once, "
            "train.replay_capacity or agent.batch_size, or raise train.memory_limit_gib"
        )
    return found


def _num_bytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
