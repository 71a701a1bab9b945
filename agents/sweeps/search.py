"""A search by Optuna: each trial is a setting, and its value the mean of the final returns of its seeds.

Optuna's own storage, search.journal in the sweep's directory, keeps which settings were asked for; what has come of
them is read from the run directories. A trial that has no value yet is taken up by the next call, or by another that
runs: no trial belongs to a process.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents.gin_messages import ConfigError
from agents.methods import make_methods
from agents.sweeps.grid import Setting
from agents.sweeps.running import Tell
from agents.sweeps.space import Range, setting_at
from agents.sweeps.states import is_done
from agents.sweeps.tasks import Task
from sobolev.training.lock import InUseError, locked

SEARCHES = {"tpe": "optuna"}
"""The names, and the package that each needs."""
JOURNAL = "search.journal"
LOCK = "search.lock"
"""Who holds it asks for a trial: the number of trials is looked at, and then one more is there."""
STUDY = "search"


@dataclass
class Open:
    """Trials of one setting that have no value yet.

    Attributes:
        numbers: of the trials.
        tasks: of the setting.
        left: the run directories of those that have not ended.
        failed: whether one has.
    """

    numbers: list[int]
    tasks: list[Task]
    left: set[Path]
    failed: bool = field(default=False)


class Search:
    """The source of a search's tasks.

    Args:
        study: of Optuna.
        ranges: of the names that are searched.
        trials: how many there are to be, those of earlier calls included.
        tasks_of: the tasks of a setting; a ConfigError where its configuration is wrong.
        sweep_dir: where they are.
        tell: is told of every value.

    Attributes:
        failed: the messages of settings whose configuration is wrong.
    """

    def __init__(
        self,
        study: Any,
        ranges: Sequence[Range],
        trials: int,
        tasks_of: Callable[[Setting], list[Task]],
        sweep_dir: Path,
        tell: Tell,
    ) -> None:
        self._study, self._ranges, self._trials = study, ranges, trials
        self._tasks_of, self._sweep_dir, self._tell = tasks_of, sweep_dir, tell
        self._open: dict[str, Open] = {}
        self._seen: set[int] = set()
        self.failed: dict[str, str] = {}

    def more(self, count: int) -> list[Task]:
        """The tasks of trials that have no value yet, and then of new ones."""
        found: list[Task] = []
        try:
            while len(found) < count:
                with locked(self._sweep_dir, name=LOCK):
                    trial = self._next()
                if trial is None:
                    break
                found += self._begin(*trial)
        except InUseError:  # another asks; the next look is soon
            pass
        return found

    def ended(self, task: Task, failed: bool) -> None:
        """Gives the trials of a setting their value where this was its last task."""
        name = task.loaded.setting.name
        found = self._open[name]
        found.left.discard(task.run_dir)
        found.failed |= failed
        if not found.left:
            del self._open[name]
            self._conclude(name, found)

    def is_over(self) -> bool:
        """Whether all trials have a value, or have failed."""
        if self._open:
            return False
        trials = self.drawn()
        return len(trials) >= self._trials and all(trial.state.is_finished() for trial in trials)

    def tasks(self) -> list[Task]:
        """Those of all trials so far."""
        names = {setting.name: setting for setting in (setting_at(self._ranges, t.params) for t in self.drawn())}
        return [task for setting in names.values() for task in self._tasks_of(setting)]

    def drawn(self) -> list[Any]:
        """The trials that have all their values."""
        names = {each.name for each in self._ranges}
        return [trial for trial in self._study.get_trials(deepcopy=False) if set(trial.params) == names]

    def _next(self) -> tuple[int, Setting] | None:
        """A trial without a value that this call has not begun, or a new one."""
        import optuna

        trials = self.drawn()
        for trial in trials:
            if not trial.state.is_finished() and trial.number not in self._seen:
                return trial.number, setting_at(self._ranges, trial.params)
        if len(trials) >= self._trials:
            return None
        # A seed of each trial's own: a search that was cut draws what it would have drawn.
        self._study.sampler = optuna.samplers.TPESampler(seed=len(trials), constant_liar=True)
        new = self._study.ask()
        for each in self._ranges:
            each.suggest(new)
        return new.number, setting_at(self._ranges, new.params)

    def _begin(self, number: int, setting: Setting) -> list[Task]:
        """The tasks of a trial that are not done."""
        self._seen.add(number)
        if setting.name in self._open:
            self._open[setting.name].numbers.append(number)
            return []
        try:
            tasks = self._tasks_of(setting)
        except ConfigError as error:
            self.failed[setting.name] = str(error)
            self._give(number, None)
            return []
        left = [task for task in tasks if not is_done(task)]
        found = Open([number], tasks, {task.run_dir for task in left})
        if left:
            self._open[setting.name] = found
        else:
            self._conclude(setting.name, found)
        return left

    def _conclude(self, name: str, found: Open) -> None:
        value = None if found.failed else value_of(found.tasks)
        if value is None:
            self._tell(f"trial {', '.join(map(str, found.numbers))}, {name}: failed")
        else:
            self._tell(f"trial {', '.join(map(str, found.numbers))}, {name}: {value:.4g}")
        for number in found.numbers:
            self._give(number, value)

    def _give(self, number: int, value: float | None) -> None:
        import optuna

        state = optuna.trial.TrialState.FAIL if value is None else None
        self._study.tell(number, value, state=state, skip_if_finished=True)


def value_of(tasks: Sequence[Task]) -> float | None:
    """The mean of the final returns of a setting's seeds, each the mean of its last evaluations; None of no number."""
    (method,) = make_methods([(tasks[0].loaded.setting.name, [task.run_dir for task in tasks])])
    value = float(np.mean(method.finals(tasks[0].loaded.config.total_steps)))
    return value if np.isfinite(value) else None


def open_study(sweep_dir: Path, purpose: dict[str, Any]) -> Any:
    """Optuna's study of a directory; it is made where there is none.

    Args:
        sweep_dir: where its storage is.
        purpose: what is searched, for which seeds and of which configuration; the values of another are not comparable.

    Raises:
        ConfigError: the study there has another purpose.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sweep_dir.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(sweep_dir / JOURNAL)))
    try:
        with locked(sweep_dir, name=LOCK):
            study = optuna.create_study(storage=storage, study_name=STUDY, direction="maximize", load_if_exists=True)
            if not study.user_attrs:
                study.set_user_attr("purpose", purpose)
    except InUseError as error:
        raise ConfigError(f"{sweep_dir / LOCK} is held by another search: try again") from error
    former = study.user_attrs["purpose"]
    for name, value in purpose.items():
        if former.get(name) != value:
            raise ConfigError(
                f"{sweep_dir} holds a search with {name} {_shown(former.get(name))}, not {_shown(value)}. "
                "Name another --sweep_dir"
            )
    return study


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def best_told(search: Search, ranges: Sequence[Range]) -> str:
    """How many trials there are, and the best."""
    trials = search.drawn()
    ended = [trial for trial in trials if trial.state.is_finished()]
    valued = [trial for trial in ended if trial.value is not None]
    text = f"{len(ended)} of {len(trials)} trials have ended, {len(ended) - len(valued)} of them failed"
    if not valued:
        return text
    best = max(valued, key=lambda trial: trial.value)
    values = ", ".join(setting_at(ranges, best.params).bindings)
    return f"{text}\nbest: trial {best.number} with a mean return of {best.value:.4g}: {values}"
