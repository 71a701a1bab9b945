"""Groups of seeds: those that share a program, where they stand in a run directory, and the state they go on from."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from sobolev.training import checkpoint
from sobolev.training import replay as replay_buffer
from sobolev.training.config import TrainConfig
from sobolev.training.loop import TrainingState
from sobolev.types import Array


class Group(NamedTuple):
    """Seeds that share a program, and where they stand.

    Fields:
        seeds: their numbers.
        checkpoints: the folder of theirs.
        source: the checkpoint that they go on from, or None.
    """

    seeds: range
    checkpoints: Path
    source: Path | None

    @property
    def resumed_at(self) -> int | None:
        """Environment steps of the checkpoint."""
        return None if self.source is None else int(self.source.stem)

    @property
    def kept(self) -> str:
        """A sentence about the newest checkpoint."""
        newest = checkpoint.newest(self.checkpoints)
        return f"The newest checkpoint is {newest}." if newest else "There is no checkpoint yet."

    def __str__(self) -> str:
        first, last = self.seeds[0], self.seeds[-1]
        return f"seed {first}" if first == last else f"seeds {first} to {last} in one program"


def seed_group(
    config: TrainConfig, seeds: range, run_dir: Path, resume: bool, tell: Callable[[str], None] = lambda line: None
) -> Group:
    """Where seeds that share a program stand in a run directory; from the start without ``resume``.

    Raises:
        ValueError: they stand beyond the end of the run, there are checkpoints and none is whole, or they are of other
            groups of seeds.
    """
    checkpoints = run_dir / "checkpoints"
    if resume:
        _check_grouping(config, seeds, checkpoints)
    if len(seeds) < config.num_seeds:
        checkpoints /= f"seeds{seeds[0]}-{seeds[-1]}"
    group = Group(seeds, checkpoints, checkpoint.newest(checkpoints, tell) if resume else None)
    if resume and group.source is None and not checkpoint.is_empty(checkpoints):
        raise ValueError(f"no checkpoint in {checkpoints} is whole: move them away to start afresh")
    if group.resumed_at is not None and group.resumed_at > config.total_steps:
        raise ValueError(
            f"train.total_steps = {config.total_steps}, but {group.source} is of {group.resumed_at} steps: a run can "
            "be made longer, and not shorter"
        )
    return group


def _check_grouping(config: TrainConfig, seeds: range, checkpoints: Path) -> None:
    """Raises a ValueError where there are checkpoints of some of the seeds together with others."""
    named = (re.fullmatch(r"seeds(\d+)-(\d+)", path.parent.name) for path in checkpoints.glob("*/*.npz"))
    others = {range(int(name[1]), int(name[2]) + 1) for name in named if name} - {seeds}
    if len(seeds) < config.num_seeds and not checkpoint.is_empty(checkpoints):
        others.add(range(config.seed, config.seed + config.num_seeds))
    for other in sorted(others, key=lambda other: other[0]):
        if not set(seeds).isdisjoint(other):
            raise ValueError(
                f"{checkpoints} has seeds {other[0]} to {other[-1]} in one program: resume with train.seeds_at_once = "
                f"{len(other)}, in no more processes than there are such groups"
            )


def restore(source: Path, shapes: TrainingState) -> TrainingState:
    """The state of a checkpoint; a replay buffer that was smaller is brought to its present size."""
    capacity = shapes.replay.last.shape[1]
    stored = min(capacity, checkpoint.read(source)[".replay.last"].shape[1])
    replay = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((x.shape[0], stored, *x.shape[2:]), x.dtype) if x.ndim > 1 else x, shapes.replay
    )
    state = checkpoint.restore(source, shapes._replace(replay=replay))
    if common(state.env_steps) != int(source.stem):
        raise ValueError(f"{source} holds the state after {common(state.env_steps)} steps: give it its name back")
    if stored == capacity:
        return state
    return state._replace(replay=jax.vmap(partial(replay_buffer.enlarged, capacity=capacity))(state.replay))


def common(numbers: Array) -> int:
    """The number ``[seeds]`` that all seeds have in common.

    It is taken on the host: on several devices an index is a program in which these talk to each other.
    """
    return int(np.asarray(numbers)[0])
