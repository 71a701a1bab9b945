"""Run directories: their names, and the job of one that agents/run.py has written."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from agents import gin_names
from agents.gin_messages import ConfigError, explained
from sobolev.training import Job, build


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
    train_config = gin_names.load(files, [])
    with explained(files, []):
        return build(train_config)
