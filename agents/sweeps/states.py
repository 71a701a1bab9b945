"""Where each task stands, read from its run directory: from the locks, the checkpoints, the rows and log.txt."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agents import changes, exits
from agents.sweeps.backends import slurm
from agents.sweeps.record import CLAIM, last_attempt
from agents.sweeps.tables import table
from agents.sweeps.tasks import Task
from sobolev.training import checkpoint
from sobolev.training.groups import seed_group
from sobolev.training.lock import holder_of
from sobolev.training.logs import rows_of_run


class State(NamedTuple):
    """Where a task stands.

    Fields:
        kind: "done", "running", "queued", "cut", "not begun" or "failed".
        told: by whom, at which step, or with which message.
    """

    kind: str
    told: str = ""


def holder(task: Task) -> str | None:
    """Who has a task in hand, in words."""
    return running(task) or slurm.queued(task.run_dir)


def running(task: Task) -> str | None:
    """Who runs a task, in words."""
    return holder_of(task.run_dir) or holder_of(task.run_dir, CLAIM)


def is_done(task: Task) -> bool:
    """Whether a task has come to its end with the configuration that is asked for."""
    attempt = last_attempt(task.run_dir)
    return attempt is not None and attempt[:2] == (0, task.loaded.fingerprint) and is_whole(task)


def state_of(task: Task) -> State:
    """Where a task stands, by what is in its run directory."""
    if who := running(task):
        return State("running", f"by {who}")
    if who := slurm.queued(task.run_dir):
        return State("queued", f"by {who}")
    if is_done(task):
        return State("done")
    attempt, total = last_attempt(task.run_dir), task.loaded.config.total_steps
    if attempt and attempt.error and attempt.status != exits.IN_USE:
        return State("failed", attempt.error.partition("\n")[0])
    if is_whole(task):
        return State("cut", f"at its end, step {total}: whether the configuration is the same is not known")
    if attempt is None and not (task.run_dir / "config.gin").exists():
        return State("not begun")
    return State("cut", f"at step {min(saved_steps(task))} of {total}")


def is_whole(task: Task) -> bool:
    """Whether a run directory has the rows, and the checkpoints where some are written, of the last step."""
    if not task.run_dir.is_dir():
        return False
    total = task.loaded.config.total_steps
    ended = {row["seed"] for row in rows_of_run(task.run_dir) if row["env_steps"] == total}
    return ended >= set(task.seeds) and (
        task.loaded.config.checkpoint_every == 0 or all(reached == total for reached in saved_steps(task))
    )


def saved_steps(task: Task) -> Iterator[int]:
    """Of each group of seeds that share a program, the steps of the newest checkpoint; 0 where there is none."""
    config = task.config(stored_at_once(task.run_dir))
    for seeds in config.seed_groups:
        group = seed_group(config, seeds, task.run_dir, resume=False)
        yield max(checkpoint.steps(group.checkpoints), default=0)


def stored_at_once(run_dir: Path) -> int | None:
    """How many seeds share a program in a run that has begun; None for all."""
    path = run_dir / "config.gin"
    text = changes.values(path.read_text(errors="replace")) if path.is_file() else {}
    value = text.get("train.seeds_at_once", "")
    return int(value) if value.isdigit() else None


def smaller_group(current: int) -> int | None:
    """How many seeds to try in one program where ``current`` of them do not fit the memory; None for one.

    Example:
        >>> smaller_group(10), smaller_group(9), smaller_group(1)
        (5, 3, None)
    """
    return max((size for size in range(1, current // 2 + 1) if current % size == 0), default=None)


def states_told(tasks: Sequence[Task], states: Sequence[State]) -> str:
    """The table of all tasks, and how many there are of each kind."""
    rows = [("task", "state", ""), *((str(task), *state) for task, state in zip(tasks, states, strict=True))]
    counts = Counter(state.kind for state in states)
    return f"{table(rows)}\n{', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))}"
