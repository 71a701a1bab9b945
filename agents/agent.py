"""The generic agent: one update wires any metric, world model, critic and actor together.

Everything that changes is in :class:`agents.agent_state.AgentState`; the functions are pure. The states of the batch
are raw: parts scale their own inputs. See docs/architecture.md for the picture of one update.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import diagnostics, updates
from agents.agent_config import AgentConfig
from agents.agent_state import AgentState, Learned, Parts, Scalars, Targets
from sobolev import bellman
from sobolev.critics import draw_noises
from sobolev.types import Array, Key, Params, Spec, Transition


class Agent(NamedTuple):
    """The agent as pure functions.

    Fields:
        init: ``(key) -> AgentState``.
        prepare: ``(state, transitions[B]) -> state``: fits the parts' scales, once, before the first update.
        act: ``(params, key, s[S]) -> a[A]``, the policy as it is evaluated; its params are ``state.params.actor``.
        explore: ``(params, key, s[S]) -> a[A]``, the policy while learning.
        update: ``(state, transitions[B]) -> (state, scalars)``; scan-shaped, so that many fuse into one program.
        diagnose: ``(state, key, transitions[B]) -> scalars``, see :mod:`agents.diagnostics`.
    """

    init: Callable[[Key], AgentState]
    prepare: Callable[[AgentState, Transition], AgentState]
    act: Callable[[Params, Key, Array], Array]
    explore: Callable[[Params, Key, Array], Array]
    update: Callable[[AgentState, Transition], tuple[AgentState, Scalars]]
    diagnose: Callable[[AgentState, Key, Transition], Scalars]


def make_agent(config: AgentConfig, spec: Spec) -> Agent:
    """The agent for the task of a given specification.

    Raises:
        ValueError: parts that do not go together, with the reason.
    """
    spec = spec._replace(continuation=config.continuation == "model")
    parts = Parts(config, spec, config.critic(spec), config.actor(spec), config.world_model(spec))
    _check(parts)
    return Agent(
        init=partial(_init, parts),
        prepare=partial(_prepare, parts),
        act=parts.actor.mode or parts.actor.act,
        explore=parts.actor.explore,
        update=partial(_update, parts),
        diagnose=partial(diagnostics.diagnose, parts),
    )


def _check(parts: Parts) -> None:
    """Raises a ValueError unless the parts go together; most reasons are the parts' own, told as shapes are traced."""
    config = parts.config
    if config.gradient != "none" and not parts.world_model.differentiable:
        raise ValueError(
            f"gradient {config.gradient!r} needs a world model that is differentiable in state and action; "
            "this one replays what was recorded: take another, or gradient 'none'"
        )
    if config.noise_source == "imagination":
        jax.eval_shape(parts.world_model.noise, jax.random.key(0))

    def loss(key: Key) -> Array:
        xi = jax.vmap(lambda key: draw_noises(parts.critic, key, config.num_samples))(key[None])
        x = jnp.zeros((config.num_critics, config.num_samples, sum(parts.block_sizes)))
        y = bellman.overestimation.get(config.overestimation)(x, config.drop)
        levels = updates.levels(parts, jax.tree.map(lambda leaf: leaf[None], xi))
        return config.metric(key, x[0], y, None if levels is None else levels[0, 0])

    jax.eval_shape(loss, jax.random.key(0))


def _init(parts: Parts, key: Key) -> AgentState:
    key, key_critics, key_actor, key_world_model = jax.random.split(key, 4)
    config = parts.config
    params = Learned(
        critics=jax.vmap(parts.critic.init)(jax.random.split(key_critics, config.num_critics)),
        actor=parts.actor.init(key_actor),
        world_model=parts.world_model.init(key_world_model),
    )
    optimisers = Learned(
        critics=config.critic_optimizer.init(params.critics),
        actor=config.actor_optimizer.init(params.actor),
        world_model=config.world_model_optimizer.init(params.world_model),
    )
    scale = config.gradient_scale.init(len(parts.block_sizes))
    return AgentState(params, _targets(params), optimisers, scale, key, jnp.zeros((), jnp.int32))


def _targets(params: Learned) -> Targets:
    # Copies: a donated state must not hold one buffer twice.
    return jax.tree.map(jnp.copy, Targets(params.critics, params.actor))


def _prepare(parts: Parts, state: AgentState, transitions: Transition) -> AgentState:
    params = Learned(
        critics=jax.vmap(lambda params: parts.critic.prepare(params, transitions))(state.params.critics),
        actor=parts.actor.prepare(state.params.actor, transitions),
        world_model=parts.world_model.prepare(state.params.world_model, transitions),
    )
    return state._replace(params=params, targets=_targets(params))


def _update(parts: Parts, state: AgentState, batch: Transition) -> tuple[AgentState, Scalars]:
    """World model, critics, actor, targets: one update of each, on one batch."""
    key, key_model, key_target, key_critic, key_actor = jax.random.split(state.key, 5)
    state, model_scalars = updates.update_world_model(parts, state._replace(key=key), key_model, batch)
    y = updates.target_samples(parts, state, key_target, batch)
    state, critic_scalars = updates.update_critics(parts, state, key_critic, batch, y)
    state, actor_scalars = updates.update_actor(parts, state, key_actor, batch)
    state = _follow(parts, state)
    return state._replace(step=state.step + 1), model_scalars | critic_scalars | actor_scalars


def _follow(parts: Parts, state: AgentState) -> AgentState:
    config = parts.config
    targets = Targets(
        critics=optax.incremental_update(state.params.critics, state.targets.critics, config.polyak),
        actor=optax.incremental_update(state.params.actor, state.targets.actor, config.actor_polyak),
    )
    return state._replace(targets=targets)
