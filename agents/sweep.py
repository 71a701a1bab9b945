"""Trains every setting of a grid, and says what came of it.

python agents/sweep.py --gin_file=gin/msmmd_cvae.gin --grid="agent.num_samples=[4,8]" --seeds=0-9 --sweep_dir=runs/n

A task is a setting with a group of consecutive seeds, and agents/run.py in a directory of its own,
SWEEP_DIR/agent.num_samples=4/seeds0-9. The same command goes on where it was ended, and may be given several times at
once: each takes other tasks. At the end there are results.csv and the pictures of agents/plot.py in the directory.
Exit status: 0 all tasks are done, 1 some have failed, 2 wrong arguments, 130 or 143 after a signal.
"""

import argparse
import csv
import io
import os
import shlex
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import gin

ROOT = Path(__file__).resolve().parent.parent
# This file's folder would hide modules of the same names; a gin file may import one from where the program is started.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "agents")), os.getcwd()]

from agents import start  # noqa: E402

with start.quiet():
    import jax

    from agents import exits, gin_names, plot, sweeps
    from agents.backends import BACKENDS, Backend, Process
    from agents.gin_messages import ConfigError, did_you_mean, explained
    from agents.sweeps import CLAIM, LOG, Loaded, State, Task
    from sobolev.training import TrainConfig, build
    from sobolev.training.interrupts import Interrupted, Interrupts
    from sobolev.training.lock import locked
    from sobolev.training.logs import write_text
    from sobolev.training.statistics import bootstrap_interval, interquartile_mean

TRIES = 3
"""So often a task is started in one call that a signal from elsewhere ends."""
SECONDS = 0.2
"""Between two looks at the tasks that run here."""
ELSEWHERE_SECONDS = 1.0
"""Between two looks at those that others have in hand."""
Tell = Callable[[str], None]


class Result(NamedTuple):
    """What has come of a setting; the fields are the columns of results.csv.

    Fields:
        setting: its name.
        seeds: that are done, as --seeds has them.
        num_seeds: how many.
        env_steps: after which.
        interquartile_mean: of their returns, each the mean of the last evaluations.
        interval_low, interval_high: its 95% bootstrap interval; None of fewer seeds than an interval needs.
    """

    setting: str
    seeds: str
    num_seeds: int
    env_steps: int
    interquartile_mean: float
    interval_low: float | None
    interval_high: float | None


# The arguments.


class Parser(argparse.ArgumentParser):
    """One whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Raises a ConfigError."""
        raise ConfigError(f"{message}; --help shows all options")


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        "agents/sweep.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    several: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--gin_file", **several, help="a gin file; may be repeated, later files win")
    parser.add_argument("--gin_bindings", **several, help="a binding of all settings; may be repeated")
    parser.add_argument("--grid", **several, help="name=[a,b,…]; may be repeated: all combinations are trained")
    parser.add_argument("--seeds", default="0", help="0-9, or 0,3,5-7; default: %(default)s")
    parser.add_argument("--seeds_at_once", type=int, help="seeds in one program; default: all that are consecutive")
    parser.add_argument("--sweep_dir", type=Path, help="where the run directories are")
    parser.add_argument("--backend", default="local", help=f"where tasks run: {', '.join(BACKENDS)}")
    parser.add_argument("--workers", type=int, default=1, help="tasks side by side; default: %(default)s")
    parser.add_argument("--dry_run", action="store_true", help="print tasks and their configurations, and stop")
    parser.add_argument("--status", action="store_true", help="print where each task stands, and stop")
    parser.add_argument(
        "--program",
        type=Path,
        default=ROOT / "agents" / "run.py",
        help="what trains, with the options of agents/run.py",
    )
    return parser


def check(options: argparse.Namespace) -> None:
    """Raises a ConfigError for arguments that mean nothing."""
    if not options.gin_file:
        raise ConfigError("nothing to train: give --gin_file=gin/msmmd_cvae.gin")
    if options.sweep_dir is None:
        raise ConfigError("nowhere to train: give --sweep_dir=runs/samples")
    if options.backend not in BACKENDS:
        close = did_you_mean(options.backend, BACKENDS)
        raise ConfigError(f"no backend {options.backend}{close} There are: {', '.join(BACKENDS)}")
    for name in ("workers", "seeds_at_once"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ConfigError(f"--{name} must be at least 1, got {value}")
    if not options.program.is_file():
        raise ConfigError(f"--program={options.program}: no such file")


def tasks_of(options: argparse.Namespace) -> list[Task]:
    """All tasks, of configurations that can be read."""
    check(options)
    seeds = sweeps.parse_seeds(options.seeds)
    stem = "+".join(Path(file).stem for file in options.gin_file)
    settings = sweeps.settings_of([sweeps.parse_grid(text) for text in options.grid], stem)
    found: list[Task] = []
    for setting in settings:
        config = load(options, setting)
        loaded = Loaded(setting, config, sweeps.fingerprint_of(gin.config_str()))
        found += sweeps.tasks_of(loaded, seeds, options.seeds_at_once, options.sweep_dir)
    return found


def load(options: argparse.Namespace, setting: sweeps.Setting) -> TrainConfig:
    """The configuration of a setting."""
    with _of_grid(setting):
        return gin_names.load(options.gin_file, [*options.gin_bindings, *setting.bindings])


def build_setting(options: argparse.Namespace, setting: sweeps.Setting) -> str:
    """The operative configuration of a setting, all of whose bindings are read."""
    files, bindings = options.gin_file, [*options.gin_bindings, *setting.bindings]
    with _of_grid(setting):
        config = gin_names.load(files, bindings)
        with explained(files, bindings):
            build(config)
        gin_names.check_all_read(files, bindings)
    return gin_names.operative_config()


@contextmanager
def _of_grid(setting: sweeps.Setting) -> Iterator[None]:
    """Messages about a value of the grid name its option."""
    try:
        yield
    except ConfigError as error:
        message = str(error)
        for binding in setting.bindings:
            message = message.replace(f"--gin_bindings='{binding}'", f"--grid, {binding}")
        raise ConfigError(message) from error


def words_of(options: argparse.Namespace, task: Task, at_once: int | None) -> list[str]:
    """The command line of a task."""
    numbers = (
        f"train.seed = {task.seeds[0]}",
        f"train.num_seeds = {len(task.seeds)}",
        f"train.seeds_at_once = {at_once}",
    )
    return [
        sys.executable,
        str(options.program),
        *(f"--gin_file={file}" for file in options.gin_file),
        *(f"--gin_bindings={text}" for text in (*options.gin_bindings, *task.loaded.setting.bindings, *numbers)),
        f"--run_dir={task.run_dir}",
        "--resume",
    ]


# Running.


class Running(NamedTuple):
    """A task that this call has started.

    Fields:
        task: which.
        process: its program.
        claim: keeps it from other sweeps until it is closed.
    """

    task: Task
    process: Process
    claim: ExitStack


class Sweep:
    """Brings tasks to their end, some side by side.

    Args:
        tasks: those that are not done.
        words_of: the command line of a task, with how many seeds share a program.
        backend: where they run.
        workers: how many side by side.
        tell: is told of every start and end.

    Attributes:
        failed: the messages of the tasks that have failed.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        words_of: Callable[[Task, int | None], list[str]],
        backend: Backend,
        workers: int,
        tell: Tell,
    ) -> None:
        self._words_of, self._backend, self._workers, self._tell = words_of, backend, workers, tell
        self._waiting = list(tasks)
        self._running: list[Running] = []
        self._ended_by_signal: Counter[Path] = Counter()
        self._at_once: dict[Path, int] = {}
        self.failed: dict[str, str] = {}

    def run(self, interrupts: Interrupts) -> None:
        """Runs all tasks, those that others have in hand too if they leave them unfinished.

        Raises:
            Interrupted: a signal has ended it; no task of it runs any more.
        """
        next_look, elsewhere = 0.0, 0
        with suppress(Interrupted), interrupts.deferred():
            while (self._waiting or self._running) and interrupts.number is None:
                if self._take_ended(stopping=False) or time.monotonic() >= next_look:
                    self._start_some()
                    next_look = time.monotonic() + ELSEWHERE_SECONDS
                    if not self._running and len(self._waiting) not in (0, elsewhere):
                        elsewhere = len(self._waiting)
                        self._tell(f"waiting for {_tasks(elsewhere)} that others have in hand")
                time.sleep(SECONDS)
        if interrupts.number is not None:
            self._end(interrupts.number)

    def _start_some(self) -> None:
        """Starts what is free, as far as there is room."""
        for task in list(self._waiting):
            if len(self._running) == self._workers:
                return
            try:
                claim = self._claim(task)
                if claim is not None:
                    self._waiting.remove(task)
                    self._start(task, claim)
            except (ConfigError, OSError) as error:
                self._waiting = [other for other in self._waiting if other != task]
                self._fail(task, str(error))

    def _claim(self, task: Task) -> ExitStack | None:
        """What keeps a task from other sweeps; None where another process has it, or has done it."""
        if sweeps.holder(task):
            return None
        task.run_dir.mkdir(parents=True, exist_ok=True)
        claim = ExitStack()
        try:
            self._descriptor = claim.enter_context(locked(task.run_dir, name=CLAIM)).descriptor
        except ValueError:
            return None
        if sweeps.is_done(task):
            self._waiting.remove(task)
            claim.close()
            return None
        others = [
            path
            for path, seeds in sweeps.groups_in(task.run_dir.parent).items()
            if path != task.run_dir and not set(seeds).isdisjoint(task.seeds)
        ]
        if others:
            claim.close()
            with suppress(OSError):  # it is not empty
                task.run_dir.rmdir()
            raise ConfigError(f"{others[0]} has some of the same seeds: give all sweeps of a directory the same groups")
        return claim

    def _start(self, task: Task, claim: ExitStack) -> None:
        at_once = self._at_once.get(task.run_dir) or sweeps.stored_at_once(task.run_dir)
        words = self._words_of(task, at_once)
        try:
            sweeps.begin_attempt(task.run_dir, task.loaded.fingerprint, words)
            process = self._backend(words, task.run_dir / LOG, self._descriptor)
        except OSError:
            claim.close()
            raise
        self._running.append(Running(task, process, claim))
        self._tell(f"{task}: started, see {task.run_dir / LOG}")

    def _take_ended(self, stopping: bool) -> bool:
        """Takes note of the tasks that have ended; whether there are any."""
        ended = [running for running in self._running if running.process.poll() is not None]
        for running in ended:
            status = running.process.poll()
            assert status is not None
            self._running.remove(running)
            self._end_of(running.task, status, stopping)
            running.claim.close()
        return bool(ended)

    def _end_of(self, task: Task, status: int, stopping: bool) -> None:
        """What follows from an exit status."""
        attempt = sweeps.last_attempt(task.run_dir)
        error = attempt.error if attempt else ""
        at_once = self._at_once.get(task.run_dir) or sweeps.stored_at_once(task.run_dir) or len(task.seeds)
        number = signal_of(status)
        if status == 0:
            missing = "" if sweeps.is_whole(task) else "it ended without rows or checkpoints of its last step"
            sweeps.end_attempt(task.run_dir, 0, missing)
            if missing:
                self._fail(task, missing)
            else:
                self._tell(f"{task}: done")
        elif number is not None:
            self._after_signal(task, status, number, stopping)
        elif status == exits.IN_USE:
            sweeps.end_attempt(task.run_dir, status)
            self._waiting.append(task)
        elif status == exits.DOES_NOT_FIT and (smaller := sweeps.smaller_group(at_once)):
            sweeps.end_attempt(task.run_dir, status)
            self._at_once[task.run_dir] = smaller
            self._waiting.insert(0, task)
            self._tell(f"{task}: {at_once} seeds do not fit the memory; again with {smaller} in one program")
        else:
            unsaid = "" if error else f"status {status}: {sweeps.last_line(task.run_dir)}"
            sweeps.end_attempt(task.run_dir, status, unsaid)
            self._fail(task, error or unsaid)

    def _after_signal(self, task: Task, status: int, number: int, stopping: bool) -> None:
        """Tries a task again that a signal has ended, unless this sweep has sent it or it was the last try."""
        name = signal.Signals(number).name
        self._ended_by_signal[task.run_dir] += not stopping
        tries = self._ended_by_signal[task.run_dir]
        lost = not stopping and tries >= TRIES
        message = f"{TRIES} tries were ended by a signal, the last by {name}" if lost else ""
        sweeps.end_attempt(task.run_dir, status, message)
        if lost:
            self._fail(task, message)
        elif not stopping:
            self._tell(f"{task}: ended by {name}; again, try {tries + 1} of {TRIES}")
            self._waiting.insert(0, task)

    def _fail(self, task: Task, message: str) -> None:
        self.failed[str(task)] = message
        self._tell(f"{task}: failed: {message}")

    def _end(self, number: int) -> NoReturn:
        """Ends the tasks, which save first; at a further signal at once."""
        self._tell(f"{signal.Signals(number).name}: {_tasks(len(self._running))} save and end …")
        self._send(number)
        while self._running:
            try:
                self._take_ended(stopping=True)
                time.sleep(SECONDS)
            except Interrupted:
                self._send(signal.SIGKILL)
        raise Interrupted(number, "ended")

    def _send(self, number: int) -> None:
        for running in self._running:
            running.process.send_signal(number)


def signal_of(status: int) -> int | None:
    """The signal that has ended a program, by its exit status; None for another end.

    Example:
        >>> signal_of(-9), signal_of(143), signal_of(2)
        (9, 15, None)
    """
    number = -status if status < 0 else status - 128
    return number if number in set(signal.Signals) else None


# What is told.


def tell(line: str) -> None:
    """Prints a line after the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lines with columns below each other.

    Example:
        >>> print(table([("task", "state"), ("a/seed0", "done")]))
        task     state
        a/seed0  done
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def states_told(tasks: Sequence[Task], states: Sequence[State]) -> str:
    """The table of all tasks, and how many there are of each kind."""
    rows = [("task", "state", ""), *((str(task), *state) for task, state in zip(tasks, states, strict=True))]
    counts = Counter(state.kind for state in states)
    return f"{table(rows)}\n{', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))}"


def told_configurations(options: argparse.Namespace, tasks: Sequence[Task]) -> Iterator[str]:
    """Of each setting its tasks' directories and its configuration, which is built."""
    settings = {
        task.loaded.setting: [other for other in tasks if other.loaded.setting == task.loaded.setting] for task in tasks
    }
    for setting, of_setting in settings.items():
        yield f"# {setting.name}"
        for task in of_setting:
            yield f"#     {shlex.join(words_of(options, task, sweeps.stored_at_once(task.run_dir)))}"
        yield plot.SEED.sub("", build_setting(options, setting))


def results_of(sweep_dir: Path) -> tuple[list[plot.Method], list[Result]]:
    """The settings of all tasks in a directory that are done, those of other calls too."""
    groups: dict[str, list[Path]] = {}
    seeds: dict[str, list[int]] = {}
    for folder in sorted(path for path in sweep_dir.iterdir() if path.is_dir()):
        for run_dir, of_run in sweeps.groups_in(folder).items():
            attempt = sweeps.last_attempt(run_dir)
            if attempt is not None and attempt.status == 0 and not attempt.error:
                groups.setdefault(folder.name, []).append(run_dir)
                seeds.setdefault(folder.name, []).extend(of_run)
    methods = plot.make_methods(groups.items())
    return methods, [result_of(method, sorted(seeds[method.name])) for method in methods]


def result_of(method: plot.Method, seeds: Sequence[int]) -> Result:
    """What has come of a setting."""
    finals = method.finals(method.env_steps)
    low, high = bootstrap_interval([finals]) if len(finals) >= plot.FEWEST else (None, None)
    return Result(
        method.name,
        sweeps.text_of_seeds(seeds),
        len(finals),
        method.env_steps,
        float(interquartile_mean(finals)),
        None if low is None else float(low),
        None if high is None else float(high),
    )


def results_told(results: Sequence[Result]) -> str:
    """The table of all results."""

    def interval(result: Result) -> str:
        if result.interval_low is None:
            return f"(an interval needs {plot.FEWEST} seeds)"
        return f"{result.interval_low:.4g} to {result.interval_high:.4g}"

    header = ("setting", "seeds", "steps", "return", "95% interval")
    return table(
        [
            header,
            *((r.setting, r.seeds, str(r.env_steps), f"{r.interquartile_mean:.4g}", interval(r)) for r in results),
        ]
    )


MOST = len(plot.COLOURS)
"""Settings in a picture."""


def write_results(sweep_dir: Path) -> None:
    """Prints the results, and writes results.csv and the pictures."""
    methods, results = results_of(sweep_dir)
    if not results:
        print("no task is done: there are no results")
        return
    print(results_told(results))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([Result._fields, *(["" if cell is None else cell for cell in result] for result in results)])
    try:
        with locked(sweep_dir):
            write_text(sweep_dir / "results.csv", text.getvalue())
            print(f"written: {sweep_dir / 'results.csv'}")
            plot.draw_all(_best(methods, results), sweep_dir)
    except ValueError as error:
        print(f"nothing written: {error}")


def _best(methods: Sequence[plot.Method], results: Sequence[Result]) -> list[plot.Method]:
    """As many as there are colours, in the order of their names."""
    if len(methods) <= MOST:
        return list(methods)
    print(f"the pictures have the {MOST} settings with the highest returns, of {len(methods)}")
    order = sorted(range(len(methods)), key=lambda i: -results[i].interquartile_mean)[:MOST]
    return [methods[i]._replace(colour=plot.COLOURS[k]) for k, i in enumerate(sorted(order))]


def run(interrupts: Interrupts) -> int:
    """Everything between the arguments and the exit status, which is given back."""
    options = make_parser().parse_args()
    jax.config.update("jax_platforms", "cpu")  # the tasks need the devices
    tasks = tasks_of(options)
    if options.dry_run:
        for text in told_configurations(options, tasks):
            print(text)
        return 0
    if options.status:
        print(states_told(tasks, [sweeps.state_of(task) for task in tasks]))
        return 0
    unfinished = [task for task in tasks if not sweeps.is_done(task)]
    tell(f"{_tasks(len(tasks))}, of which {len(tasks) - len(unfinished)} are done")
    if unfinished:
        build_setting(options, unfinished[0].loaded.setting)  # what is wrong with all is told once
    sweep = Sweep(unfinished, partial(words_of, options), BACKENDS[options.backend], options.workers, tell)
    sweep.run(interrupts)
    write_results(options.sweep_dir)
    for task, message in sweep.failed.items():
        sys.stderr.write(f"failed: {task}: {message}\n")
    return 1 if sweep.failed else 0


def main() -> None:
    """Entry point."""

    def program() -> None:
        interrupts = Interrupts()
        try:
            with interrupts.taken():
                status = run(interrupts)
        except Interrupted as error:
            tell(f"{signal.Signals(error.number).name}: ended; the same command goes on")
            status = 128 + error.number
        sys.exit(status)

    start.to_its_end(program)


if __name__ == "__main__":
    main()
