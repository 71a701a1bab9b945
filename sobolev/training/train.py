"""Training: compile, warm up, then learn and evaluate in turns, with a checkpoint that a run can resume from."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev.policy import LoadedPolicy, load_policy, policy_path, save_policy
from sobolev.training import checkpoint, loop, memory
from sobolev.training.config import TrainConfig
from sobolev.training.job import Job, build, full_precision
from sobolev.training.logs import Curve, Progress, Reporter, curve_of, environment_facts, read_rows, write_text
from sobolev.training.loop import TrainingState
from sobolev.training.programs import Programs, compile_all
from sobolev.training.rows import Assessment, Learning, Row, columns, make_rows

Callback = Callable[[Row], None]


class Run(NamedTuple):
    """What a run has written.

    Fields:
        run_dir: where.
        rows: of its metrics, one per seed and evaluation.
    """

    run_dir: Path
    rows: list[Row]

    def curve(self, name: str = "eval/return") -> Curve:
        """One column against environment steps: ``env_steps[T]`` and ``values[seeds, T]``."""
        return curve_of(self.rows, name)

    def policy(self, seed: int | None = None) -> LoadedPolicy:
        """The policy that a seed has learned; see :func:`sobolev.load_policy`."""
        return load_policy(self.run_dir, seed)


def read_run(run_dir: str | Path) -> Run:
    """What the run in a directory has written so far.

    Raises:
        ValueError: there are no metrics.
    """
    run_dir = Path(run_dir)
    if not (run_dir / "metrics.jsonl").exists():
        raise ValueError(f"{run_dir} holds no run: there is no metrics.jsonl")
    return Run(run_dir, read_rows(run_dir / "metrics.jsonl"))


def check_free(run_dir: Path) -> None:
    """Raises a ValueError if the directory holds a run, which a new one would overwrite."""
    if (run_dir / "metrics.csv").exists():
        raise ValueError(f"{run_dir} holds a run already: resume it, or name another run_dir")


def train(
    config: TrainConfig | Job,
    run_dir: str | Path,
    *,
    resume: bool = False,
    callbacks: Iterable[Callback] = (),
    progress: Progress | None = None,
) -> Run:
    """Trains all seeds of a configuration, and writes everything about it into a directory.

    Args:
        config: what to train, or the job that :func:`build` made of it.
        run_dir: is made if there is none. It will hold metrics.csv, metrics.jsonl, TensorBoard events, checkpoints/,
            policies/, learning_curve.png and environment.json.
        resume: go on from the newest whole checkpoint there, or start afresh where there is none.
        callbacks: each is called with every row of the metrics, once the row is on disk.
        progress: prints what the run is doing; None for one whose clock starts now.

    Returns:
        What was written.

    Raises:
        ValueError: parts that do not go together, a directory that holds a run (without ``resume``), a checkpoint of
            another configuration, or seeds that do not fit the memory.

    See Also:
        :func:`read_run`; :func:`sobolev.load_policy`; examples/train_in_python.py.
    """
    run_dir, progress = Path(run_dir), progress or Progress()
    if not resume:
        check_free(run_dir)
    job = config if isinstance(config, Job) else build(config)
    run_dir.mkdir(parents=True, exist_ok=True)
    with full_precision():
        write_text(run_dir / "environment.json", json.dumps(environment_facts(), indent=2) + "\n")
    groups = [seed_group(job.config, numbers, run_dir, resume) for numbers in job.config.seed_groups]
    unfinished = [group for group in groups if group.resumed_at != job.config.total_steps]
    if unfinished:
        programs = _compile(job, progress)
        for group in unfinished:
            _train_group(job, programs, group, run_dir, tuple(callbacks), progress)
    return read_run(run_dir)


class Group(NamedTuple):
    """Seeds that share a program, and where they stand.

    Fields:
        seeds: their numbers.
        checkpoints: the folder of theirs.
        source: the checkpoint that they go on from, or None.
    """

    seeds: range
    checkpoints: Path
    source: Path | None

    @property
    def resumed_at(self) -> int | None:
        """Environment steps of the checkpoint."""
        return None if self.source is None else int(self.source.stem)

    def __str__(self) -> str:
        first, last = self.seeds[0], self.seeds[-1]
        return f"seed {first}" if first == last else f"seeds {first} to {last} in one program"


def seed_group(config: TrainConfig, seeds: range, run_dir: Path, resume: bool) -> Group:
    """Where seeds that share a program stand in a run directory; from the start without ``resume``."""
    checkpoints = run_dir / "checkpoints"
    if len(seeds) < config.num_seeds:
        checkpoints /= f"seeds{seeds[0]}-{seeds[-1]}"
    return Group(seeds, checkpoints, checkpoint.newest(checkpoints) if resume else None)


def _train_group(
    job: Job, programs: Programs, group: Group, run_dir: Path, callbacks: tuple[Callback, ...], progress: Progress
) -> None:
    """Trains the seeds of one program, from their newest checkpoint or from the start."""
    config = job.config
    reporter = Reporter(run_dir, _columns(programs), group.seeds, progress, group.resumed_at)

    def report(state: TrainingState, learning: Learning | None = None) -> None:
        rows = _assess(group.seeds, state, programs, learning)
        reporter.add(rows, config.total_steps)
        for row in rows:
            for callback in callbacks:
                callback(row)

    if group.source is None:
        with progress.stage(f"{group}: warm-up"):
            state = programs.init(job.seed_axis.keys(group.seeds))
            state = jax.block_until_ready(loop.warm_up(config.loop, state, programs.fit_normalizers, programs.advance))
        with progress.stage("compile the evaluation"):
            programs.assess.wait()
        report(state)
    else:
        state = jax.device_put(checkpoint.restore(group.source, programs.init.out_info), job.seed_axis.sharding)
        progress.print(f"{group}: resumed at {group.resumed_at} environment steps")

    while (done := int(state.env_steps[0])) < config.total_steps:
        until = min(config.total_steps, config.eval_every * (done // config.eval_every + 1))
        state, learning = _learn(config, state, programs, until - done)
        report(state, learning)
        ended = until == config.total_steps
        if config.checkpoint_every and (ended or _crossed(config.checkpoint_every, done, until)):
            checkpoint.save(group.checkpoints, until, state)
            _save_policies(job, group.seeds, state, run_dir)
    if not config.checkpoint_every:
        _save_policies(job, group.seeds, state, run_dir)
    reporter.close()


def _compile(job: Job, progress: Progress) -> Programs:
    """The programs, once the budget of memory has been told and met."""
    axis, limit = job.seed_axis, job.config.memory_limit_gib
    with progress.stage("compile"):
        programs = compile_all(job, lambda shapes: memory.budget(shapes, axis, limit))
        programs.advance.wait()
    on_devices = f", on each of {axis.mesh.size} devices" if axis.mesh.size > 1 else ""
    budget = memory.budget(programs.init.out_info, axis, limit, programs.advance.temporary_bytes)
    progress.print(f"{budget}{on_devices}")
    return programs


def _learn(
    config: TrainConfig, state: TrainingState, programs: Programs, env_steps: int
) -> tuple[TrainingState, Learning]:
    """Learns for so many environment steps of each seed."""
    began = time.perf_counter()
    state, scalars = programs.advance(state, jnp.int32(env_steps // config.num_envs), loop.LEARN)
    scalars = jax.device_get(scalars)
    updates = env_steps // config.num_envs * config.loop.updates
    return state, Learning(scalars, env_steps, updates, time.perf_counter() - began)


def _assess(seeds: range, state: TrainingState, programs: Programs, learning: Learning | None) -> list[Row]:
    """The rows of one evaluation."""
    began = time.perf_counter()
    score, diagnostics = jax.device_get(programs.assess(state))
    assessment = Assessment(score, diagnostics, time.perf_counter() - began)
    return make_rows(seeds, int(state.env_steps[0]), int(state.agent.step[0]), assessment, learning)


def _columns(programs: Programs) -> tuple[str, ...]:
    (score, diagnostics), (_, scalars) = programs.assess.out_info, programs.advance.out_info
    return columns(score, diagnostics, scalars)


def _save_policies(job: Job, seeds: range, state: TrainingState, run_dir: Path) -> None:
    actors = jax.device_get(state.agent.params.actor)
    for i, seed in enumerate(seeds):
        params = jax.tree.map(lambda x, i=i: x[i], actors)
        save_policy(policy_path(run_dir, seed), job.agent.act, params, job.agent.parts.spec.state_size)


def _crossed(every: int, before: int, after: int) -> bool:
    return after // every > before // every
