"""The parts of one update: world model, target, critics, actor; pure functions of a batch of raw transitions."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sobolev import actors, bellman, gradient_scales, joint
from sobolev.agent import steps
from sobolev.agent.faults import Finite, all_finite
from sobolev.agent.state import AgentState, Parts, first_of
from sobolev.control_flow import update_where
from sobolev.critics import draw_noises
from sobolev.linearise import linearise, num_derivatives
from sobolev.types import Array, Batch, Key, Noise, Params, Scalars, Transition


class Descent(NamedTuple):
    """One step of an optimizer.

    Fields:
        params, opt_state: the new ones.
        loss, aux: at the old parameters.
        finite: whether the step and the optimizer's state, and so the gradient, are finite, ``[]``.
    """

    params: Params
    opt_state: Any
    loss: Array
    aux: Any
    finite: Array


def descend(
    optimizer: optax.GradientTransformation, loss: Callable[[Params], tuple[Array, Any]], params: Params, opt_state: Any
) -> Descent:
    """One step of an optimizer on ``loss(params) -> (value, aux)``."""
    (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(params)
    changes, opt_state = optimizer.update(gradient, opt_state, params)
    finite = all_finite((changes, opt_state))
    return Descent(optax.apply_updates(params, changes), opt_state, value, aux, finite)


def update_world_model(
    parts: Parts, state: AgentState, key: Key, batch: Transition
) -> tuple[AgentState, Scalars, Finite]:
    """Descends the world model's own loss."""
    found = descend(
        parts.config.world_model_optimizer,
        lambda params: (parts.world_model.loss(params, key, batch), ()),
        state.params.world_model,
        state.opt_states.world_model,
    )
    finite = {"world model's loss": jnp.isfinite(found.loss), "world model's gradient": found.finite}
    return state.with_part("world_model", found.params, found.opt_state), {"world_model_loss": found.loss}, finite


def target_samples(parts: Parts, state: AgentState, key: Key, batch: Batch) -> Array:
    """Joint samples of the Bellman target, of all target critics and corrected for overestimation, ``[B, M, D]``."""
    keys = jax.random.split(key, first_of(batch).r.shape[0])
    samples = jax.vmap(partial(_target_samples_of_one, parts, state))(keys, batch)
    return jax.vmap(parts.config.correction)(samples)


def _target_samples_of_one(parts: Parts, state: AgentState, key: Key, recorded: Batch) -> Array:
    """``[num_critics, num_samples, D]`` for one transition, or for the trajectory that begins with it."""
    config, model_params, transition = parts.config, state.params.world_model, first_of(recorded)
    explained, is_ahead, is_set = None, config.horizon.steps > 1, parts.critic.noises is not None
    if config.horizon.recorded_steps > 1:
        key, key_explain = jax.random.split(key)
        explained = steps.explain(parts, model_params, key_explain, recorded)
    key_infer, key_xi, key_samples = jax.random.split(key, 3)
    inferred = parts.world_model.infer(model_params, key_infer, transition)
    simulate, discount = steps.simulate_as_target(parts, state), steps.discount_of(parts, transition)
    if config.noise_source == "inference" and _is_cheaper_once(parts, config.num_critics * config.num_samples):
        simulate = linearise(simulate, transition.s, transition.a, inferred, config.gradient)

    def one_sample(critic_params: Params, xi: Noise, key: Key) -> Array:
        key_n, key_act, key_smooth, *key_ahead = jax.random.split(key, 4 if is_ahead else 3)
        n = inferred if config.noise_source == "inference" else parts.world_model.noise(key_n)
        step, factor = simulate, discount
        if is_ahead:
            step = steps.look_ahead(parts, state, simulate, discount, explained, *key_ahead)
            factor = jnp.ones_like(discount)
            if _is_cheaper_once(parts, config.num_critics * (config.num_samples if is_set else 1)):
                step = linearise(step, transition.s, transition.a, n, config.gradient)

        def policy(s: Array) -> Array:
            a = parts.actor.act(state.targets.actor, key_act, s)
            return steps.smooth(a, key_smooth, config.target_noise)

        def value(s: Array, a: Array, xi: Noise) -> Array:
            bonus = actors.decide(parts.actor, state.targets.actor, key_act, s).entropy_bonus
            return parts.critic.value(critic_params, s, a, xi) + bonus

        return bellman.sobolev_target(step, value, policy, transition.s, transition.a, n, xi, factor, config.gradient)

    xi = _noises(parts, key_xi, (config.num_critics,))
    if is_set:
        # A set of atoms is one distribution: that of one next action, at which one network gives them all.
        one_of_set = partial(one_sample, key=key_samples)
        return jax.vmap(jax.vmap(one_of_set, in_axes=(None, 0)))(state.targets.critics, xi)
    # Sample i of every critic looks ahead along path i: a minimum over critics is not one over paths.
    shape, of_critics = ((config.num_samples,), None) if is_ahead else ((config.num_critics, config.num_samples), 0)
    keys = jax.random.split(key_samples, shape)
    over_samples = jax.vmap(one_sample, in_axes=(None, 0, 0))
    return jax.vmap(over_samples, in_axes=(0, 0, of_critics))(state.targets.critics, xi, keys)


def _is_cheaper_once(parts: Parts, num_samples: int) -> bool:
    """Whether one Jacobian of a step costs less than a derivative through it for each sample that shares it."""
    derivatives = num_derivatives(parts.spec.state_size, sum(parts.block_sizes[1:]))
    return 0 < derivatives < num_samples


def _noises(parts: Parts, key: Key, shape: tuple[int, ...]) -> Noise:
    """The critic's noises for ``num_samples`` samples, ``[*shape, num_samples]``."""
    draw = partial(draw_noises, parts.critic, num=parts.config.num_samples)
    for _ in shape:
        draw = jax.vmap(draw)
    return draw(jax.random.split(key, shape))


def _levels(parts: Parts, xi: Noise) -> Array | None:
    """The quantile levels of noises ``xi[K, B, N]``, for critics that have them."""
    level = parts.critic.level
    return None if level is None else jax.vmap(jax.vmap(jax.vmap(level)))(xi)


def update_critics(
    parts: Parts, state: AgentState, key: Key, batch: Transition, y: Array
) -> tuple[AgentState, Scalars, Finite]:
    """Descends the metric between each critic's joint samples and the target's, ``y[B, M, D]``."""
    config, sizes = parts.config, parts.block_sizes
    key_policy, key_noise, key_metric = jax.random.split(key, 3)
    count = batch.r.shape[0]
    xi = _noises(parts, key_noise, (config.num_critics, count))
    metric_keys = jax.random.split(key_metric, (config.num_critics, count))

    def policy(s: Array) -> Array:
        return parts.actor.act(state.targets.actor, key_policy, s)

    def predict(params: Params, s: Array, a: Array, xi: Noise) -> Array:
        return joint.joint_samples(parts.critic.value, params, s, a, xi, config.gradient, policy)

    def loss(params: Params) -> tuple[Array, tuple[Array, Any, Array]]:
        x = jax.vmap(jax.vmap(predict, in_axes=(None, 0, 0, 0)), in_axes=(0, None, None, 0))(
            params, batch.s, batch.a, xi
        )
        errors_of = jax.lax.stop_gradient(jnp.moveaxis(x, 0, 1).reshape(count, -1, x.shape[-1]))
        scales, scale_state = config.gradient_scale(state.gradient_scale, errors_of, y, sizes)
        scaled_x, scaled_y = (gradient_scales.apply_scales(scales, z, sizes) for z in (x, y))
        over_critics = jax.vmap(config.metric.over_states, in_axes=(0, 0, None, 0))
        losses = over_critics(metric_keys, scaled_x, scaled_y, _levels(parts, xi))
        return jnp.sum(losses), (scales, scale_state, x)

    found = descend(config.critic_optimizer, loss, state.params.critics, state.opt_states.critics)
    scales, scale_state, x = found.aux
    state = state.with_part("critics", found.params, found.opt_state)._replace(gradient_scale=scale_state)
    finite = {"critics' loss": jnp.isfinite(found.loss), "critics' gradient": found.finite & all_finite(scale_state)}
    scalars = _critic_scalars(x / state.reward_scale, y / state.reward_scale, scales, sizes)
    return state, {"critic_loss": found.loss, **scalars}, finite


def _critic_scalars(x: Array, y: Array, scales: Array, sizes: tuple[int, ...]) -> Scalars:
    names = ("return", "action_gradient", "state_gradient")[: len(sizes)]
    flat = x.reshape(-1, x.shape[-1])
    scalars = {
        "critic_mean": jnp.mean(x[..., 0]),
        "critic_std": jnp.mean(jnp.std(x[..., 0], axis=2)),
        "target_mean": jnp.mean(y[..., 0]),
        "target_std": jnp.mean(jnp.std(y[..., 0], axis=1)),
    }
    start = 1
    for name, size, scale in zip(names[1:], sizes[1:], scales[1:], strict=True):
        block = slice(start, start + size)
        scalars[f"{name}_scale"] = scale
        scalars[f"{name}_norm"] = jnp.sqrt(jnp.mean(jnp.sum(flat[:, block] ** 2, axis=-1)))
        scalars[f"{name}_target_norm"] = jnp.sqrt(jnp.mean(jnp.sum(y[..., block] ** 2, axis=-1)))
        start += size
    return scalars


def actor_objective(parts: Parts, state: AgentState, params: Params, key: Key, batch: Transition) -> Array:
    """What the actor ascends, averaged over the batch: the critics' mean return (or the least critic's), the entropy
    bonus, less the actor's auxiliary loss.
    """
    config = parts.config
    key_noise, key_act = jax.random.split(key)
    count = batch.r.shape[0]
    xi = _noises(parts, key_noise, (config.num_critics, count))
    keys = jax.random.split(key_act, count)
    decisions = jax.vmap(partial(actors.decide, parts.actor, params))(keys, batch.s)
    values = jax.vmap(parts.critic.value, in_axes=(None, None, None, 0))
    values = jax.vmap(jax.vmap(values, in_axes=(None, 0, 0, 0)), in_axes=(0, None, None, 0))
    returns = jnp.mean(values(state.params.critics, batch.s, decisions.a, xi), axis=-1)
    value = jnp.mean(returns, axis=0) if config.actor_value == "mean" else jnp.min(returns, axis=0)
    return jnp.mean(value + decisions.entropy_bonus - decisions.auxiliary_loss)


def update_actor(parts: Parts, state: AgentState, key: Key, batch: Transition) -> tuple[AgentState, Scalars, Finite]:
    """Ascends ``actor_objective`` once every ``policy_delay`` updates; elsewhere the loss is nan."""
    config = parts.config

    def loss(params: Params) -> tuple[Array, tuple[()]]:
        return -actor_objective(parts, state, params, key, batch), ()

    def ascend(waiting: Descent) -> Descent:
        return descend(config.actor_optimizer, loss, waiting.params, waiting.opt_state)

    due = (state.step >= config.actor_start) & (state.step % config.policy_delay == 0)
    waiting = Descent(state.params.actor, state.opt_states.actor, jnp.full((), jnp.nan), (), jnp.array(True))
    found = update_where(due, ascend, waiting)
    finite = {"actor's loss": jnp.isfinite(found.loss) | ~due, "actor's gradient": found.finite}
    return state.with_part("actor", found.params, found.opt_state), {"actor_loss": found.loss}, finite
