"""Experiment trackers: a run's metrics in Weights & Biases or in trackio, one run there for each seed.

    train(config, run_dir, callbacks=[WeightsAndBiases(project="walkers")])

A run that resumes goes on in the runs there in which it was: their names are kept in ``trackers/`` of the run
directory, and no row is told twice. Where a tracker fails later than at its start, training goes on without it. Both
read their own environment variables too, as WANDB_MODE and TRACKIO_DIR.
"""

import abc
import contextlib
import dataclasses
import functools
import io
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from sobolev import extras
from sobolev.training.logs import rows_of_run, write_text
from sobolev.training.rows import Row

FOLDER = "trackers"


class Tracked(NamedTuple):
    """What a tracker is told of a run.

    Fields:
        run_dir: of the run.
        seeds: that are going to be trained.
        resume: whether it may have told of them before.
        config: numbers and names by name, see :func:`described`.
        tell: prints a line.
    """

    run_dir: Path
    seeds: Sequence[int]
    resume: bool
    config: dict[str, Any]
    tell: Callable[[str], None]

    @property
    def group(self) -> str:
        """What the runs of all seeds have in common, the last two parts of the directory."""
        return "/".join(self.run_dir.resolve().parts[-2:])


class Identity(NamedTuple):
    """By what a tracker knows the run of a seed.

    Fields:
        id: that no other run has.
        name: for people.
    """

    id: str
    name: str


class Told(NamedTuple):
    """A run in a tracker.

    Fields:
        log: takes a row.
        finish: ends it; takes whether the run has come to its end.
        place: where one finds it.
    """

    log: Callable[[Row], object]
    finish: Callable[[bool], object]
    place: str


@dataclass(frozen=True)
class Tracker(abc.ABC):
    """A callback of :func:`sobolev.training.train` that is opened before the first row and closed after the last.

    Args:
        project: in which the runs are.
    """

    project: str = "sobolev"
    title: ClassVar[str]
    module: ClassVar[str]

    @abc.abstractmethod
    def start(self, run: Tracked, seed: int, identity: Identity, is_new: bool) -> Told:
        """Starts the run of a seed, or goes on with it.

        Raises:
            ValueError: it cannot be started.
        """

    @contextlib.contextmanager
    def opened(self, run: Tracked) -> Iterator[Callable[[Row], None]]:
        """A context with a function that takes rows.

        Raises:
            ModuleNotFoundError: the package is missing; the message has the command that installs it.
            ValueError: the tracker cannot be started.
        """
        extras.load(self.module)
        rows = sorted(rows_of_run(run.run_dir), key=lambda row: row["env_steps"]) if run.resume else []
        before = {int(row["seed"]): row["env_steps"] for row in rows}
        with contextlib.ExitStack() as stack:
            told: dict[int, Told] = {}
            places: list[str] = []

            def log(row: Row) -> None:
                seed = int(row["seed"])
                if seed in told:
                    try:
                        told[seed].log(row)
                    except Exception as error:  # theirs are not known
                        run.tell(f"{self.title}: seed {seed} is not told any more: {_first_line(error)}")
                        del told[seed]

            for seed in run.seeds:
                is_new, told[seed] = self._started(run, seed)
                stack.push(functools.partial(self._finish, run, told[seed]))
                places.append(told[seed].place)
                for row in rows if is_new else ():  # of a run that was begun without the tracker
                    if row["seed"] == seed:
                        log(row)
            first, *others = dict.fromkeys(places)
            run.tell(f"{self.title}: {first}{f', and {len(others)} more there' if others else ''}")
            yield lambda row: log(row) if row["env_steps"] > before.get(int(row["seed"]), -1) else None

    def _started(self, run: Tracked, seed: int) -> tuple[bool, Told]:
        """Whether the run of a seed is new, and the run."""
        path = run.run_dir / FOLDER / f"{self.module}_seed{seed}.json"
        if run.resume and path.exists():
            return False, self.start(run, seed, Identity(**json.loads(path.read_text())), is_new=False)
        name = run.group if len(run.seeds) == 1 else f"{run.group}, seed {seed}"
        identity = Identity(uuid.uuid4().hex[:12], name)
        there = self.start(run, seed, identity, is_new=True)
        path.parent.mkdir(exist_ok=True)
        write_text(path, json.dumps(identity._asdict()) + "\n")
        return True, there

    def _finish(self, run: Tracked, told: Told, kind: type[BaseException] | None, *_: Any) -> None:
        try:
            told.finish(kind is None)
        except Exception as error:
            run.tell(f"{self.title}: {_first_line(error)}")


class WeightsAndBiases(Tracker):
    """Weights & Biases, ``pip install 'sobolev[wandb]'``; with WANDB_MODE=offline into the run directory.

    Args:
        project: in which the runs are.
    """

    title, module = "Weights & Biases", "wandb"

    def start(self, run: Tracked, seed: int, identity: Identity, is_new: bool) -> Told:
        wandb = extras.load("wandb")
        quiet = wandb.Settings(silent=True, console="off")
        try:
            wandb.setup(settings=quiet)
            there = wandb.init(
                project=self.project,
                dir=str(run.run_dir),
                id=identity.id,
                name=identity.name,
                group=run.group,
                config={**run.config, "seed": seed},
                resume="never" if is_new else "allow",
                reinit="create_new",
                allow_val_change=True,
                settings=quiet,
            )
        except Exception as error:
            text = f"Weights & Biases: {_first_line(error)} WANDB_MODE=offline keeps all in the run directory"
            raise ValueError(text) from error
        return Told(
            lambda row: there.log(row, step=int(row["env_steps"])),
            lambda ended: there.finish(exit_code=0 if ended else 1),
            f"`wandb sync {Path(there.dir).parent}` sends it" if there.offline else str(there.url),
        )


class Trackio(Tracker):
    """trackio, ``pip install 'sobolev[trackio]'``; on this machine unless its environment variables say otherwise.

    Args:
        project: in which the runs are.
    """

    title, module = "trackio", "trackio"

    def start(self, run: Tracked, seed: int, identity: Identity, is_new: bool) -> Told:
        trackio = extras.load("trackio")
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                there = trackio.init(
                    project=self.project,
                    name=f"{identity.name} {identity.id}",  # by which it is found again
                    group=run.group,
                    config={**run.config, "seed": seed},
                    resume="never" if is_new else "allow",
                    embed=False,
                    auto_log_gpu=False,
                    auto_log_cpu=False,
                )
        except Exception as error:
            raise ValueError(f"trackio: {_first_line(error)}") from error

        trackio.context_vars.current_run.set(None)  # which the start of another one would end

        def finish(ended: bool) -> None:
            del ended
            with contextlib.redirect_stdout(io.StringIO()):
                there.finish()

        return Told(
            lambda row: there.log(row, step=int(row["env_steps"])),
            finish,
            f"project {self.project}, `trackio show` opens it",
        )


TRACKERS: dict[str, type[Tracker]] = {"wandb": WeightsAndBiases, "trackio": Trackio}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def described(value: Any, name: str) -> dict[str, Any]:
    """A configuration as numbers and texts by name: parts as the names of their classes, with what they hold.

    Args:
        value: a dataclass, a function, or what a tracker takes as it is.
        name: of it.

    Example:
        >>> from sobolev.metrics import MMD, Energy
        >>> described(MMD(kernel=Energy()), "agent.metric")["agent.metric.kernel"]
        'Energy'
    """
    if value is None or isinstance(value, bool | int | float | str):
        return {name: value}
    if isinstance(value, tuple | list) and all(isinstance(each, int | float | str) for each in value):
        return {name: list(value)}
    if isinstance(value, functools.partial):
        parts, text = value.keywords, getattr(value.func, "__name__", str(value.func))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        text = type(value).__name__
    elif isinstance(value, dict):
        parts, text = value, "dict"
    else:
        held = {} if isinstance(value, type) or callable(value) else getattr(value, "__dict__", {})
        parts = {key: x for key, x in held.items() if not key.startswith("_") and isinstance(x, int | float | str)}
        text = getattr(value, "__name__", type(value).__name__)
    found: dict[str, Any] = {name: text}
    for part, of_part in parts.items():
        found |= described(of_part, f"{name}.{part}")
    return found
