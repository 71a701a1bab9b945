"""Trains every setting of a grid, or searches for a good one, and says what came of it.

python agents/sweep.py --gin_file=gin/msmmd_cvae.gin --grid="agent.num_samples=[4,8]" --seeds=0-9 --sweep_dir=runs/n
python agents/sweep.py --gin_file=gin/td3.gin --search=tpe --space="agent.gamma=uniform(0.9,1)" --trials=9 --sweep_dir=s

A task is a setting with a group of consecutive seeds, and agents/run.py in a directory of its own,
SWEEP_DIR/agent.num_samples=4/seeds0-9. The same command goes on where it was ended, and may be given several times at
once: each takes other tasks. At the end there are results.csv and the pictures of agents/plot.py in the directory.
Exit status: 0 all tasks are done, 1 some have failed, 2 wrong arguments, 130 or 143 after a signal.
"""

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# This file's folder would hide modules of the same names; a gin file may import one from where the program is started.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "agents")), os.getcwd()]

from agents import start  # noqa: E402

with start.quiet():
    import jax

    from agents.methods import SEED
    from agents.sweeps import arguments, backends, search, states
    from agents.sweeps.results import write_results
    from agents.sweeps.running import Sweep, number_of_tasks
    from agents.sweeps.search import Search
    from agents.sweeps.settings import Settings
    from agents.sweeps.space import Range, middle_of
    from agents.sweeps.tasks import Task
    from sobolev.training.interrupts import Interrupted, Interrupts


class Plan(NamedTuple):
    """What the arguments ask for.

    Fields:
        settings: what is common to all settings.
        tasks: of a grid; of a search, those of a setting in the middle of the ranges, as an example.
        ranges: of a search; of a grid, none.
    """

    settings: Settings
    tasks: list[Task]
    ranges: tuple[Range, ...]


def make_parser() -> arguments.Parser:
    """The command line."""
    return arguments.make_parser(__doc__)


def plan_of(options: argparse.Namespace) -> Plan:
    """What is asked for, of configurations that can be read."""
    settings = arguments.settings_of(options)
    ranges = arguments.ranges_of(options)
    chosen = [middle_of(ranges)] if options.search else arguments.grid_of(options)
    return Plan(settings, [task for setting in chosen for task in settings.tasks_of(setting)], ranges)


def tell(line: str) -> None:
    """Prints a line after the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


def told_configurations(settings: Settings, tasks: Sequence[Task]) -> Iterator[str]:
    """Of each setting its tasks' command lines and its configuration, which is built."""
    of_settings: dict[str, list[Task]] = {}
    for task in tasks:
        of_settings.setdefault(task.loaded.setting.name, []).append(task)
    for name, of_setting in of_settings.items():
        yield f"# {name}"
        for task in of_setting:
            yield f"#     {shlex.join(settings.words_of(task, states.stored_at_once(task.run_dir)))}"
        yield SEED.sub("", settings.build(of_setting[0].loaded.setting))


def print_plan(options: argparse.Namespace, plan: Plan) -> None:
    """What would be trained."""
    if plan.ranges:
        print(f"# {options.trials} trials of {' '.join(map(str, plan.ranges))}; one in the middle:")
    for text in told_configurations(plan.settings, plan.tasks):
        print(text)


def print_status(options: argparse.Namespace, plan: Plan) -> None:
    """Where all tasks stand, of a search those of its trials so far."""
    tasks = plan.tasks
    if plan.ranges:
        if not (options.sweep_dir / search.JOURNAL).exists():
            print("no trial is begun")
            return
        found = make_search(options, plan)
        tasks = found.tasks()
        print(search.best_told(found, plan.ranges))
    print(states.states_told(tasks, [states.state_of(task) for task in tasks]))


def make_search(options: argparse.Namespace, plan: Plan) -> Search:
    """The search of a directory."""
    settings = plan.settings
    purpose = {
        "space": [str(each) for each in plan.ranges],
        "seeds": options.seeds,
        "configuration": plan.tasks[0].loaded.fingerprint,
    }
    study = search.open_study(options.sweep_dir, purpose)
    return Search(study, plan.ranges, options.trials, settings.tasks_of, options.sweep_dir, tell)


def train(options: argparse.Namespace, interrupts: Interrupts) -> int:
    """Brings all tasks to their end; the exit status."""
    # First of all: Ray starts processes in a way that is not safe once JAX has threads.
    backend = backends.make(options.backend, arguments.backend_options(options), options.sweep_dir)
    plan = plan_of(options)
    settings, source = plan.settings, None
    unfinished = [task for task in plan.tasks if not states.is_done(task)]
    if unfinished:
        settings.build(unfinished[0].loaded.setting)  # what is wrong with all is told once
    if plan.ranges:
        source, unfinished = make_search(options, plan), []
        tell(search.best_told(source, plan.ranges).partition("\n")[0])
    else:
        tell(f"{number_of_tasks(len(plan.tasks))}, of which {len(plan.tasks) - len(unfinished)} are done")
    workers = 1 if options.workers is None and options.backend == "local" else options.workers
    sweep = Sweep(unfinished, settings.words_of, backend, workers, tell, source)
    sweep.run(interrupts)
    write_results(options.sweep_dir)
    if source is not None:
        print(search.best_told(source, plan.ranges))
    failed = {**sweep.failed, **(source.failed if source else {})}
    for name, message in failed.items():
        sys.stderr.write(f"failed: {name}: {message}\n")
    return 1 if failed else 0


def run(interrupts: Interrupts) -> int:
    """Everything between the arguments and the exit status, which is given back."""
    options = make_parser().parse_args()
    jax.config.update("jax_platforms", "cpu")  # the tasks need the devices
    arguments.check(options)
    if not (options.dry_run or options.status):
        return train(options, interrupts)
    plan = plan_of(options)
    if options.dry_run:
        print_plan(options, plan)
    else:
        print_status(options, plan)
    return 0


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
