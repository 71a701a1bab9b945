"""Run directories: their names, and the job of one that agents/run.py has written, and its agents as of checkpoints."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax

import sobolev
from agents import gin_names
from agents.gin_messages import ConfigError, explained
from sobolev.agent import AgentState
from sobolev.training import Job, build, checkpoint, trace
from sobolev.training.groups import Group, seed_group
from sobolev.training.loop import TrainingState


class Restored(NamedTuple):
    """The agent of a seed as of a checkpoint.

    Fields:
        seed: its number.
        env_steps: of the checkpoint.
        state: of the agent.
    """

    seed: int
    env_steps: int
    state: AgentState


def name_of_seeds(seeds: Sequence[int]) -> str:
    """The last part of a run directory's path.

    Example:
        >>> name_of_seeds([3]), name_of_seeds(range(10))
        ('seed3', 'seeds0-9')
    """
    return f"seed{seeds[0]}" if len(seeds) == 1 else f"seeds{seeds[0]}-{seeds[-1]}"


def consecutive(seeds: Sequence[int]) -> Iterator[range]:
    """The ranges of consecutive numbers that ascending numbers consist of.

    Example:
        >>> list(consecutive([3, 4, 5, 8]))
        [range(3, 6), range(8, 9)]
    """
    first = 0
    for i, seed in enumerate(seeds):
        if i + 1 == len(seeds) or seeds[i + 1] != seed + 1:
            yield range(seeds[first], seed + 1)
            first = i + 1


def load_job(run_dir: Path) -> Job:
    """The job of a run directory; a ConfigError if there is none."""
    config = run_dir / "config.gin"
    if not run_dir.is_dir():
        raise ConfigError(f"{run_dir}: no such directory")
    if not config.is_file():
        raise ConfigError(f"{run_dir} holds no config.gin, which agents/run.py writes: give a run directory")
    files = [str(config)]
    with of_version(run_dir):
        train_config = gin_names.load(files, [])
        with explained(files, []):
            return build(train_config)


@contextmanager
def of_version(run_dir: Path) -> Iterator[None]:
    """Adds to a mistake about a run, where another version of the library has written it, which one that was."""
    try:
        yield
    except ValueError as error:
        try:
            version = json.loads((run_dir / "environment.json").read_text())["sobolev"]
        except (OSError, ValueError, KeyError, TypeError):
            version = sobolev.__version__
        if version == sobolev.__version__:
            raise
        raise ConfigError(
            f"{error} (sobolev {version} has written the run, this is {sobolev.__version__}: take that version for it)"
        ) from error


def restore_agents(job: Job, run_dir: Path) -> Iterator[Restored]:
    """Of each seed, the agent as of its newest checkpoint."""
    template = _template(job)
    with of_version(run_dir):
        for group, newest in _groups(job, run_dir):
            yield from _agents_of(group, newest, template)


def restore_kept_agents(job: Job, run_dir: Path) -> Iterator[list[Restored]]:
    """Of each seed, the agents as of all the whole checkpoints that are kept, the newest last."""
    template = _template(job)
    with of_version(run_dir):
        for group, newest in _groups(job, run_dir):
            older = (path for path in checkpoint.whole(group.checkpoints) if path != newest)
            kept = [list(_agents_of(group, path, template)) for path in (*older, newest)]
            yield from map(list, zip(*kept, strict=True))


def _template(job: Job) -> TrainingState:
    """The shapes of what is restored: not of the replay and the episodes, which are large and not looked at."""
    _, init = next(iter(trace(job)))
    return init.out_info._replace(replay=(), episodes=())


def _groups(job: Job, run_dir: Path) -> Iterator[tuple[Group, Path]]:
    """The groups of seeds, and the newest checkpoint of each."""
    for seeds in job.config.seed_groups:
        group = seed_group(job.config, seeds, run_dir, resume=True)
        if group.source is None:
            raise ConfigError(f"{group.checkpoints} holds no checkpoint of {group}: train with train.checkpoint_every")
        yield group, group.source


def _agents_of(group: Group, source: Path, template: TrainingState) -> Iterator[Restored]:
    states = checkpoint.restore(source, template).agent
    for i, seed in enumerate(group.seeds):
        yield Restored(seed, int(source.stem), jax.tree.map(lambda x, i=i: x[i], states))
