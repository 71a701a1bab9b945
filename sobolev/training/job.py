"""A configuration with its environment and agent built, and the axis of the seeds that share a program.

All programs take and give states with a leading axis ``[seeds]``. Where there are several devices, that axis is spread
over as many of them as divide the number of seeds; the devices do not talk to each other. Of several processes each has
its own seeds and devices, see :mod:`sobolev.training.processes`.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from sobolev.agent import Agent, make_agent
from sobolev.environments import Environment, HostEnv, check_environment
from sobolev.training.config import QUICK_COMPILATION, TrainConfig
from sobolev.types import Array, Key, Spec

# How hard the compiler tries. A program that runs once should compile fast.
RUN_ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_OLDER_FUSIONS = {"xla_cpu_use_fusion_emitters": False}


@cache
def assess_options() -> dict[str, Any]:
    """XLA's options, on CPU, for a program that runs at evaluations only.

    The newer code generator of fusions takes half as much time again to compile and gains a tenth or so, which only the
    program that learns makes up for. JAX 0.11 has no other.
    """
    try:
        _check_compiler_options(_OLDER_FUSIONS)
    except ValueError:
        return QUICK_COMPILATION
    return {**QUICK_COMPILATION, **_OLDER_FUSIONS}


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
    """The axis of so many seeds, on the largest number of this process's devices that divides theirs."""
    devices = jax.local_devices()
    count = max(d for d in range(1, len(devices) + 1) if size % d == 0)
    return SeedAxis(size, Mesh(devices[:count], ("seeds",)))


def _of_all(function: Callable[..., Any], states: Any, *shared: Any) -> Any:
    return jax.vmap(lambda state: function(state, *shared))(states)


def _of_the_only(function: Callable[..., Any], states: Any, *shared: Any) -> Any:
    # Without a mapped axis, which would be one of every product.
    result = function(jax.tree.map(lambda x: x[0], states), *shared)
    return jax.tree.map(lambda x: x[None], result)


class Program(Protocol):
    """What is called with arrays and may still be compiling.

    Attributes:
        out_info: the shapes of what it returns.
    """

    out_info: Any

    def wait(self) -> None:
        """Returns when it is compiled."""

    @property
    def temporary_bytes(self) -> int:
        """What a run of it allocates besides its arguments and results; 0 where the compiler does not say."""

    def __call__(self, *args: Any) -> Any:
        """Runs it."""


class Job(NamedTuple):
    """A configuration with its environment and agent built.

    Fields:
        config: what was built.
        env: the environment with its noise.
        agent: for it.
    """

    config: TrainConfig
    env: Environment
    agent: Agent

    @property
    def seed_axis(self) -> SeedAxis:
        """The axis of the seeds that share the programs."""
        return make_seed_axis(len(self.config.seed_groups[0]))

    def jit(self, function: Callable[..., Any], options: Mapping[str, Any], donate: tuple[int, ...] = ()) -> Any:
        """A function of one seed's state as a program of all seeds', see :meth:`SeedAxis.map`.

        Args:
            function: ``(state, *shared)``.
            options: the compiler's, where it compiles for the CPU.
            donate: the arguments that the program may overwrite.
        """
        axis, options_here = self.seed_axis, dict(options) if jax.default_backend() == "cpu" else None
        mapped = axis.map(function)
        return jax.jit(mapped, compiler_options=options_here, donate_argnums=donate, out_shardings=axis.sharding)


def full_precision() -> contextlib.AbstractContextManager[None]:
    """A context of float32 products, unless another precision is configured: TF32 ruins second derivatives."""
    return jax.default_matmul_precision(jax.config.jax_default_matmul_precision or "float32")  # type: ignore[attr-defined]


def build(config: TrainConfig) -> Job:
    """Builds environment and agent, and traces a step of the environment and an update of the agent.

    Args:
        config: of the run.

    Returns:
        The job, ready for :func:`sobolev.training.train`.

    Raises:
        ValueError: an environment that is none, see :func:`sobolev.environments.check_environment`, parts that do not
            go together, or an option that the compiler does not know.
    """
    try:
        _check_compiler_options(config.cpu_compiler_options)
    except ValueError as error:
        raise ValueError(f"train.cpu_compiler_options: {error}") from error
    env = environment_of(config.task)
    with full_precision():
        check_environment(env, steps=0)
        spec = Spec(_state_size(env), env.action_size, simulator=getattr(env, "simulator", None))
        return Job(config, env, make_agent(config.agent, spec))


def environment_of(task: Environment) -> Environment:
    """A task as programs take it, see :class:`TracedOnce`."""
    return TracedOnce(task) if isinstance(task, Env) else task


def _state_size(env: Environment) -> int:
    if isinstance(env, HostEnv):
        return env.observation_size
    # Traced: Brax's own ``observation_size`` runs a whole reset, operation by operation.
    return jax.eval_shape(env.reset, jax.random.key(0)).obs.shape[-1]


def _check_compiler_options(options: Mapping[str, Any]) -> None:
    """Raises a ValueError where the compiler, which is asked on CPU alone, does not know an option."""
    if jax.default_backend() == "cpu":
        try:
            jax.jit(lambda: 0, compiler_options=dict(options)).lower().compile()
        except jax.errors.JaxRuntimeError as error:
            raise ValueError(str(error)) from error
