"""The programs of a run: traced for one seed, mapped over the seeds that share them, compiled side by side."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env
from jax.stages import Lowered

from sobolev.environments import HostEnv
from sobolev.training import host_loop, loop
from sobolev.training.evaluate import EVALUATION_SEED, Evaluation, diagnose, evaluate
from sobolev.training.job import RUN_ONCE, Job, Program, assess_options, full_precision
from sobolev.training.loop import TrainingState
from sobolev.types import Array, Key, Scalars


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
        self._compiled.result()

    @property
    def temporary_bytes(self) -> int:
        analysis = self._compiled.result().memory_analysis()
        return 0 if analysis is None else analysis.temp_size_in_bytes

    def __call__(self, *args: Any) -> Any:
        return self._compiled.result()(*args)


class Programs(NamedTuple):
    """The four programs of a run, in the order in which they are needed; ``fit_normalizers`` and ``advance`` consume
    the state that they are given. Everything but iterations and phase has a leading axis ``[seeds]``.

    Fields:
        init: ``(keys) -> TrainingState``.
        fit_normalizers: ``(state) -> state``.
        advance: ``(state, iterations, phase) -> state``.
        assess: ``(state) -> (Evaluation, diagnostics)``.
    """

    init: Program
    fit_normalizers: Program
    advance: Program
    assess: Program


def trace(job: Job) -> Iterator[tuple[str, Lowered]]:
    """Each compiled program with its name, traced when it is asked for, so that the one before can compile meanwhile.

    Args:
        job: from :func:`build`.
    """
    return host_loop.trace(job, job.env) if isinstance(job.env, HostEnv) else _trace_on_device(job, job.env)


def _trace_on_device(job: Job, env: Env) -> Iterator[tuple[str, Lowered]]:
    config, agent, axis = job.config, job.agent, job.seed_axis

    def assess(state: TrainingState) -> tuple[Evaluation, Scalars]:
        def policy(key: Key, s: Array) -> Array:
            keys = jax.random.split(key, s.shape[0])
            return jax.vmap(agent.act, in_axes=(None, 0, 0))(state.agent.params.actor, keys, s)

        score = evaluate(env, policy, jax.random.key(EVALUATION_SEED), config.eval_episodes, config.episode_length)
        return score, diagnose(agent, config.loop, state)

    init = job.jit(partial(loop.init, env, agent, config.loop), RUN_ONCE).lower(axis.keys(range(axis.size)))
    yield "init", init
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=axis.sharding), init.out_info)
    yield "fit_normalizers", job.jit(partial(loop.fit_normalizers, agent, config.loop), RUN_ONCE, (0,)).lower(states)
    learn = job.jit(partial(loop.advance, env, agent, config.loop), config.cpu_compiler_options, (0,))
    yield "advance", learn.lower(states, jnp.int32(0), loop.LEARN)
    yield "assess", job.jit(assess, assess_options()).lower(states)


def compile_all(job: Job, check_state: Callable[[Any], Any] = lambda shapes: None) -> Programs:
    """The programs, which compile one after the other: learning begins before the evaluation's is there.

    Args:
        job: from :func:`build`.
        check_state: is given the shapes of the training state before anything else is traced, and may raise.
    """
    pool, programs = ThreadPoolExecutor(1), {}
    try:
        with full_precision():
            for name, lowered in trace(job):
                if name == "init":
                    check_state(lowered.out_info)
                programs[name] = Compiling(lowered, pool)
    finally:
        pool.shutdown(wait=False)
    if isinstance(job.env, HostEnv):
        return Programs(**host_loop.assemble(job, job.env, programs))  # type: ignore[arg-type]  # by name
    return Programs(**programs)
