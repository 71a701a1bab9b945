"""The transitions of a target as the agent takes them: the model's step, its discount, the policy's action, and those
that follow where the horizon looks further ahead.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev import actors, bellman
from sobolev.agent.state import AgentState, Parts
from sobolev.types import Array, Batch, Key, Noise, Params, Simulate, Trajectory, Transition


def simulate_as_target(parts: Parts, state: AgentState) -> Simulate:
    """The world model's step as targets take it: r is scaled, and c is the model's, or 1 where the recorded end stands
    for it.
    """

    def simulate(s: Array, a: Array, n: Noise) -> tuple[Array, Array, Array]:
        s_next, r, c = parts.world_model.simulate(state.params.world_model, s, a, n)
        return s_next, state.reward_scale * r, c if parts.config.continuation == "model" else jnp.ones_like(c)

    return simulate


def discount_of(parts: Parts, transition: Transition) -> Array:
    """The factor of what follows a recorded transition, without the model's c: the end is counted once."""
    config = parts.config
    if config.continuation == "data":
        return config.gamma * transition.discount
    return config.gamma * jnp.where(transition.discount > 0, transition.discount, config.gamma ** (config.n_step - 1))


def smooth(a: Array, key: Key, std: float) -> Array:
    """TD3's target policy smoothing; the clip to the action range stops the gradient where it acts."""
    if std == 0:
        return a
    noise = jnp.clip(std * jax.random.normal(key, a.shape), -2.5 * std, 2.5 * std)
    return jnp.clip(a + noise, -1.0, 1.0)


class Explained(NamedTuple):
    """The recorded transitions after the first, ``[H - 1]``.

    Fields:
        steps: the transitions.
        valid: whether each belongs to the episode of the first.
        noise: that explains each.
    """

    steps: Transition
    valid: Array
    noise: Noise


class Later(NamedTuple):
    """What the transitions after the first are made of, ``[H - 1]``.

    Fields:
        noise: of the model's step.
        discount: of what follows, without the model's c.
        key_act, key_smooth: of the policy.
        s: the recorded state, whose value stands in the place of that which was come to; None for none.
        offset: the recorded action less the policy's there; None for none.
    """

    noise: Noise
    discount: Array
    key_act: Key
    key_smooth: Key
    s: Array | None = None
    offset: Array | None = None


def explain(parts: Parts, params: Params, key: Key, recorded: Batch) -> Explained:
    """The transitions after the first, with the noise that explains each in the world model."""
    horizon = parts.config.horizon
    if not isinstance(recorded, Trajectory) or recorded.valid.shape != (horizon.steps,):
        found = f"of {recorded.valid.shape[-1]}" if isinstance(recorded, Trajectory) else "of one: a Transition"
        raise ValueError(
            f"agent.horizon of source {horizon.source!r} needs trajectories of {horizon.steps} transitions, got {found}"
        )
    steps, valid = jax.tree.map(lambda x: x[1:], (recorded.steps, recorded.valid))
    keys = jax.random.split(key, valid.shape[0])
    return Explained(steps, valid, jax.vmap(parts.world_model.infer, in_axes=(None, 0, 0))(params, keys, steps))


def look_ahead(
    parts: Parts, state: AgentState, simulate: Simulate, discount: Array, explained: Explained | None, key: Key
) -> Simulate:
    """The target's step with those that follow it, by a horizon of its own: one path for one sample of each critic.

    Args:
        parts: their horizon has more than one step.
        state: of it, the target actor and the world model.
        simulate: the first step.
        discount: of the first step.
        explained: the recorded transitions after it; None where all are imagined.
        key: of the horizon, of the noise that is imagined, and of the policy.

    Returns:
        As :func:`sobolev.bellman.look_ahead`.
    """
    config, horizon = parts.config, parts.config.horizon
    key_horizon, key_noise, key_act, key_smooth = jax.random.split(key, 4)
    keys = partial(jax.random.split, num=horizon.steps - 1)
    if explained is None:
        discounts = jnp.full(horizon.steps - 1, config.gamma**config.n_step, discount.dtype)
        later = Later(jax.vmap(parts.world_model.noise)(keys(key_noise)), discounts, keys(key_act), keys(key_smooth))
        traces: Array | float = 1.0
    else:
        discounts = jax.vmap(partial(discount_of, parts))(explained.steps)
        later = Later(explained.noise, discounts, keys(key_act), keys(key_smooth))
        traces = explained.valid.astype(discounts.dtype)
    if explained is not None and horizon.source == "replay":
        s, a, _, _, _ = explained.steps
        offset = a - jax.vmap(partial(parts.actor.act, state.targets.actor))(later.key_act, s)
        later, traces = later._replace(s=s, offset=offset), traces * jax.vmap(horizon.trace)(offset)
    onward = partial(_onward, parts, state)
    return bellman.look_ahead(simulate, onward, later, horizon.draw(key_horizon, traces), discount)


def _onward(parts: Parts, state: AgentState, s: Array, x: Later) -> tuple[Array, Array, Array]:
    """One transition along the policy, its reward with the entropy bonus of the action."""
    if x.s is not None:
        s = x.s + (s - jax.lax.stop_gradient(s))
    decision = actors.decide(parts.actor, state.targets.actor, x.key_act, s)
    std = parts.config.target_noise
    a = smooth(decision.a, x.key_smooth, std) if x.offset is None else decision.a + x.offset
    s_next, r, c = simulate_as_target(parts, state)(s, a, x.noise)
    return s_next, r + decision.entropy_bonus, x.discount * c
