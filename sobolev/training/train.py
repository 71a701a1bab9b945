"""Training: compile, warm up, then learn and evaluate in turns, with a checkpoint that a run can resume from."""

import dataclasses
import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import sobolev
from sobolev.agent import rewards
from sobolev.policy import LoadedPolicy, load_policy, policy_path, save_policy
from sobolev.training import checkpoint, faults, loop, memory, processes
from sobolev.training.config import TrainConfig
from sobolev.training.faults import DivergedError
from sobolev.training.groups import Group, common, restore, seed_group
from sobolev.training.interrupts import Interrupted, Interrupts
from sobolev.training.job import Job, build, full_precision
from sobolev.training.learner import Learner
from sobolev.training.logs import (
    Curve,
    Reporter,
    begin_part,
    curve_of,
    environment_facts,
    has_metrics,
    join_parts,
    rows_of_run,
    write_text,
)
from sobolev.training.loop import TrainingState
from sobolev.training.processes import Processes
from sobolev.training.programs import Programs, compile_all
from sobolev.training.progress import Progress
from sobolev.training.rows import Assessment, Learning, Row, columns, make_rows
from sobolev.training.trackers import Tracked, Tracker, described

Callback = Callable[[Row], None]
# Critics run away beyond so many times the bound of returns: a soft actor's entropy adds to rewards, and networks begin
# anywhere.
_RUNAWAY = 10.0


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
    if not has_metrics(run_dir):
        raise ValueError(f"{run_dir} holds no run: there is no metrics.jsonl")
    return Run(run_dir, rows_of_run(run_dir))


def check_free(run_dir: Path) -> None:
    """Raises a ValueError if the directory holds a run, which a new one would overwrite."""
    if has_metrics(run_dir):
        raise ValueError(f"{run_dir} holds a run already: resume it, or name another run_dir")


def train(
    config: TrainConfig | Job,
    run_dir: str | Path,
    *,
    resume: bool = False,
    callbacks: Iterable[Callback | Tracker] = (),
    progress: Progress | None = None,
    files: Mapping[str, str] | None = None,
) -> Run:
    """Trains all seeds of a configuration, and writes everything about it into a directory.

    SIGINT and SIGTERM end it after a few iterations with a checkpoint; a second one at once. Called in every one of
    several processes (``jax.distributed``), it trains a share of the seeds in each, see
    :mod:`sobolev.training.processes`; callbacks are then called with the rows of that share.

    Args:
        config: what to train, or the job that :func:`build` made of it.
        run_dir: is made if there is none. It will hold metrics.csv, metrics.jsonl, TensorBoard events, checkpoints/,
            policies/, learning_curve.png and environment.json.
        resume: go on from the newest whole checkpoint there, or start afresh where there is none. ``total_steps`` may
            have become larger.
        callbacks: each is called with every row of the metrics, once the row is on disk. Of a tracker (see
            :mod:`sobolev.training.trackers`) that is what it opens.
        progress: prints what the run is doing; None for one whose clock starts now, quiet but in process 0.
        files: texts to be written into run_dir, by name, once nothing speaks against the run.

    Returns:
        What was written; of several processes also what the others have written so far.

    Raises:
        ValueError: parts that do not go together, a directory that holds a run (without ``resume``), or a checkpoint
            of another configuration.
        InUseError: another run uses the directory; a ValueError.
        DoesNotFitError: the seeds do not fit the memory; a ValueError.
        DivergedError: something was not finite, and ``config.non_finite`` is "halt".
        Interrupted: a signal has ended it; a KeyboardInterrupt.

    See Also:
        :func:`read_run`; :func:`sobolev.load_policy`; examples/train_in_python.py.
    """
    run_dir, interrupts, files = Path(run_dir), Interrupts(), dict(files or {})
    with processes.heard():
        if not resume:
            check_free(run_dir)
        here, job = processes.here(), config if isinstance(config, Job) else build(config)
        job = job._replace(config=here.grouped(job.config))
        progress = progress or Progress(process=here.rank)
        run_dir.mkdir(parents=True, exist_ok=True)
        entered = processes.entered(run_dir, here, _agreed(job, files), partial(join_parts, run_dir, progress.print))
        with interrupts.taken(), full_precision(), entered:
            groups = [
                seed_group(job.config, seeds, run_dir, resume, progress.print) for seeds in here.share(job.config)
            ]
            here.part()
            unfinished = [group for group in groups if group.resumed_at != job.config.total_steps]
            if unfinished:
                seeds = tuple(chain(*(group.seeds for group in unfinished)))
                tracked = Tracked(run_dir, seeds, resume, described(job.config, "train"), progress.print)
                with _opened(callbacks, tracked) as opened:
                    programs, restored = compile_groups(job, unfinished, progress)
                    session = Session(job, programs, run_dir, here, opened, progress, interrupts, files)
                    _write_texts(session)
                    if here.size > 1:
                        begin_part(run_dir, here.rank, chain(*here.share(job.config)), progress.print)
                    for group in unfinished:
                        train_group(session, group, restored.pop(group.seeds, None))
            _tell_end(job.config, run_dir, here, progress)
            return read_run(run_dir)


@contextmanager
def _opened(callbacks: Iterable[Callback | Tracker], tracked: Tracked) -> Iterator[tuple[Callback, ...]]:
    """A context with the functions that take rows."""
    with ExitStack() as stack:
        yield tuple(
            stack.enter_context(each.opened(tracked)) if isinstance(each, Tracker) else each for each in callbacks
        )


def _agreed(job: Job, files: Mapping[str, str]) -> dict[str, str]:
    """What is the same in all processes of a run, by name."""
    numbers = {
        field.name: getattr(job.config, field.name)
        for field in dataclasses.fields(job.config)
        if isinstance(getattr(job.config, field.name), int | float | str | None)
    }
    return {
        "the version": f"sobolev {sobolev.__version__}\njax {jax.__version__}",
        "the configuration": "\n".join(f"train.{name} = {value!r}" for name, value in numbers.items()),
        **files,
    }


def _tell_end(config: TrainConfig, run_dir: Path, here: Processes, progress: Progress) -> None:
    """Tells where everything is, and whether others of several processes have not come to their end."""
    saved = max((run_dir / "checkpoints").rglob("*.npz"), key=lambda path: int(path.stem), default=None)
    curve, policies = run_dir / "learning_curve.png", run_dir / "policies"
    progress.follow(f"finished: curve {curve}, checkpoint {saved or 'none'}, policies {policies}")
    if here.size == 1:
        return
    ended = {row["seed"] for row in rows_of_run(run_dir) if row["env_steps"] == config.total_steps}
    left = [seed for seeds in config.seed_groups for seed in seeds if seed not in ended]
    if left:
        progress.print(
            f"this process has ended; {len(left)} seeds have not, the first is {left[0]}: resume the run if no other "
            "process trains them"
        )


class Session(NamedTuple):
    """What the groups of seeds of one call share.

    Fields:
        job, run_dir, callbacks, progress: as given.
        programs: compiled, or compiling.
        processes: of the run.
        interrupts: the signals.
        files: texts that tell of the run, by name.
    """

    job: Job
    programs: Programs
    run_dir: Path
    processes: Processes
    callbacks: tuple[Callback, ...]
    progress: Progress
    interrupts: Interrupts
    files: dict[str, str]


def compile_groups(
    job: Job, groups: Sequence[Group], progress: Progress
) -> tuple[Programs, dict[range, TrainingState]]:
    """The programs, once the budget of memory has been told and met, and where the groups go on from."""
    axis, limit = job.seed_axis, job.config.memory_limit_gib
    devices = f"{jax.local_device_count()} {jax.local_devices()[0].device_kind}"
    progress.follow(f"compiling for {devices}: a minute or so, less where jax's cache has the programs")
    with progress.stage("compile"):
        programs = compile_all(job, lambda shapes: memory.budget(shapes, axis, limit))
        shapes = programs.init.out_info
        restored = {group.seeds: restore(group.source, shapes) for group in groups if group.source is not None}
        programs.advance.wait()
    on_devices = f", on each of {axis.mesh.size} devices" if axis.mesh.size > 1 else ""
    budget = memory.budget(programs.init.out_info, axis, limit, programs.advance.temporary_bytes)
    progress.follow(f"{budget}{on_devices}")
    return programs, restored


def _write_texts(session: Session) -> None:
    """Writes what tells of the run as a whole."""
    texts = {"environment.json": json.dumps(environment_facts(), indent=2) + "\n", **session.files}
    if session.processes.rank == 0:
        for name, text in texts.items():
            write_text(session.run_dir / name, text)


def train_group(session: Session, group: Group, state: TrainingState | None) -> None:
    """Trains the seeds of one program, from a restored state or from the start."""
    config, sharding = session.job.config, session.job.seed_axis.sharding
    is_new = state is None
    if state is None:
        state = _start(session, group)
    else:
        if config.non_finite == "halt":  # what was skipped before does not end the run now
            state = state._replace(fault=jax.tree.map(jnp.zeros_like, state.fault))
        state = jax.device_put(state, sharding)
        session.progress.print(f"{group}: resumed at {group.resumed_at} environment steps")
    folder = session.processes.folder(session.run_dir)
    reporter = Reporter(
        session.run_dir, _columns(session.programs), group.seeds, session.progress, group.resumed_at, folder
    )
    learner = Learner(config, session.programs, session.interrupts, session.progress.advance)
    try:
        if is_new:
            _report(session, group, reporter, state)
            state = learner.restarted(state)
        bar = session.progress.bar(config.total_steps, common(state.env_steps))
        with session.interrupts.deferred(), bar:
            while (done := common(state.env_steps)) < config.total_steps:
                until = min(config.total_steps, config.eval_every * (done // config.eval_every + 1))
                state, learning = learner.learn(state, until - done)
                _check_finite(session, group, state)
                if common(state.env_steps) < until:  # a signal has ended the interval
                    _save_and_end(session, group, state)
                _report(session, group, reporter, state, learning)
                state = learner.restarted(state)
                if config.checkpoint_every and _is_due(config, done, until):
                    with session.progress.doing("save"):
                        checkpoint.save(group.checkpoints, until, state)
                        _save_policies(session, group, state)
                if session.interrupts.number is not None and until < config.total_steps:
                    _save_and_end(session, group, state)
        if not config.checkpoint_every:
            _save_policies(session, group, state)
    finally:
        reporter.close()


def _is_due(config: TrainConfig, before: int, after: int) -> bool:
    """Whether a checkpoint is written after these environment steps."""
    return after == config.total_steps or after // config.checkpoint_every > before // config.checkpoint_every


def _start(session: Session, group: Group) -> TrainingState:
    """The state after the warm-up, nothing against it."""
    programs, config = session.programs, session.job.config
    with session.progress.stage(f"{group}: warm-up"):
        state = programs.init(session.job.seed_axis.keys(group.seeds))
        state = jax.block_until_ready(loop.warm_up(config.loop, state, programs.fit_normalizers, programs.advance))
    with session.progress.stage("compile the evaluation"):
        programs.assess.wait()
    _check_finite(session, group, state)
    _check_normalizers(group, state)
    if config.agent.reward_scale is None:
        _check_rewards(group, np.asarray(state.replay.data.r[:, : config.warmup_steps]))
    return state


def _report(
    session: Session, group: Group, reporter: Reporter, state: TrainingState, learning: Learning | None = None
) -> None:
    """Evaluates and writes the rows."""
    began = time.perf_counter()
    with session.progress.doing("evaluate"):
        score, diagnostics = jax.device_get(session.programs.assess(state))
    assessment = Assessment(score, diagnostics, time.perf_counter() - began)
    rows = make_rows(group.seeds, common(state.env_steps), common(state.agent.step), assessment, learning)
    if session.job.config.non_finite == "halt":
        for row in rows:
            if "eval/return" not in row:
                raise DivergedError(
                    f"seed {row['seed']}, environment step {row['env_steps']}: the return of an evaluation is not "
                    f"finite: mend the environment, or lower the learning rates. {group.kept}"
                )
    reporter.add(rows, session.job.config.total_steps)
    _tell_of_runaways(session, state, rows)
    for row in rows:
        for callback in session.callbacks:
            callback(row)


def _tell_of_runaways(session: Session, state: TrainingState, rows: list[Row]) -> None:
    """Tells of critics whose mean is no return: they follow their own targets away, which no loss shows."""
    if not any("train/critic_mean" in row for row in rows):
        return
    bounds = rewards.bound_of_returns(jax.device_get(state.replay.data.r), session.job.config.agent.gamma)
    for row, bound in zip(rows, bounds, strict=True):
        mean = row.get("train/critic_mean", 0.0)
        if abs(mean) > _RUNAWAY * bound > 0:  # not where nothing has paid yet
            session.progress.print(
                f"seed {row['seed']}: the critics' mean is {mean:.3g}, and the rewards in replay allow no return "
                f"beyond {bound:.3g}: the critics run away. Gradients with less weight "
                "(gradient_scales.balanced.share) or critics without a quadratic term (quadratic = False) may hold them"
            )


def _check_finite(session: Session, group: Group, state: TrainingState) -> None:
    """Raises a DivergedError where a seed has a fault that ends the run; what repeats it is written first."""
    fault = jax.device_get(state.fault)
    if session.job.config.non_finite == "skip" or not np.any(fault.total):
        return
    i = int(np.argmax(fault.total > 0))
    seed, of_seed = group.seeds[i], jax.tree.map(lambda x: x[i], fault)
    agent = jax.tree.map(lambda x: x[i], state.agent)
    folder = None
    if of_seed.in_update:
        folder = faults.write(session.run_dir, seed, of_seed, agent)
        for name, text in session.files.items():
            write_text(folder / name, text)
    raise DivergedError(f"{faults.told(seed, of_seed)} {group.kept}", folder)


def _check_normalizers(group: Group, state: TrainingState) -> None:
    """Raises a DivergedError where normalizers are not finite, with which every update would be left out."""
    for leaf in jax.tree.leaves(jax.device_get(state.agent.params)):
        bad = ~np.all(np.isfinite(leaf).reshape(len(leaf), -1), axis=1)
        if np.any(bad):
            raise DivergedError(
                f"seed {group.seeds[int(np.argmax(bad))]}: normalizers cannot be fitted to the warm-up, which has "
                "numbers that are not finite: mend the environment"
            )


def _check_rewards(group: Group, r: np.ndarray) -> None:
    """Raises a ValueError where the rewards ``[seeds, n]`` of a warm-up have a size that critics do not learn."""
    for seed, of_seed in zip(group.seeds, r, strict=True):
        size = float(rewards.size_of(jnp.asarray(of_seed)))
        if size and not rewards.SIZES[0] <= size <= rewards.SIZES[1]:
            raise ValueError(
                f"seed {seed}: the rewards of the warm-up have a size of {size:.2g} (the root mean square of those "
                f"that are not 0), of which critics learn little or nothing; they learn from {rewards.SIZES[0]:g} to "
                f"{rewards.SIZES[1]:g}: set agent.reward_scale = 'fitted', or to a number, which is taken as it is"
            )


def _save_and_end(session: Session, group: Group, state: TrainingState) -> None:
    """Saves a checkpoint and raises Interrupted."""
    number = session.interrupts.number
    assert number is not None
    path = checkpoint.save(group.checkpoints, common(state.env_steps), state)
    _save_policies(session, group, state)
    raise Interrupted(number, f"{signal.Signals(number).name}: saved {path}; resume it to go on from there")


def _columns(programs: Programs) -> tuple[str, ...]:
    score, diagnostics = programs.assess.out_info
    shapes = programs.init.out_info
    return columns(score, diagnostics, {**shapes.totals.sums, "non_finite": shapes.fault.total})


def _save_policies(session: Session, group: Group, state: TrainingState) -> None:
    actors, agent = jax.device_get(state.agent.params.actor), session.job.agent
    for i, seed in enumerate(group.seeds):
        params = jax.tree.map(lambda x, i=i: x[i], actors)
        save_policy(policy_path(session.run_dir, seed), agent.act, params, agent.parts.spec.state_size)
