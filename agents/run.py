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
    from sobolev.training import Progress, TrainConfig, build, check_free, trace, train

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
flags.DEFINE_bool("list", False, "Print every name that can be bound, and stop.")
flags.DEFINE_bool("dry_run", False, "Build and trace everything, print the configuration, and stop.")


def make_run_dir(config: TrainConfig) -> Path:
    """The run directory; a ConfigError if it holds a run that would be overwritten."""
    stem = Path(FLAGS.gin_file[0]).stem if FLAGS.gin_file else "bindings"
    last = config.seed + config.num_seeds - 1
    seeds = f"seed{last}" if config.num_seeds == 1 else f"seeds{config.seed}-{last}"
    run_dir = Path(FLAGS.run_dir) if FLAGS.run_dir else Path("runs") / stem / seeds
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
    print(f"run directory: {run_dir}")
    try:
        train(job, run_dir, resume=FLAGS.resume, progress=Progress(BEGAN), files=records)
    except (ValueError, OSError) as error:  # seeds that do not fit the memory, a directory in use, a full disk
        raise ConfigError(str(error)) from error


def main(argv: list[str]) -> None:
    """Entry point: a mistake in the configuration ends with a short message and exit status 2."""

    def program() -> None:
        if len(argv) > 1:
            raise ConfigError(f"unexpected argument {argv[1]!r}: every option starts with --")
        run()

    start.to_its_end(program)


if __name__ == "__main__":
    app.run(main)
