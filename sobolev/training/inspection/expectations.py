"""What critics expect at states of an episode, and what their metric compares it with."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sobolev import gradient_scales, joint
from sobolev.agent import Agent, AgentState
from sobolev.agent.updates import target_samples
from sobolev.critics import draw_noises
from sobolev.training.job import full_precision
from sobolev.types import Array, Key, Transition


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
