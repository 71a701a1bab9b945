"""The job of a run directory that agents/run.py has written."""

from pathlib import Path

from agents import gin_names
from agents.gin_messages import ConfigError, explained
from sobolev.training import Job, build


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
