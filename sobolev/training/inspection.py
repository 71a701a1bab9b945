"""What one episode tells of an agent: what it saw and did, and what its critics expected against what followed.

Functions of an environment, a policy ``(s[E, S]) -> a[E, A]`` without randomness, and an agent's state. All returns are
discounted, and they and the slopes are in the task's unit.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State

from sobolev import gradient_scales, joint
from sobolev.agent import Agent, AgentState
from sobolev.agent.updates import target_samples
from sobolev.critics import draw_noises
from sobolev.environments import Environment, HostEnv
from sobolev.environments.host import seed_of
from sobolev.training.job import full_precision
from sobolev.training.slopes import BatchPolicy, Visit
from sobolev.training.slopes.on_device import has_noise, redraw
from sobolev.types import Array, Key, Transition


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
    """

    s: np.ndarray
    a: np.ndarray
    s_next: np.ndarray
    discount: np.ndarray
    rewards: np.ndarray
    goes_on: bool
    places: Any

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
    return Episode(np.asarray(places.obs), a[:steps], s_next[:steps], discount, rewards, True, places)


def _record_on_host(env: HostEnv, policy: BatchPolicy, length: int, beyond: int, seed: int) -> Episode:
    instance, seed = env.instance(), seed_of(seed)
    actions: list[np.ndarray] = []
    rows, visits, rewards, cut = [], [], [], False
    try:
        s = instance.reset(seed)
        for t in range(length + beyond):
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
    return Episode(s_all, a_all, s_next_all, discount, padded, not cut, visits[:length])


def discounted_returns(rewards: np.ndarray, gamma: float, horizon: int) -> np.ndarray:
    """The sums ``r_t + gamma r_(t+1) + …`` of ``horizon`` rewards, for each t that has so many.

    Args:
        rewards: ``[T + horizon - 1]``.
        gamma: the discount.
        horizon: rewards in a sum.

    Returns:
        ``[T]``.

    Example:
        >>> discounted_returns(np.array([1.0, 2.0, 4.0]), gamma=0.5, horizon=2).tolist()
        [2.0, 4.0]
    """
    return np.correlate(np.asarray(rewards, np.float64), gamma ** np.arange(horizon), mode="valid")


def rollout_returns(
    env: Env,
    policy: BatchPolicy,
    gamma: float,
    places: State,
    a: Array,
    *,
    horizon: int,
    num_draws: int,
) -> Array:
    """Monte-Carlo returns: a given action from a given environment state, then the policy, under fresh noise each time.

    Args:
        env: on the device.
        policy: of the module's text.
        gamma: the discount.
        places: environment states ``[K]``.
        a: first actions ``[K, A]``.
        horizon: rewards in a return; a termination ends it before.
        num_draws: of the noise at each state, R; one where the environment draws none.

    Returns:
        ``[K, R]``.
    """
    count = a.shape[0]
    draws = num_draws if has_noise(places) else 1

    def run(places: State, a: Array) -> Array:
        redrawn = jax.vmap(partial(redraw, places))(jnp.arange(draws))
        rows = jax.tree.map(lambda x: x.reshape(draws * count, *x.shape[2:]), redrawn)

        def step(carry: tuple, weight: Array) -> tuple[tuple, None]:
            rows, a, going_on, total = carry
            rows = jax.vmap(env.step)(rows, a)
            total = total + weight * jnp.where(going_on, rows.reward, 0.0)
            return (rows, policy(rows.obs), going_on & ~(rows.done > 0), total), None

        weights = jnp.asarray(gamma ** np.arange(horizon), rows.reward.dtype)
        begin = (rows, jnp.tile(a, (draws, 1)), jnp.ones(draws * count, bool), jnp.zeros_like(rows.reward))
        (_, _, _, total), _ = jax.lax.scan(step, begin, weights)
        return total.reshape(draws, count).T

    with full_precision():
        return jax.jit(run)(places, a)


def critic_samples(agent: Agent, state: AgentState, s: Array, a: Array, key: Key, num_samples: int) -> Array:
    """Joint samples of return and action gradient, of all critics together.

    Args:
        agent, state: whose critics.
        s: ``[K, S]``.
        a: ``[K, A]``.
        key: of the critics' noise.
        num_samples: of each critic, N.

    Returns:
        ``[K, num_critics * N, 1 + A]``.
    """
    critic = agent.parts.critic

    def of_one(s: Array, a: Array, key: Key) -> Array:
        xi = draw_noises(critic, key, num=num_samples)
        of_critic = partial(joint.joint_samples, critic.value)
        found = jax.vmap(lambda params: of_critic(params, s, a, xi))(state.params.critics)
        return found.reshape(-1, found.shape[-1]) / state.reward_scale

    with full_precision():
        return jax.jit(jax.vmap(of_one))(s, a, jax.random.split(key, s.shape[0]))


class Slicing(NamedTuple):
    """What the metric compares at each state, and along which direction it is max-sliced.

    Fields:
        target: joint samples of the Bellman target, ``[K, M, D]``, D = 1 + A or more.
        direction: unit vectors ``[K, D]``, for samples that are scaled.
        scales: of the D columns of a sample, by which the metric weighs them, ``[D]``.
    """

    target: Array
    direction: Array
    scales: Array


def slicing(agent: Agent, state: AgentState, transitions: Transition, key: Key) -> Slicing | None:
    """The directions that max-slicing finds between the first critic's samples and the target's.

    Args:
        agent, state: of them.
        transitions: recorded ones ``[K]``, of one step.
        key: of all noise and of the search.

    Returns:
        The slicing; None where the metric is not max-sliced, there are no gradients, or the target spans several steps.
    """
    parts, config, sizes = agent.parts, agent.parts.config, agent.parts.block_sizes
    search = getattr(config.metric, "direction", None)
    if search is None or len(sizes) == 1 or config.horizon.recorded_steps > 1 or config.n_step > 1:
        return None
    key_target, key_noise, key_policy, key_search = jax.random.split(key, 4)
    count = transitions.r.shape[0]

    def policy(s: Array) -> Array:
        return parts.actor.act(state.targets.actor, key_policy, s)

    def predict(s: Array, a: Array, key: Key) -> Array:
        xi = draw_noises(parts.critic, key, num=config.num_samples)
        first = jax.tree.map(lambda x: x[0], state.params.critics)
        return joint.joint_samples(parts.critic.value, first, s, a, xi, config.gradient, policy)

    def run(transitions: Transition) -> Slicing:
        y = target_samples(parts, state, key_target, transitions)
        x = jax.vmap(predict)(transitions.s, transitions.a, jax.random.split(key_noise, count))
        scales, _ = config.gradient_scale(state.gradient_scale, x, y, sizes)
        scaled = (gradient_scales.apply_scales(scales, z, sizes) for z in (x, y))
        direction = jax.vmap(search)(jax.random.split(key_search, count), *scaled)
        return Slicing(
            y / state.reward_scale, direction, jnp.repeat(scales, np.array(sizes), total_repeat_length=sum(sizes))
        )

    with full_precision():
        return jax.jit(run)(transitions)
