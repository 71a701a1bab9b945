"""The tasks of a sweep: a setting with a group of seeds, and one run directory, ``<setting>/seeds0-9``."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agents import changes
from agents.runs import consecutive, name_of_seeds
from agents.sweeps.grid import Setting
from agents.sweeps.names import digest
from agents.sweeps.record import groups_in
from agents.sweeps.seeds import OF_SEEDS
from sobolev.training import TrainConfig


class Loaded(NamedTuple):
    """A setting whose configuration has been read.

    Fields:
        setting: which.
        config: its configuration, of whatever seeds.
        fingerprint: of all that is bound, whatever the seeds.
    """

    setting: Setting
    config: TrainConfig
    fingerprint: str


def fingerprint_of(text: str) -> str:
    """A digest of a configuration as gin prints it, without its seeds."""
    return digest(repr([(name, value) for name, value in changes.values(text).items() if name not in OF_SEEDS]))


class Task(NamedTuple):
    """A setting with a group of seeds.

    Fields:
        loaded: the setting.
        seeds: consecutive ones.
        run_dir: where they are trained.
    """

    loaded: Loaded
    seeds: range
    run_dir: Path

    def __str__(self) -> str:
        return f"{self.loaded.setting.name}/{self.run_dir.name}"

    def config(self, seeds_at_once: int | None) -> TrainConfig:
        """What is trained, so many seeds in a program."""
        return dataclasses.replace(
            self.loaded.config, seed=self.seeds[0], num_seeds=len(self.seeds), seeds_at_once=seeds_at_once
        )


def tasks_of(loaded: Loaded, seeds: Sequence[int], at_once: int | None, sweep_dir: Path) -> list[Task]:
    """The tasks of a setting; seeds that are in a directory already stay there, in its group.

    Args:
        loaded: the setting.
        seeds: in ascending order.
        at_once: how many consecutive seeds make a group at the most; None for all.
        sweep_dir: of the sweep.
    """
    folder, asked = sweep_dir / loaded.setting.name, set(seeds)
    groups = [group for group in groups_in(folder).values() if not asked.isdisjoint(group)]
    left = sorted(asked.difference(*groups))
    for group in consecutive(left):
        size = at_once or len(group)
        groups += [group[i : i + size] for i in range(0, len(group), size)]
    return [Task(loaded, group, folder / name_of_seeds(group)) for group in sorted(groups, key=lambda group: group[0])]
