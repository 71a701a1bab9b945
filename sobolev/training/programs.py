"""The programs of a run: traced for one seed, mapped over the seeds that share them, compiled side by side.

All of them take and give states with a leading axis ``[seeds]``. Where there are several devices, that axis is spread
over as many of them as divide the number of seeds; the devices do not talk to each other.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from jax.stages import Lowered

from sobolev.agent import Agent, make_agent
from sobolev.agent.diagnostics import POINTS
from sobolev.training import loop
from sobolev.training import replay as replay_buffer
from sobolev.training.config import QUICK_COMPILATION, TrainConfig
from sobolev.training.evaluate import Evaluation, evaluate
from sobolev.training.loop import TrainingState
from sobolev.types import Array, Key, Scalars, Spec

# How hard the compiler tries. A program that runs once should compile fast. The newer code generator of fusions takes
# half as much time again and gains a tenth or so, which only the program that learns makes up for.
_RUN_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_ASSESS = {**QUICK_COMPILATION, "xla_cpu_use_fusion_emitters": False}
# Every run, seed and method is evaluated on the same episodes.
_EVALUATION_SEED = 0


class TracedOnce(Wrapper):
    """The environment, its reset and its step traced once for all the programs that take them: physics is long."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._reset, self._step = jax.jit(env.reset), jax.jit(env.step)

    def reset(self, rng: Key) -> State:
        return self._reset(rng)

    def step(self, state: State, action: Array) -> State:
        return self._step(state, action)


class SeedAxis(NamedTuple):
    """The axis ``[seeds]`` of the programs, and the devices over which it is spread.

    Fields:
        size: how many seeds share the programs.
        mesh: one axis "seeds", whose size divides theirs.
    """

    size: int
    mesh: Mesh

    @property
    def sharding(self) -> Sharding:
        """Of a leading axis ``[seeds]``."""
        if self.mesh.size == 1:  # no mesh in the types of arrays, by which functions would be traced anew
            return SingleDeviceSharding(self.mesh.devices.item())
        return NamedSharding(self.mesh, PartitionSpec("seeds"))

    def keys(self, numbers: Sequence[int]) -> Array:
        """The random key of each seed, ``[seeds]``."""
        return jax.device_put(jax.vmap(jax.random.key)(jnp.array(numbers)), self.sharding)

    def map(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one seed's state as one of all seeds' states: ``function(state, *shared)``, see the module."""
        per_device = self.size // self.mesh.size
        mapped = partial(_of_all if per_device > 1 else _of_the_only, function)
        if self.mesh.size == 1:
            return mapped

        def sharded(states: Any, *shared: Any) -> Any:
            specs = (PartitionSpec("seeds"), *(PartitionSpec() for _ in shared))
            on_devices = jax.shard_map(
                mapped, mesh=self.mesh, in_specs=specs, out_specs=PartitionSpec("seeds"), check_vma=False
            )
            return on_devices(states, *shared)

        return sharded


def make_seed_axis(size: int) -> SeedAxis:
    """The axis of so many seeds, on the largest number of devices that divides theirs."""
    devices = jax.devices()
    count = max(d for d in range(1, len(devices) + 1) if size % d == 0)
    return SeedAxis(size, Mesh(devices[:count], ("seeds",)))


def _of_all(function: Callable[..., Any], states: Any, *shared: Any) -> Any:
    return jax.vmap(lambda state: function(state, *shared))(states)


def _of_the_only(function: Callable[..., Any], states: Any, *shared: Any) -> Any:
    # Without a mapped axis, which would be one of every product.
    result = function(jax.tree.map(lambda x: x[0], states), *shared)
    return jax.tree.map(lambda x: x[None], result)


class Job(NamedTuple):
    """A configuration with its environment and agent built.

    Fields:
        config: what was built.
        env: the environment with its noise.
        agent: for it.
    """

    config: TrainConfig
    env: Env
    agent: Agent

    @property
    def seed_axis(self) -> SeedAxis:
        """The axis of the seeds that share the programs."""
        return make_seed_axis(len(self.config.seed_groups[0]))


def full_precision() -> contextlib.AbstractContextManager[None]:
    """A context of float32 products, unless another precision is configured: TF32 ruins second derivatives."""
    return jax.default_matmul_precision(jax.config.jax_default_matmul_precision or "float32")  # type: ignore[attr-defined]


def build(config: TrainConfig) -> Job:
    """Builds environment and agent, and traces an update of the agent.

    Args:
        config: of the run.

    Returns:
        The job, ready for :func:`sobolev.training.train`.

    Raises:
        ValueError: parts that do not go together, or an option that the compiler does not know.
    """
    _check_compiler_options(config.cpu_compiler_options)
    env = TracedOnce(config.task)
    with full_precision():
        # Traced: Brax's own ``observation_size`` runs a whole reset, operation by operation.
        state_size = jax.eval_shape(env.reset, jax.random.key(0)).obs.shape[-1]
        spec = Spec(state_size, env.action_size, simulator=getattr(env, "simulator", None))
        return Job(config, env, make_agent(config.agent, spec))


def _check_compiler_options(options: dict[str, Any]) -> None:
    if jax.default_backend() == "cpu":
        try:
            jax.jit(lambda: 0, compiler_options=options).lower().compile()
        except jax.errors.JaxRuntimeError as error:
            raise ValueError(f"train.cpu_compiler_options: {error}") from error


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

    @property
    def temporary_bytes(self) -> int:
        """What a run of the program allocates besides its arguments and results; 0 where the compiler does not say."""
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
        advance: ``(state, iterations, phase) -> (state, scalars)``.
        assess: ``(state) -> (Evaluation, diagnostics)``.
    """

    init: Compiling
    fit_normalizers: Compiling
    advance: Compiling
    assess: Compiling


def trace(job: Job) -> Iterator[tuple[str, Lowered]]:
    """Each of ``Programs`` with its name, traced when it is asked for, so that the one before can compile meanwhile.

    Args:
        job: from :func:`build`.
    """
    config, env, agent = job
    axis = job.seed_axis

    def assess(state: TrainingState) -> tuple[Evaluation, Scalars]:
        key_score, key_batch, key_diagnose = (jax.random.key(_EVALUATION_SEED + i) for i in range(3))

        def policy(key: Key, s: Array) -> Array:
            keys = jax.random.split(key, s.shape[0])
            return jax.vmap(agent.act, in_axes=(None, 0, 0))(state.agent.params.actor, keys, s)

        score = evaluate(env, policy, key_score, config.eval_episodes, config.episode_length)
        batch = replay_buffer.sample(state.replay, key_batch, (POINTS,), config.loop.window)
        return score, agent.diagnose(state.agent, key_diagnose, batch)

    def jit(function: Callable[..., Any], options: dict[str, Any] | None, donate: tuple[int, ...] = ()) -> Any:
        return jax.jit(axis.map(function), compiler_options=options, donate_argnums=donate, out_shardings=axis.sharding)

    is_cpu = jax.default_backend() == "cpu"
    init = jit(partial(loop.init, env, agent, config.loop), _RUN_ONCE).lower(axis.keys(range(axis.size)))
    yield "init", init
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=axis.sharding), init.out_info)
    fit_normalizers = partial(loop.fit_normalizers, agent, config.loop)
    yield "fit_normalizers", jit(fit_normalizers, _RUN_ONCE, (0,)).lower(states)
    advance = partial(loop.advance, env, agent, config.loop)
    learn = jit(advance, config.cpu_compiler_options if is_cpu else None, (0,))
    yield "advance", learn.lower(states, jnp.int32(0), loop.LEARN)
    yield "assess", jit(assess, _ASSESS if is_cpu else None).lower(states)


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
    return Programs(**programs)
