"""Brax's own environments, any registered name on any backend."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from brax import envs
from brax.envs.base import Env, State, Wrapper

from sobolev.environments.base import registry
from sobolev.registry import unknown_name
from sobolev.types import Array, Key, Simulator, Transition

Backend = Literal["generalized", "positional", "spring", "mjx"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)


@registry.register("brax")
def make_brax(name: str = "reacher", backend: Backend = "generalized", full_state: bool = False) -> Env:
    """A Brax environment, without Brax's own wrappers (see :mod:`sobolev.environments.episodes`).

    Args:
        name: as registered with ``brax.envs``: reacher, hopper, halfcheetah, walker2d, ant, humanoid, …
        backend: the physics, one of ``BACKENDS``.
        full_state: observe [q, qd] instead of the task's own observation, see :class:`FullState`; only with the
            backend "generalized", whose state is [q, qd].

    Returns:
        The environment; with ``full_state`` it has a ``simulator``.

    Raises:
        ValueError: an unknown name or backend, or ``full_state`` where [q, qd] is not the whole state.

    Example:
        >>> make_brax("reacher", full_state=True).observation_size
        8
    """
    # Brax keeps its names in a private table and offers no way to list them.
    names = tuple(envs._envs)
    if name not in names:
        raise unknown_name("Brax environment", name, names)
    if backend not in BACKENDS:
        raise unknown_name("Brax backend", backend, BACKENDS)
    if full_state and backend != "generalized":
        raise ValueError(f"full_state needs backend='generalized', whose state is [q, qd], got {backend!r}")
    env = envs.get_environment(name, backend=backend)
    return FullState(env) if full_state else env


class FullState(Wrapper):
    """A task that observes its generalized positions and velocities [q, qd]; rewards and ends do not change.

    These are the whole state, so that the step can be computed at any observation: the task has a ``simulator``.

    Args:
        env: a Brax environment on the generalized backend.
    """

    def reset(self, rng: Array) -> State:
        return _observe(self.env.reset(rng))

    def step(self, state: State, action: Array) -> State:
        return _observe(self.env.step(state, action))

    @property
    def observation_size(self) -> int:
        system = self.env.unwrapped.sys
        return system.q_size() + system.qd_size()

    def _simulate(self, s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        del n
        q, qd = jnp.split(s, [self.env.unwrapped.sys.q_size()])
        # A step reads the physical state alone; the other fields only need the right shapes.
        shapes = jax.eval_shape(self.env.reset, jax.random.key(0))
        blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        after = self.step(blank.replace(pipeline_state=self.env.unwrapped.pipeline_init(q, qd)), a)
        return after.obs, after.reward, 1.0 - after.done

    @property
    def simulator(self) -> Simulator:
        """The step from any [q, qd], without noise; the derivative of its c = 1 - done is zero."""

        def noise(key: Key) -> Array:
            del key
            return jnp.zeros(0)

        def infer(key: Key, transition: Transition) -> Array:
            del transition
            return noise(key)

        return Simulator(noise, infer, self._simulate)


def _observe(state: State) -> State:
    return state.replace(obs=jnp.concatenate([state.pipeline_state.q, state.pipeline_state.qd]))
