"""The command line: trains what the gin files say.

python agents/run.py --gin_file=gin/msmmd_cvae.gin --gin_bindings='train.seed=1'
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

BEGAN = time.perf_counter()  # Before the other imports: the run's clock counts them.
ROOT = Path(__file__).resolve().parent.parent
# This file's folder would hide modules of the same names; a gin file may import one from where the program is started.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "agents")), os.getcwd()]

from agents import start  # noqa: E402

with start.quiet():
    from agents import changes, gin_names
    from agents.arguments import Parser, add_configuration
    from agents.gin_messages import ConfigError, explained
    from agents.runs import name_of_seeds, of_version
    from sobolev.training import Progress, TrainConfig, build, check_free, processes, trace, train
    from sobolev.training.lock import InUseError
    from sobolev.training.memory import DoesNotFitError
    from sobolev.training.trackers import TRACKERS

EXAMPLES = {
    "the default method on a point mass": "agents/run.py --gin_file=gin/msmmd_cvae.gin",
    "TD3 on a task of Gymnasium, another seed": (
        "agents/run.py --gin_file=gin/td3.gin --gin_file=gin/envs/halfcheetah_v5.gin --seed=1"
    ),
    "eight seeds in one program, another metric": (
        "agents/run.py --gin_file=gin/msmmd_cvae.gin --gin_bindings='train.num_seeds=8' "
        "--gin_bindings='agent.metric=@metrics.mmd()'"
    ),
    "go on after Ctrl-C, or for longer": (
        "agents/run.py --gin_file=gin/td3.gin --resume --gin_bindings='train.total_steps=9_000'"
    ),
    "what can be bound, and what one file leads to": (
        "agents/run.py --list\n    python agents/run.py --gin_file=gin/td3.gin --dry_run"
    ),
}


def make_parser() -> Parser:
    """The command line."""
    parser = Parser("agents/run.py", "Trains what the gin files say, into a directory of its own.", EXAMPLES)
    what = add_configuration(parser)
    what.add_argument("--seed", type=int, help="short for --gin_bindings='train.seed=…'")
    where = parser.add_argument_group("where it is written")
    where.add_argument("--run_dir", type=Path, help="by default runs/<first gin file>/seed<seed>")
    where.add_argument(
        "--resume",
        action="store_true",
        help="continue from the newest whole checkpoint in the directory; start afresh where there is none",
    )
    where.add_argument(
        "--allow_changes",
        action="store_true",
        help="with --resume, go on although the configuration has changed; the former is kept",
    )
    where.add_argument(
        "--track",
        action="append",
        default=[],
        choices=tuple(TRACKERS),
        help="send the metrics there too, one run for each seed; may be repeated",
    )
    where.add_argument("--project", default="sobolev", help="in which those runs are")
    look = parser.add_argument_group("look, and do not train")
    look.add_argument(
        "--list",
        action="store_true",
        help="print every name that can be bound, those of modules that the gin files import too, and stop",
    )
    look.add_argument(
        "--dry_run", action="store_true", help="build and trace everything, print the configuration, and stop"
    )
    several = parser.add_argument_group("one of several processes")
    several.add_argument("--coordinator", metavar="HOST:PORT", help="of process 0, which listens there")
    several.add_argument("--num_processes", type=int, help="how many there are")
    several.add_argument("--process_id", type=int, help="the number of this one, from 0 on")
    several.add_argument(
        "--cluster", action="store_true", help="ask the cluster (Slurm, Open MPI, TPU pods, …) for these three"
    )
    several.add_argument("--patience", type=int, default=300, help="seconds for which they wait for the last")
    return parser


def make_run_dir(options: argparse.Namespace, config: TrainConfig) -> Path:
    """The run directory; a ConfigError if it holds a run that would be overwritten."""
    stem = Path(options.gin_file[0]).stem if options.gin_file else "bindings"
    seeds = range(config.seed, config.seed + config.num_seeds)
    run_dir = options.run_dir or Path("runs") / stem / name_of_seeds(seeds)
    try:
        if not options.resume:
            check_free(run_dir)
        run_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=run_dir):
            pass
    except ValueError as error:
        raise ConfigError(f"{error} (--resume, --run_dir)") from error
    except OSError as error:
        shown = str(run_dir) if len(str(run_dir)) < 200 else f"{str(run_dir)[:200]}…"
        raise ConfigError(f"{shown} cannot be written to: {error.strerror} (--run_dir)") from error
    return run_dir


def connect(options: argparse.Namespace) -> None:
    """Connects this process with the others of the run, where it is one of several."""
    given = {name: getattr(options, name) for name in ("coordinator", "num_processes", "process_id")}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if options.patience < 1:
        raise ConfigError(f"--patience must be at least 1, got {options.patience}")
    if options.cluster and len(missing) < len(given):
        raise ConfigError("--cluster asks for what --coordinator, --num_processes and --process_id say: give either")
    if 0 < len(missing) < len(given):
        raise ConfigError(f"one of several processes needs {' and '.join(missing)} too")
    if options.cluster or not missing:
        try:
            processes.connect(*given.values(), timeout=options.patience)
        except ValueError as error:
            raise ConfigError(f"{error} (--coordinator, --num_processes, --process_id, --cluster)") from error


def train_as_asked(options: argparse.Namespace) -> None:
    """Everything that one of several processes does once it is connected."""
    files, bindings = options.gin_file, list(options.gin_bindings)
    if options.seed is not None:
        bindings.append(f"train.seed = {options.seed}")
    if options.list:
        gin_names.load(files, bindings)  # the modules that it imports may have entries of their own
        print(gin_names.listing())
        return
    if not files and not bindings:
        raise ConfigError("nothing to train: give --gin_file=gin/msmmd_cvae.gin, or see --list and --help")
    config, here = gin_names.load(files, bindings), processes.here()
    with explained(files, bindings):
        grouped = here.grouped(config)
    if grouped is not config:  # config.gin is to say it too
        bindings.append(f"train.seeds_at_once = {grouped.seeds_at_once}")
        config = gin_names.load(files, bindings)
    with explained(files, bindings):
        job = build(config)
    gin_names.check_all_read(files, bindings)
    if options.dry_run:
        for _ in trace(job):
            pass
        print(gin_names.operative_config())
        return
    run_dir = make_run_dir(options, config)
    text = gin_names.operative_config()
    with of_version(run_dir):
        records = changes.of_run(run_dir, text, options.allow_changes) if options.resume else {"config.gin": text}
    progress = Progress(BEGAN, process=here.rank)
    trackers = [TRACKERS[name](options.project) for name in dict.fromkeys(options.track)]
    if here.rank == 0:
        print(f"run directory: {run_dir}")
    try:
        with of_version(run_dir):
            train(job, run_dir, resume=options.resume, callbacks=trackers, progress=progress, files=records)
    except (DoesNotFitError, InUseError):
        raise
    except (ValueError, OSError) as error:  # a checkpoint of another configuration, a full disk
        raise ConfigError(str(error)) from error
    if here.rank == 0:
        progress.print(
            f"next: `python agents/evaluate.py {run_dir}` for returns and a page to look at, `python agents/plot.py "
            f"{run_dir}` for pictures, `python agents/slopes.py {run_dir}` for an audit of the critics; --resume with "
            "a larger train.total_steps goes on"
        )


def run(options: argparse.Namespace) -> None:
    """Everything between the arguments and the exit status."""
    connect(options)
    with processes.heard():
        train_as_asked(options)


def main() -> None:
    """Entry point."""
    start.main(make_parser(), run)


if __name__ == "__main__":
    main()
