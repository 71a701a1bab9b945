"""Repeats the update that ended a run, operation by operation, and names the first that is not finite."""

import argparse
import sys
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# This file's folder would hide modules of the same names.
sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(ROOT / "agents"))]

import jax  # noqa: E402

from agents import start  # noqa: E402

with start.quiet():
    from agents.arguments import Parser, add_run_dir, check_seed
    from agents.gin_messages import ConfigError
    from agents.runs import load_job
    from sobolev.agent import example_batch
    from sobolev.agent.faults import PLACES
    from sobolev.training import checkpoint, repeat
    from sobolev.training.faults import folder_of
    from sobolev.training.job import Job, full_precision


EXAMPLES = {"the seed that the run's last message names": "agents/repeat.py runs/msmmd_cvae/seed0 --seed=0"}


def stored_update(job: Job, run_dir: Path, seed: int) -> tuple[object, object]:
    """The agent's state and the batch of the update of a seed that was not finite."""
    folder = folder_of(run_dir, seed)
    path = checkpoint.newest(folder)
    if path is None:
        raise ConfigError(f"{folder} holds no update: that seed has met none that was not finite")
    agent = jax.eval_shape(job.agent.init, jax.random.key(0))
    config = job.config.agent
    batch = jax.eval_shape(
        lambda: example_batch(job.agent.parts.spec, config.batch_size, config.horizon.recorded_steps)
    )
    stored = checkpoint.restore(path, {"agent": agent, "batch": batch})
    return stored["agent"], stored["batch"]


def job_of(run_dir: Path, seed: int) -> Job:
    """The job as it was when the update was written."""
    folder = folder_of(run_dir, seed)
    return load_job(folder if (folder / "config.gin").is_file() else run_dir)


def tell(job: Job, run_dir: Path, seed: int) -> None:
    """Prints the operation."""
    agent, batch = stored_update(job, run_dir, seed)
    with full_precision():
        state, scalars = jax.jit(job.agent.update)(agent, batch)
        place = int(scalars["fault"])
        if not place:
            print("the update is finite here: another device or version may round otherwise")
            return
        print(f"not finite: the {PLACES[place - 1]}")
        print("repeating operation by operation, which takes a minute or so …", flush=True)
        state, scalars = repeat.origins(job.agent.update, agent, batch)
    if not int(scalars["fault"].value):
        print("operation by operation the update is finite: the compiled program rounds otherwise")
        return
    leaves = [*jax.tree.leaves(scalars, is_leaf=is_traced), *jax.tree.leaves(state, is_leaf=is_traced)]
    found = [leaf.origin for leaf in leaves if leaf.origin is not None and not repeat.is_finite(leaf.value)]
    if not found:
        print("it comes from a constant of a part that is not finite")
        return
    for operation in dict.fromkeys(found):
        print(f"{operation.name} at {operation.place}: {operation.result}")
        for operand in operation.operands:
            print(f"    of {operand}")


def is_traced(leaf: object) -> bool:
    """Whether a leaf is a value with its origin."""
    return isinstance(leaf, repeat.Traced)


def make_parser() -> Parser:
    """The command line."""
    parser = Parser("agents/repeat.py", __doc__, EXAMPLES)
    add_run_dir(parser)
    parser.add_argument("--seed", type=int, default=0, help="which of the run")
    return parser


def run(options: argparse.Namespace) -> None:
    """Everything between the arguments and the exit status."""
    job = job_of(options.run_dir, options.seed)
    check_seed(options.seed, chain(*job.config.seed_groups))
    tell(job, options.run_dir, options.seed)


def main() -> None:
    """Entry point."""
    start.main(make_parser(), run)


if __name__ == "__main__":
    main()
