"""Training of many seeds of a gin configuration, and the learning curves that a CSV file holds."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from agents import gin_names
from agents.runs import consecutive
from experiments.lib.results import RESULTS, RUNS, read_rows, write_rows
from sobolev.training import Curve, Job, Run, build, train
from sobolev.training.logs import curve_of, write_text
from sobolev.training.rows import Row

RETURN = "eval/return"


class Arm(NamedTuple):
    """A configuration, one of several that are compared.

    Fields:
        files: gin files, in order.
        bindings: further bindings, which win over files.
    """

    files: tuple[str, ...]
    bindings: tuple[str, ...] = ()


class Columns(NamedTuple):
    """What a CSV file of curves calls the arm and its return."""

    arm: str = "arm"
    value: str = RETURN


_COLUMNS = Columns()


def load_job(arm: Arm) -> Job:
    """The environment and the agent of a configuration; a ConfigError if anything is wrong with it."""
    # Training sees to its own precision; this is for what experiments compute with the agent besides.
    if not os.environ.get("JAX_DEFAULT_MATMUL_PRECISION"):
        jax.config.update("jax_default_matmul_precision", "float32")
    job = build(gin_names.load(arm.files, arm.bindings))
    gin_names.check_all_read(arm.files, arm.bindings)
    return job


def learn(arm: Arm, seeds: range, run_dir: Path, seeds_at_once: int | None = None) -> Run:
    """Trains seeds of a configuration in one program; a run that was cut off goes on.

    Args:
        arm: the configuration.
        seeds: consecutive ones.
        run_dir: where the run is written.
        seeds_at_once: how many seeds share a program; None for all of them.

    Raises:
        ValueError: the directory holds a run of another configuration.
    """
    numbers = (f"train.seed = {seeds[0]}", f"train.num_seeds = {len(seeds)}", f"train.seeds_at_once = {seeds_at_once}")
    job = load_job(arm._replace(bindings=(*arm.bindings, *numbers)))
    config, path = gin_names.operative_config(), run_dir / "config.gin"
    if path.exists() and path.read_text() != config:
        raise ValueError(f"{run_dir} holds a run of another configuration, see {path}: move or delete it")
    run_dir.mkdir(parents=True, exist_ok=True)
    write_text(path, config)
    return train(job, run_dir, resume=True)


def learn_missing(
    name: str,
    arms: Mapping[str, Arm],
    seeds: Sequence[int],
    columns: Columns = _COLUMNS,
    seeds_at_once: int | None = None,
    report: Callable[[str, Run, float], None] = lambda arm, run, seconds: None,
) -> dict[str, Curve]:
    """The return of each arm; only seeds that docs/results/<name>.csv does not hold are trained.

    Args:
        name: of the experiment: of its CSV file, and of its folder in runs/.
        arms: by name.
        seeds: of every arm.
        columns: of the CSV file.
        seeds_at_once: how many seeds share a program; None for all of them.
        report: is called with an arm's name, the run of its missing seeds, and the seconds that it took.

    Returns:
        By arm, the curve of the seeds in ascending order.
    """
    path = RESULTS / f"{name}.csv"
    known = read_curves(path, columns)
    for arm, configuration in arms.items():
        rows = known.setdefault(arm, [])
        held = {int(row["seed"]) for row in rows}
        for group in consecutive([seed for seed in seeds if seed not in held]):
            began = time.perf_counter()
            run = learn(configuration, group, RUNS / name / arm / f"seeds{group[0]}-{group[-1]}", seeds_at_once)
            rows += [{column: row[column] for column in ("seed", "env_steps", RETURN)} for row in run.rows]
            write_curves(path, known, columns)
            report(arm, run, time.perf_counter() - began)
    return {arm: curve_of([row for row in known[arm] if row["seed"] in seeds], RETURN) for arm in arms}


def read_curves(path: Path, columns: Columns) -> dict[str, list[Row]]:
    """By arm, the rows of all seeds that a CSV file holds."""
    curves: dict[str, list[Row]] = {}
    for row in read_rows(path):
        point = {"seed": int(row["seed"]), "env_steps": int(row["env_steps"]), RETURN: float(row[columns.value])}
        curves.setdefault(row[columns.arm], []).append(point)
    return curves


def write_curves(path: Path, curves: Mapping[str, Sequence[Row]], columns: Columns) -> None:
    """Writes all evaluations, one per line, arm by arm and seed by seed."""
    rows = [
        (arm, row["seed"], row["env_steps"], row[RETURN])
        for arm, of_arm in curves.items()
        for row in sorted(of_arm, key=lambda row: (row["seed"], row["env_steps"]))
    ]
    write_rows(path, (columns.arm, "seed", "env_steps", columns.value), rows)
