"""The command line: trains what the gin files say.

python agents/run.py --gin_file=gin/msmmd_cvae.gin --gin_bindings='train.seed=1'
"""

import os
import sys
import tempfile
import time
from pathlib import Path

BEGAN = time.perf_counter()  # Before the other imports: the run's clock counts them.
ROOT = Path(__file__).resolve().parent.parent
# This file's folder would hide modules of the same names; a gin file may import one from where the program is started.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "agents")), os.getcwd()]

from absl import app, flags  # noqa: E402

from agents import start  # noqa: E402

with start.quiet():
    from agents import changes, gin_names
    from agents.gin_messages import ConfigError, explained
    from agents.runs import name_of_seeds
    from sobolev.training import Progress, TrainConfig, build, check_free, processes, trace, train
    from sobolev.training.lock import InUseError
    from sobolev.training.memory import DoesNotFitError

FLAGS = flags.FLAGS
flags.DEFINE_multi_string("gin_file", [], "A gin file; may be repeated, later files win.")
flags.DEFINE_multi_string(
    "gin_bindings", [], "A binding such as 'agent.batch_size=64'; may be repeated, wins over files."
)
flags.DEFINE_string("run_dir", None, "Where the run is written; by default runs/<first gin file>/seed<seed>.")
flags.DEFINE_integer("seed", None, "Short for --gin_bindings='train.seed=…'.")
flags.DEFINE_bool(
    "resume", False, "Continue from the newest whole checkpoint in run_dir; start afresh where there is none."
)
flags.DEFINE_bool(
    "allow_changes", False, "With --resume, go on although the configuration has changed; the former is kept."
)
flags.DEFINE_string("coordinator", None, "Of several processes: address:port of process 0, which listens there.")
flags.DEFINE_integer("num_processes", None, "Of several processes: how many there are.")
flags.DEFINE_integer("process_id", None, "Of several processes: the number of this one, from 0 on.")
flags.DEFINE_bool("cluster", False, "Ask the cluster (Slurm, Open MPI, TPU pods, …) for these three.")
flags.DEFINE_integer("patience", 300, "For so many seconds several processes wait for the last.", lower_bound=1)
flags.DEFINE_bool("list", False, "Print every name that can be bound, and stop.")
flags.DEFINE_bool("dry_run", False, "Build and trace everything, print the configuration, and stop.")


def make_run_dir(config: TrainConfig) -> Path:
    """The run directory; a ConfigError if it holds a run that would be overwritten."""
    stem = Path(FLAGS.gin_file[0]).stem if FLAGS.gin_file else "bindings"
    seeds = range(config.seed, config.seed + config.num_seeds)
    run_dir = Path(FLAGS.run_dir) if FLAGS.run_dir else Path("runs") / stem / name_of_seeds(seeds)
    try:
        if not FLAGS.resume:
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


def connect() -> None:
    """Connects this process with the others of the run, where it is one of several."""
    given = {name: FLAGS[name].value for name in ("coordinator", "num_processes", "process_id")}
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if FLAGS.cluster and len(missing) < len(given):
        raise ConfigError("--cluster asks for what --coordinator, --num_processes and --process_id say: give either")
    if 0 < len(missing) < len(given):
        raise ConfigError(f"one of several processes needs {' and '.join(missing)} too")
    if FLAGS.cluster or not missing:
        try:
            processes.connect(*given.values(), timeout=FLAGS.patience)
        except ValueError as error:
            raise ConfigError(f"{error} (--coordinator, --num_processes, --process_id, --cluster)") from error


def run() -> None:
    """Everything between the flags and the exit status."""
    files, bindings = FLAGS.gin_file, list(FLAGS.gin_bindings)
    if FLAGS.seed is not None:
        bindings.append(f"train.seed = {FLAGS.seed}")
    if FLAGS.list:
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
    if FLAGS.dry_run:
        for _ in trace(job):
            pass
        print(gin_names.operative_config())
        return
    run_dir = make_run_dir(config)
    text = gin_names.operative_config()
    records = changes.of_run(run_dir, text, FLAGS.allow_changes) if FLAGS.resume else {"config.gin": text}
    progress = Progress(BEGAN, process=here.rank)
    if here.rank == 0:
        print(f"run directory: {run_dir}")
    try:
        train(job, run_dir, resume=FLAGS.resume, progress=progress, files=records)
    except (DoesNotFitError, InUseError):
        raise
    except (ValueError, OSError) as error:  # a checkpoint of another configuration, a full disk
        raise ConfigError(str(error)) from error
    if here.rank == 0:
        progress.print(
            f"finished: {run_dir}/learning_curve.png; `python agents/plot.py {run_dir}` draws more, `python "
            f"agents/slopes.py {run_dir}` audits the critics, --resume with a larger train.total_steps goes on"
        )


def main(argv: list[str]) -> None:
    """Entry point: what ends a run has a short message and an exit status, see agents/start.py."""

    def program() -> None:
        if len(argv) > 1:
            raise ConfigError(f"unexpected argument {argv[1]!r}: every option starts with --")
        connect()
        with processes.heard():
            run()

    start.to_its_end(program)


if __name__ == "__main__":
    app.run(main)
