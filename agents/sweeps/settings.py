"""The configuration of a setting, and the command line of a task."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gin
from agents import gin_names
from agents.gin_messages import ConfigError, explained
from agents.sweeps.grid import Setting
from agents.sweeps.tasks import Loaded, Task, fingerprint_of, tasks_of
from sobolev.training import build


@dataclass(frozen=True)
class Settings:
    """What is common to all settings of a sweep.

    Args:
        files: gin files.
        bindings: of all settings.
        seeds: of every setting, in ascending order.
        at_once: how many consecutive seeds make a task at the most; None for all.
        sweep_dir: where the tasks are.
        program: what trains.
        option: by which the values of a setting are given.
    """

    files: tuple[str, ...]
    bindings: tuple[str, ...]
    seeds: tuple[int, ...]
    at_once: int | None
    sweep_dir: Path
    program: Path
    option: str

    def tasks_of(self, setting: Setting) -> list[Task]:
        """The tasks of a setting, whose configuration is read; a ConfigError where it cannot be."""
        return tasks_of(self.load(setting), self.seeds, self.at_once, self.sweep_dir)

    def load(self, setting: Setting) -> Loaded:
        """The configuration of a setting."""
        with self._explained(setting):
            config = gin_names.load(self.files, self._bindings(setting))
        return Loaded(setting, config, fingerprint_of(gin.config_str()))

    def build(self, setting: Setting) -> str:
        """The operative configuration of a setting, all of whose bindings are read."""
        bindings = self._bindings(setting)
        with self._explained(setting):
            config = gin_names.load(self.files, bindings)
            with explained(self.files, bindings):
                build(config)
            gin_names.check_all_read(self.files, bindings)
        return gin_names.operative_config()

    def words_of(self, task: Task, at_once: int | None) -> list[str]:
        """The command line of a task."""
        numbers = (
            f"train.seed = {task.seeds[0]}",
            f"train.num_seeds = {len(task.seeds)}",
            f"train.seeds_at_once = {at_once}",
        )
        return [
            sys.executable,
            str(self.program),
            *(f"--gin_file={file}" for file in self.files),
            *(f"--gin_bindings={text}" for text in (*self._bindings(task.loaded.setting), *numbers)),
            f"--run_dir={task.run_dir}",
            "--resume",
        ]

    def _bindings(self, setting: Setting) -> Sequence[str]:
        return (*self.bindings, *setting.bindings)

    @contextmanager
    def _explained(self, setting: Setting) -> Iterator[None]:
        """Messages about a value of a setting name its option."""
        try:
            yield
        except ConfigError as error:
            message = str(error)
            for binding in setting.bindings:
                message = message.replace(f"--gin_bindings='{binding}'", f"{self.option}, {binding}")
            raise ConfigError(message) from error
