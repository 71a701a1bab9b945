"""The command line of agents/sweep.py."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from agents.gin_messages import ConfigError, did_you_mean
from agents.gin_sources import ROOT
from agents.sweeps import backends, grid, search, seeds, space
from agents.sweeps.settings import Settings

_RUN = ROOT / "agents" / "run.py"
_ONE_ALONE = {"ray": ("ray_address", "cpus_per_task", "gpus_per_task"), "slurm": ("slurm", "slurm_executor")}
"""The options that one backend alone has."""


class Parser(argparse.ArgumentParser):
    """One whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Raises a ConfigError."""
        raise ConfigError(f"{message}; --help shows all options")


def make_parser(description: str | None) -> Parser:
    """The command line, with the program's docstring."""
    parser = Parser(
        "agents/sweep.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    several: dict[str, Any] = {"action": "append", "default": []}
    what = parser.add_argument_group("what is trained")
    what.add_argument("--gin_file", **several, help="a gin file; may be repeated, later files win")
    what.add_argument("--gin_bindings", **several, help="a binding of all settings; may be repeated")
    what.add_argument("--grid", **several, help="name=[a,b,…]; may be repeated: all combinations are trained")
    what.add_argument("--seeds", default="0", help="0-9, or 0,3,5-7; default: %(default)s")
    what.add_argument("--seeds_at_once", type=int, help="seeds in one program; default: all that are consecutive")
    what.add_argument("--sweep_dir", type=Path, help="where the run directories are")
    what.add_argument(
        "--program", type=Path, default=_RUN, help="what trains, with the options and statuses of agents/run.py"
    )
    found = parser.add_argument_group("a search instead of a grid")
    found.add_argument("--search", help=f"how settings are chosen: {', '.join(search.SEARCHES)}")
    found.add_argument("--space", **several, help="name=log(1e-4,1e-2), uniform, int, logint or [a,b,…]; repeated")
    found.add_argument("--trials", type=int, help="how many settings, those of earlier calls included")
    where = parser.add_argument_group("where tasks run")
    where.add_argument("--backend", default="local", help=f"{', '.join(backends.BACKENDS)}; default: %(default)s")
    where.add_argument("--workers", type=int, help="tasks side by side; default: 1, of ray and slurm all")
    where.add_argument("--ray_address", help="of a cluster, or local; default: RAY_ADDRESS, or Ray of this machine")
    where.add_argument("--cpus_per_task", type=float, help="what Ray sets aside for a task; default: 1")
    where.add_argument("--gpus_per_task", type=float, help="the same of GPUs, such as 0.5; default: 0")
    where.add_argument("--slurm", **several, help="name=value of submitit's parameters of Slurm, such as time=240")
    where.add_argument("--slurm_executor", choices=("slurm", "local"), help="local tries it out on this machine")
    instead = parser.add_argument_group("instead of training")
    instead.add_argument("--dry_run", action="store_true", help="print tasks and their configurations, and stop")
    instead.add_argument("--status", action="store_true", help="print where each task stands, and stop")
    return parser


def check(options: argparse.Namespace) -> None:
    """Raises a ConfigError for arguments that mean nothing."""
    if not options.gin_file:
        raise ConfigError("nothing to train: give --gin_file=gin/msmmd_cvae.gin")
    if options.sweep_dir is None:
        raise ConfigError("nowhere to train: give --sweep_dir=runs/samples")
    _check_known("backend", options.backend, backends.BACKENDS)
    for name in ("workers", "seeds_at_once", "trials"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ConfigError(f"--{name} must be at least 1, got {value}")
    if (value := options.cpus_per_task) is not None and not value > 0:
        raise ConfigError(f"--cpus_per_task must be above 0, got {value:g}")
    if (value := options.gpus_per_task) is not None and not (0 <= value <= 1 or value == int(value)):
        raise ConfigError(f"--gpus_per_task must be in [0, 1] or a whole number, got {value:g}")
    for backend, names in _ONE_ALONE.items():
        given = next((name for name in names if getattr(options, name) not in (None, [])), None)
        if given is not None and options.backend != backend:
            raise ConfigError(f"--{given} is for --backend={backend}")
    if not options.program.is_file():
        raise ConfigError(f"--program={options.program}: no such file")
    _check_search(options)
    backends.check_installed(f"--backend={options.backend}", backends.BACKENDS[options.backend])


def _check_search(options: argparse.Namespace) -> None:
    if options.search is None:
        given = next((name for name in ("space", "trials") if getattr(options, name)), None)
        if given is not None:
            raise ConfigError(f"--{given} is for a search: give --search=tpe too")
        return
    _check_known("search", options.search, search.SEARCHES)
    if options.grid:
        raise ConfigError("--grid and --search: give either; a search has values too, --space=name=[a,b]")
    if not options.space:
        raise ConfigError("--search: nothing to search: give --space='agent.polyak=log(1e-4,1e-2)'")
    if options.trials is None:
        raise ConfigError("--search: no end: give --trials=50")
    if options.workers is None and options.backend != "local":
        raise ConfigError("--search: give --workers: a trial profits from those that have ended before it is begun")
    backends.check_installed(f"--search={options.search}", search.SEARCHES[options.search])


def _check_known(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ConfigError(f"no {name} {value}{did_you_mean(value, known)} There are: {', '.join(known)}")


def settings_of(options: argparse.Namespace) -> Settings:
    """What is common to all settings."""
    return Settings(
        files=tuple(options.gin_file),
        bindings=tuple(options.gin_bindings),
        seeds=tuple(seeds.parse_seeds(options.seeds)),
        at_once=options.seeds_at_once,
        sweep_dir=options.sweep_dir,
        program=options.program.absolute(),
        option="--space" if options.search else "--grid",
    )


def grid_of(options: argparse.Namespace) -> list[grid.Setting]:
    """The settings of a grid."""
    stem = "+".join(Path(file).stem for file in options.gin_file)
    return grid.settings_of([grid.parse_grid(text) for text in options.grid], stem)


def ranges_of(options: argparse.Namespace) -> tuple[space.Range, ...]:
    """The ranges of a search."""
    return space.parse_ranges(options.space)


def backend_options(options: argparse.Namespace) -> backends.Options:
    """What is said of the backend."""
    pairs = [text.partition("=") for text in options.slurm]
    if wrong := next((name for name, equals, value in pairs if not (equals and name and value)), None):
        raise ConfigError(f"--slurm={wrong}: write it as --slurm=partition=gpu")
    default = backends.Options()
    return backends.Options(
        workers=options.workers,
        ray_address=options.ray_address,
        cpus_per_task=default.cpus_per_task if options.cpus_per_task is None else options.cpus_per_task,
        gpus_per_task=default.gpus_per_task if options.gpus_per_task is None else options.gpus_per_task,
        slurm_executor=options.slurm_executor or default.slurm_executor,
        slurm=tuple((name.strip(), value.strip()) for name, _, value in pairs),
    )
