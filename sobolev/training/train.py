"""Training: compile, warm up, then learn and evaluate by turns, with a checkpoint that a run can resume from."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State, Wrapper
from jax.stages import Lowered

from sobolev.agent import Agent, AgentConfig, make_agent
from sobolev.agent.diagnostics import POINTS
from sobolev.training import checkpoint, loop
from sobolev.training import replay as replay_buffer
from sobolev.training.evaluate import Evaluation, evaluate
from sobolev.training.logs import Progress, Reporter, Row
from sobolev.training.loop import Schedule, TrainingState
from sobolev.types import Array, Key, Scalars, Spec

# How hard the compiler tries. A program that runs once should compile fast. On CPU the levels beyond the first take
# half as much work again and no program runs faster; the newer code generator of fusions takes half as much once more
# and gains a tenth or so, which only the program that learns makes up for.
_RUN_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_QUICK = {"xla_backend_optimization_level": 1}
_ASSESS = {**_QUICK, "xla_cpu_use_fusion_emitters": False}
# Every run, seed and method is evaluated on the same episodes.
_EVALUATION_SEED = 0


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, on what, and for how long.

    Args:
        environment: a ``brax.envs.base.Env``.
        noise: wraps the environment, ``(env) -> env``; None for none.
        agent: see :class:`sobolev.agent.config.AgentConfig`.
        total_steps: environment steps in all, warm-up included.
        episode_length: time limit of an episode, in steps; running into it is no termination.
        num_envs: environments side by side.
        updates_per_step: agent updates per environment step (UTD); times num_envs it must be a whole number.
        warmup_steps: environment steps with uniform actions before the first update; they also set the scales of the
            agent's parts.
        warmup_updates: updates on what the warm-up recorded, before learning and acting go by turns.
        eval_every: environment steps between evaluations.
        eval_episodes: episodes per evaluation.
        checkpoint_every: environment steps between checkpoints, which are written after an evaluation; 0 for none.
        replay_capacity: transitions kept; total_steps at the most.
        seed: of everything random.
        cpu_compiler_options: XLA's, for the program that learns, where it runs on CPU.
    """

    environment: Env
    agent: AgentConfig
    noise: Callable[[Env], Env] | None = None
    total_steps: int = 10_000
    episode_length: int = 50
    num_envs: int = 4
    updates_per_step: float = 1.0
    warmup_steps: int = 500
    warmup_updates: int = 500
    eval_every: int = 500
    eval_episodes: int = 64
    checkpoint_every: int = 2_000
    replay_capacity: int = 1_000_000
    seed: int = 0
    cpu_compiler_options: dict[str, Any] = field(default_factory=_QUICK.copy)

    def __post_init__(self) -> None:
        for name in ("total_steps", "episode_length", "num_envs", "warmup_steps", "eval_every", "eval_episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("warmup_updates", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"train.{name} must not be negative, got {getattr(self, name)}")
        updates = self.num_envs * self.updates_per_step
        if updates < 1 or updates != int(updates):
            raise ValueError(
                f"train.updates_per_step times train.num_envs must be a whole number from 1 on, got "
                f"{self.updates_per_step} times {self.num_envs}"
            )
        if self.warmup_updates % int(updates):
            raise ValueError(
                f"train.warmup_updates must be a multiple of the updates per step of all environments, got "
                f"{self.warmup_updates} and {int(updates)}"
            )
        for name in ("total_steps", "warmup_steps", "eval_every"):
            if getattr(self, name) % self.num_envs:
                raise ValueError(
                    f"train.{name} must be a multiple of train.num_envs, got {getattr(self, name)} and {self.num_envs}"
                )
        if self.warmup_steps < self.agent.n_step * self.num_envs:
            raise ValueError(
                f"train.warmup_steps must be at least agent.n_step times train.num_envs, got {self.warmup_steps}, "
                f"{self.agent.n_step} and {self.num_envs}"
            )
        if self.warmup_steps > min(self.total_steps, self.replay_capacity):
            raise ValueError(
                f"train.warmup_steps must not exceed train.total_steps and train.replay_capacity, got "
                f"{self.warmup_steps}, {self.total_steps} and {self.replay_capacity}"
            )

    @property
    def schedule(self) -> Schedule:
        """The loop's numbers."""
        return Schedule(
            num_envs=self.num_envs,
            updates=int(self.num_envs * self.updates_per_step),
            batch_size=self.agent.batch_size,
            episode_length=self.episode_length,
            warmup_steps=self.warmup_steps,
            warmup_updates=self.warmup_updates,
            replay_capacity=min(self.replay_capacity, self.total_steps),
            n_step=self.agent.n_step,
            gamma=self.agent.gamma,
        )


class Compiling:
    """A program that another thread compiles; a call waits for it.

    Args:
        lowered: what to compile.
        pool: where.
    """

    def __init__(self, lowered: Lowered, pool: Executor) -> None:
        self.out_info = lowered.out_info
        self._compiled = pool.submit(lowered.compile)

    def wait(self) -> None:
        """Returns when the program is compiled."""
        self._compiled.result()

    def __call__(self, *args: Any) -> Any:
        return self._compiled.result()(*args)


class Programs(NamedTuple):
    """The four programs of a run, in the order in which they are needed; ``prepare`` and ``advance`` consume the state
    that they are given.

    Fields:
        init: ``(key) -> TrainingState``.
        prepare: ``(state) -> state``.
        advance: ``(state, iterations, phase) -> (state, scalars)``.
        assess: ``(state) -> (Evaluation, diagnostics)``.
    """

    init: Compiling
    prepare: Compiling
    advance: Compiling
    assess: Compiling


class TracedOnce(Wrapper):
    """The environment, its reset and its step traced once for all the programs that take them: physics is long."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._reset, self._step = jax.jit(env.reset), jax.jit(env.step)

    def reset(self, rng: Key) -> State:
        return self._reset(rng)

    def step(self, state: State, action: Array) -> State:
        return self._step(state, action)


def build(config: TrainConfig) -> tuple[Env, Agent]:
    """The environment with its noise, and the agent for it.

    Raises:
        ValueError: parts that do not go together, or an option that the compiler does not know.
    """
    _check_compiler_options(config.cpu_compiler_options)
    env = config.environment if config.noise is None else config.noise(config.environment)
    env = TracedOnce(env)
    # Traced: Brax's own ``observation_size`` runs a whole reset, operation by operation.
    state_size = jax.eval_shape(env.reset, jax.random.key(0)).obs.shape[-1]
    spec = Spec(state_size, env.action_size, simulator=getattr(env, "simulator", None))
    return env, make_agent(config.agent, spec)


def _check_compiler_options(options: dict[str, Any]) -> None:
    if jax.default_backend() == "cpu":
        try:
            jax.jit(lambda: 0, compiler_options=options).lower().compile()
        except jax.errors.JaxRuntimeError as error:
            raise ValueError(f"train.cpu_compiler_options: {error}") from error


def trace(config: TrainConfig, env: Env, agent: Agent) -> Iterator[tuple[str, Lowered]]:
    """Each of ``Programs`` with its name, traced when it is asked for, so that the one before can compile meanwhile."""
    schedule = config.schedule

    def assess(state: TrainingState) -> tuple[Evaluation, Scalars]:
        key_score, key_batch, key_diagnose = (jax.random.key(_EVALUATION_SEED + i) for i in range(3))
        actor = state.agent.params.actor
        score = evaluate(env, agent.act, actor, key_score, config.eval_episodes, config.episode_length)
        batch = replay_buffer.sample(state.replay, key_batch, (POINTS,), schedule.window)
        return score, agent.diagnose(state.agent, key_diagnose, batch)

    is_cpu = jax.default_backend() == "cpu"
    init = jax.jit(partial(loop.init, env, agent, schedule), compiler_options=_RUN_ONCE)
    prepare = jax.jit(partial(loop.fit_normalizer, agent, schedule), donate_argnums=0, compiler_options=_RUN_ONCE)
    advance = partial(loop.advance, env, agent, schedule)
    learn = jax.jit(advance, donate_argnums=0, compiler_options=config.cpu_compiler_options if is_cpu else None)
    lowered = init.lower(jax.random.key(config.seed))
    shapes = lowered.out_info
    yield "init", lowered
    yield "prepare", prepare.lower(shapes)
    yield "advance", learn.lower(shapes, jnp.int32(0), loop.LEARN)
    yield "assess", jax.jit(assess, compiler_options=_ASSESS if is_cpu else None).lower(shapes)


def compile_all(config: TrainConfig, env: Env, agent: Agent) -> Programs:
    """The programs, which compile one after the other: learning begins before the evaluation's is there."""
    pool = ThreadPoolExecutor(1)
    programs = Programs(**{name: Compiling(lowered, pool) for name, lowered in trace(config, env, agent)})
    pool.shutdown(wait=False)
    return programs


def train(
    config: TrainConfig, env: Env, agent: Agent, run_dir: Path, resume: bool = False, progress: Progress | None = None
) -> None:
    """Trains, and writes everything about it into ``run_dir``.

    Args:
        config: see :class:`TrainConfig`.
        env, agent: from ``build``.
        run_dir: exists already.
        resume: go on from the newest whole checkpoint in ``run_dir``, or start afresh where there is none.
        progress: what tells of it; None for one whose clock starts now.
    """
    progress = progress or Progress()
    checkpoints = run_dir / "checkpoints"
    source = checkpoint.newest(checkpoints) if resume else None
    resumed_at = None if source is None else int(source.stem)
    with progress.stage("compile"):
        programs = compile_all(config, env, agent)
        programs.advance.wait()
    reporter = Reporter(run_dir, _columns(programs), progress, resumed_at)
    shapes = programs.init.out_info
    size = replay_buffer.num_bytes(shapes.replay) / 2**20
    progress.print(f"replay {config.schedule.replay_capacity} transitions, {size:.1f} MiB")

    if source is None:
        with progress.stage("warm-up"):
            state = programs.init(jax.random.key(config.seed))
            state = jax.block_until_ready(
                loop.warm_up(config.schedule, state, programs.fit_normalizer, programs.advance)
            )
        with progress.stage("compile the evaluation"):
            programs.assess.wait()
        reporter.add(_row(config, state, programs), config.total_steps)
    else:
        state = checkpoint.restore(source, shapes)
        progress.print(f"resumed at {resumed_at} environment steps")

    while (done := int(state.env_steps)) < config.total_steps:
        until = min(config.total_steps, config.eval_every * (done // config.eval_every + 1))
        began = time.perf_counter()
        state, scalars = programs.advance(state, jnp.int32((until - done) // config.num_envs), loop.LEARN)
        scalars = jax.device_get(scalars)
        seconds = time.perf_counter() - began
        reporter.add(_row(config, state, programs, scalars, until - done, seconds), config.total_steps)
        if config.checkpoint_every and (until == config.total_steps or _crossed(config.checkpoint_every, done, until)):
            checkpoint.save(checkpoints, until, state)
    reporter.close()


def _crossed(every: int, before: int, after: int) -> bool:
    return after // every > before // every


def _row(
    config: TrainConfig,
    state: TrainingState,
    programs: Programs,
    scalars: dict[str, np.ndarray] | None = None,
    steps: int = 0,
    seconds: float = 0.0,
) -> Row:
    """One line of metrics: the policy's score and, after some learning, what the updates reported."""
    began = time.perf_counter()
    score, diagnostics = jax.device_get(programs.assess(state))
    row = {
        "env_steps": int(state.env_steps),
        "updates": int(state.agent.step),
        "eval/return": float(np.mean(score.returns)),
        "eval/return_std": float(np.std(score.returns)),
        "eval/length": float(np.mean(score.lengths)),
    }
    row |= {f"diagnostics/{name}": float(value) for name, value in diagnostics.items()}
    if scalars is not None:
        row |= {f"train/{name}": float(value) for name, value in sorted(scalars.items()) if not math.isnan(value)}
        row["train/updates_per_second"] = steps * config.updates_per_step / seconds
        row["train/env_steps_per_second"] = steps / seconds
        row["time/learn_seconds"] = seconds
        row["time/evaluate_seconds"] = time.perf_counter() - began
    return row


def _columns(programs: Programs) -> tuple[str, ...]:
    (_, scalars), (_, diagnostics) = programs.advance.out_info, programs.assess.out_info
    return (
        *("env_steps", "updates", "eval/return", "eval/return_std", "eval/length"),
        *(f"train/{name}" for name in sorted(scalars)),
        *(f"diagnostics/{name}" for name in diagnostics),
        *("train/updates_per_second", "train/env_steps_per_second", "time/learn_seconds", "time/evaluate_seconds"),
    )
