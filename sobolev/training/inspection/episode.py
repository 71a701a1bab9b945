"""One episode of a policy: what it saw and did, and from where each of its steps can be repeated."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State

from sobolev.environments import Environment, HostEnv, Motion, MotionRecorder, motion_of_states
from sobolev.environments.host import seed_of
from sobolev.training.job import full_precision
from sobolev.training.slopes import BatchPolicy, Visit
from sobolev.types import Array, Key


class Episode(NamedTuple):
    """An episode of a policy, T steps, and the rewards that followed it.

    Fields:
        s: observed states, ``[T, S]``.
        a: actions, ``[T, A]``.
        s_next: ``[T, S]``.
        discount: 0 at a termination, else 1, ``[T]``.
        rewards: ``[T + beyond]``, those after the time limit included; 0 from an end on.
        goes_on: whether the rewards after the time limit are there; an environment on the host may have one of its own.
        places: from where it can be repeated: environment states ``[T]`` on the device, or visits on the host.
        motion: of the body at each observed state, ``[T]``; None for a task without a body that MuJoCo describes.
    """

    s: np.ndarray
    a: np.ndarray
    s_next: np.ndarray
    discount: np.ndarray
    rewards: np.ndarray
    goes_on: bool
    places: Any
    motion: Motion | None

    def at(self, times: Sequence[int]) -> Any:
        """The places at these times."""
        if isinstance(self.places, list):
            return [self.places[t] for t in times]
        return jax.tree.map(lambda x: x[np.asarray(times)], self.places)


def record_episode(env: Environment, policy: BatchPolicy, *, length: int, beyond: int, seed: int) -> Episode:
    """One episode, until it terminates or has lasted ``length`` steps, and ``beyond`` rewards more.

    Args:
        env: on the device or on the host.
        policy: of the module's text; on the device traceable by JAX.
        length: the time limit.
        beyond: rewards after it, without which the returns near it would lack what follows.
        seed: of start and noise.

    Returns:
        The episode.

    Example:
        >>> import jax.numpy as jnp
        >>> from sobolev.environments import PointMass
        >>> episode = record_episode(PointMass(), lambda s: 0.0 * s[:, :2], length=5, beyond=3, seed=0)
        >>> episode.s.shape, episode.rewards.shape
        ((5, 4), (8,))
    """
    with full_precision():
        if isinstance(env, HostEnv):
            return _record_on_host(env, policy, length, beyond, seed)
        return _record_on_device(env, policy, length, beyond, seed)


def _record_on_device(env: Env, policy: BatchPolicy, length: int, beyond: int, seed: int) -> Episode:
    def step(carry: tuple[State, Array], _: None) -> tuple[tuple[State, Array], tuple[Array, ...]]:
        state, going_on = carry
        a = policy(state.obs[None])[0]
        after = env.step(state, a)
        reward = jnp.where(going_on, after.reward, 0.0)
        return (after, going_on & ~(after.done > 0)), (a, after.obs, after.done, reward)

    def with_state(carry: tuple[State, Array], _: None) -> tuple[tuple[State, Array], Any]:
        after, found = step(carry, None)
        return after, (carry[0], found)

    def run(key: Key) -> tuple[State, tuple[Array, ...], Array]:
        start = (env.reset(key), jnp.ones((), bool))
        middle, (states, found) = jax.lax.scan(with_state, start, None, length)
        _, (_, _, _, later) = jax.lax.scan(step, middle, None, beyond)
        return states, found, later

    states, found, later = jax.jit(run)(jax.random.key(seed))
    a, s_next, done, rewards = map(np.asarray, found)
    steps = int(np.argmax(done > 0)) + 1 if np.any(done > 0) else length
    places = jax.tree.map(lambda x: x[:steps], states)
    rewards = np.concatenate([rewards[:steps], np.asarray(later) if steps == length else np.zeros(beyond)])
    discount = 1.0 - done[:steps].astype(rewards.dtype)
    motion = motion_of_states(env, places)
    return Episode(np.asarray(places.obs), a[:steps], s_next[:steps], discount, rewards, True, places, motion)


def _record_on_host(env: HostEnv, policy: BatchPolicy, length: int, beyond: int, seed: int) -> Episode:
    instance, seed = env.instance(), seed_of(seed)
    actions: list[np.ndarray] = []
    rows, visits, rewards, cut = [], [], [], False
    try:
        s = instance.reset(seed)
        recorder = MotionRecorder(instance.gym)
        for t in range(length + beyond):
            if t < length:
                recorder.record()
            a = np.asarray(policy(s[None]), np.float32)[0]
            visits.append(Visit(seed, actions[:t], s))
            s_next, reward, terminated, cut = instance.step(a)
            rows.append((s, a, s_next, 0.0 if terminated else 1.0))
            rewards.append(reward)
            actions.append(a)
            if terminated or cut:
                cut = cut and not terminated
                break
            s = s_next
    finally:
        instance.close()
    s_all, a_all, s_next_all, discount = (np.stack(x).astype(np.float32) for x in zip(*rows[:length], strict=True))
    padded = np.zeros(len(discount) + beyond)
    padded[: len(rewards)] = rewards
    motion = recorder.motion()
    return Episode(s_all, a_all, s_next_all, discount, padded, not cut, visits[:length], motion)
