"""The generic agent: one update wires any metric, world model, critic and actor together.

Everything that changes is in :class:`sobolev.agent.AgentState`; the functions are pure. The states of the batch are
raw: parts normalize their own inputs. See docs/architecture.md for the picture of one update.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from sobolev.agent import diagnostics, faults, updates
from sobolev.agent.config import AgentConfig
from sobolev.agent.rewards import fitted_scale
from sobolev.agent.state import AgentParams, AgentState, OptStates, Parts, Targets, example_batch, first_of
from sobolev.types import Array, Batch, Key, Params, Scalars, Spec, Transition


class Agent(NamedTuple):
    """The agent as pure functions.

    Fields:
        parts: what it is made of.
        init: ``(key) -> AgentState``.
        fit_normalizers: ``(state, transitions[B]) -> state``: fits the parts' normalizers, once, before the first
            update.
        act: ``(params, key, s[S]) -> a[A]``, the policy as it is evaluated; its params are ``state.params.actor``.
        explore: ``(params, key, s[S]) -> a[A]``, the policy while learning.
        update: ``(state, transitions[B]) -> (state, scalars)``; scan-shaped, so that many fuse into one program. A
            horizon that looks at what was recorded takes trajectories ``[B, H]`` (``horizon.recorded_steps``). The
            scalar "fault" is an integer: 0, or the number of the first place of :data:`sobolev.agent.faults.PLACES`,
            from 1, that was not finite; the state is then of no use.
        diagnose: ``(state, key, transitions[B]) -> scalars``, see :mod:`sobolev.agent.diagnostics`.
    """

    parts: Parts
    init: Callable[[Key], AgentState]
    fit_normalizers: Callable[[AgentState, Transition], AgentState]
    act: Callable[[Params, Key, Array], Array]
    explore: Callable[[Params, Key, Array], Array]
    update: Callable[[AgentState, Batch], tuple[AgentState, Scalars]]
    diagnose: Callable[[AgentState, Key, Transition], Scalars]


def make_agent(config: AgentConfig, spec: Spec) -> Agent:
    """The agent for the task of a given specification.

    Args:
        config: its parts and numbers.
        spec: sizes of the task; its ``continuation`` is set by ``config.continuation``.

    Returns:
        The agent; its update is traced, not compiled.

    Raises:
        ValueError: parts that do not go together, with the reason.

    Example:
        >>> from sobolev import world_models
        >>> config = AgentConfig(world_model=world_models.make_recorded)
        >>> make_agent(config, Spec(state_size=3, action_size=2))
        Traceback (most recent call last):
            ...
        ValueError: gradient 'state_action' needs a world model that is differentiable in state and action; this one \
replays what was recorded: take another, or gradient 'none'
    """
    spec = spec._replace(continuation=config.continuation == "model")
    parts = Parts(config, spec, config.critic(spec), config.actor(spec), config.world_model(spec))
    agent = Agent(
        parts=parts,
        init=partial(_init, parts),
        fit_normalizers=partial(_fit_normalizers, parts),
        act=parts.actor.mode or parts.actor.act,
        explore=parts.actor.explore,
        # Inlined, so that whoever calls it compiles it with the rest; and traced once for all of them.
        update=jax.jit(partial(_update, parts), inline=True),
        diagnose=partial(diagnostics.diagnose, parts),
    )
    _check(agent)
    return agent


def _check(agent: Agent) -> None:
    """Raises a ValueError unless the parts go together; most reasons are the parts' own, as the update is traced."""
    config, spec = agent.parts.config, agent.parts.spec
    if config.gradient != "none" and not agent.parts.world_model.differentiable:
        raise ValueError(
            f"gradient {config.gradient!r} needs a world model that is differentiable in state and action; "
            "this one replays what was recorded: take another, or gradient 'none'"
        )

    def first_update(key: Key) -> tuple[AgentState, Scalars]:
        batch = example_batch(spec, config.batch_size, config.horizon.recorded_steps)
        return agent.update(agent.init(key), batch)

    jax.eval_shape(first_update, jax.random.key(0))


def _init(parts: Parts, key: Key) -> AgentState:
    key, key_critics, key_actor, key_world_model = jax.random.split(key, 4)
    config = parts.config
    params = AgentParams(
        critics=jax.vmap(parts.critic.init)(jax.random.split(key_critics, config.num_critics)),
        actor=parts.actor.init(key_actor),
        world_model=parts.world_model.init(key_world_model),
    )
    opt_states = OptStates(
        critics=config.critic_optimizer.init(params.critics),
        actor=config.actor_optimizer.init(params.actor),
        world_model=config.world_model_optimizer.init(params.world_model),
    )
    scale = config.gradient_scale.init(len(parts.block_sizes))
    reward_scale = jnp.float32(1.0 if config.reward_scale in (None, "fitted") else config.reward_scale)
    return AgentState(params, _targets(params), opt_states, scale, reward_scale, key, jnp.zeros((), jnp.int32))


def _targets(params: AgentParams) -> Targets:
    # Copies: a donated state must not hold one buffer twice.
    return jax.tree.map(jnp.copy, Targets(params.critics, params.actor))


def _fit_normalizers(parts: Parts, state: AgentState, transitions: Transition) -> AgentState:
    params = AgentParams(
        critics=jax.vmap(lambda params: parts.critic.fit_normalizer(params, transitions))(state.params.critics),
        actor=parts.actor.fit_normalizer(state.params.actor, transitions),
        world_model=parts.world_model.fit_normalizer(state.params.world_model, transitions),
    )
    state = state._replace(params=params, targets=_targets(params))
    return state._replace(reward_scale=fitted_scale(transitions.r)) if parts.config.reward_scale == "fitted" else state


def _update(parts: Parts, state: AgentState, batch: Batch) -> tuple[AgentState, Scalars]:
    """World model, critics, actor, targets: one update of each, on one batch."""
    key, key_model, key_target, key_critic, key_actor = jax.random.split(state.key, 5)
    first = first_of(batch)
    state, scalars, finite = updates.update_world_model(parts, state._replace(key=key), key_model, first)
    y = updates.target_samples(parts, state, key_target, batch)
    state, of_critics, critics_finite = updates.update_critics(parts, state, key_critic, first, y)
    state, of_actor, actor_finite = updates.update_actor(parts, state, key_actor, first)
    state = _follow(parts, state)
    finite = faults.of_batch(batch) | finite | faults.of_target(y) | critics_finite | actor_finite
    return state._replace(step=state.step + 1), scalars | of_critics | of_actor | {"fault": faults.first(finite)}


def _follow(parts: Parts, state: AgentState) -> AgentState:
    config = parts.config
    targets = Targets(
        critics=optax.incremental_update(state.params.critics, state.targets.critics, config.polyak),
        actor=optax.incremental_update(state.params.actor, state.targets.actor, config.actor_polyak),
    )
    return state._replace(targets=targets)
