"""The parts of one update: world model, target, critics, actor; pure functions of a batch of raw transitions."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents.agent_state import AgentState, Parts, Scalars
from sobolev import balance, bellman, joint
from sobolev.critics import draw_noises
from sobolev.metrics import mean_over_states
from sobolev.types import Array, Key, Noise, Params, Transition


def descend(
    optimizer: optax.GradientTransformation, gradient: Params, optimiser: Any, params: Params
) -> tuple[Params, Any]:
    """One step of an optimiser; the new parameters and the optimiser's new state."""
    updates, optimiser = optimizer.update(gradient, optimiser, params)
    return optax.apply_updates(params, updates), optimiser


def update_world_model(parts: Parts, state: AgentState, key: Key, batch: Transition) -> tuple[AgentState, Scalars]:
    """Descends the world model's own loss."""
    loss, gradient = jax.value_and_grad(parts.world_model.loss)(state.params.world_model, key, batch)
    params, optimiser = descend(
        parts.config.world_model_optimizer, gradient, state.optimisers.world_model, state.params.world_model
    )
    state = state._replace(
        params=state.params._replace(world_model=params),
        optimisers=state.optimisers._replace(world_model=optimiser),
    )
    return state, {"world_model_loss": loss}


def target_samples(parts: Parts, state: AgentState, key: Key, batch: Transition) -> Array:
    """Joint samples of the Bellman target, of all target critics and corrected for overestimation, ``[B, M, D]``."""
    config = parts.config
    keys = jax.random.split(key, batch.r.shape[0])
    samples = jax.vmap(partial(_target_samples_of_one, parts, state))(keys, batch)
    return jax.vmap(lambda z: bellman.overestimation.get(config.overestimation)(z, config.drop))(samples)


def _target_samples_of_one(parts: Parts, state: AgentState, key: Key, transition: Transition) -> Array:
    """``[num_critics, num_samples, D]`` for one transition."""
    config, model_params = parts.config, state.params.world_model
    key_infer, key_xi, key_samples = jax.random.split(key, 3)
    inferred = parts.world_model.infer(model_params, key_infer, transition)
    simulate: bellman.Simulate = partial(_simulate, parts, model_params)
    if _is_shared_step(parts):
        simulate = bellman.linearise(simulate, transition.s, transition.a, inferred, config.gradient)

    def one_sample(critic_params: Params, xi: Noise, key: Key) -> Array:
        key_n, key_act, key_smooth = jax.random.split(key, 3)

        def policy(s: Array) -> Array:
            a = parts.actor.act(state.targets.actor, key_act, s)
            return _smooth(a, key_smooth, config.target_noise)

        def value(s: Array, a: Array, xi: Noise) -> Array:
            bonus = parts.actor.entropy_bonus(state.targets.actor, key_act, s)
            return parts.critic.value(critic_params, s, a, xi) + bonus

        return bellman.sobolev_target(
            simulate,
            value,
            policy,
            transition.s,
            transition.a,
            inferred if config.noise_source == "inference" else parts.world_model.noise(key_n),
            xi,
            _discount(parts, transition),
            config.gradient,
        )

    xi = _noises(parts, key_xi, (config.num_critics,))
    keys = jax.random.split(key_samples, (config.num_critics, config.num_samples))
    return jax.vmap(jax.vmap(one_sample, in_axes=(None, 0, 0)))(state.targets.critics, xi, keys)


def _is_shared_step(parts: Parts) -> bool:
    """Whether one Jacobian of the step costs less than a derivative through the step for each of its samples."""
    config, inputs = parts.config, sum(parts.block_sizes[1:])
    derivatives = bellman.num_derivatives(parts.spec.state_size, inputs)
    return config.noise_source == "inference" and 0 < derivatives < config.num_critics * config.num_samples


def _simulate(parts: Parts, params: Params, s: Array, a: Array, n: Noise) -> tuple[Array, Array, Array]:
    s_next, r, c = parts.world_model.simulate(params, s, a, n)
    return s_next, r, c if parts.config.continuation == "model" else jnp.ones_like(c)


def _discount(parts: Parts, transition: Transition) -> Array:
    """The factor of the bootstrap value, without the model's c: the end is counted once."""
    config = parts.config
    if config.continuation == "data":
        return config.gamma * transition.discount
    return config.gamma * jnp.where(transition.discount > 0, transition.discount, config.gamma ** (config.n_step - 1))


def _smooth(a: Array, key: Key, std: float) -> Array:
    """TD3's target policy smoothing; the clip to the action range stops the gradient where it acts."""
    if std == 0:
        return a
    noise = jnp.clip(std * jax.random.normal(key, a.shape), -2.5 * std, 2.5 * std)
    return jnp.clip(a + noise, -1.0, 1.0)


def _noises(parts: Parts, key: Key, shape: tuple[int, ...]) -> Noise:
    """The critic's noises for ``num_samples`` samples, ``[*shape, num_samples]``."""
    draw = partial(draw_noises, parts.critic, num=parts.config.num_samples)
    for _ in shape:
        draw = jax.vmap(draw)
    return draw(jax.random.split(key, shape))


def levels(parts: Parts, xi: Noise) -> Array | None:
    """The quantile levels of noises ``xi[K, B, N]``, for critics that have them."""
    level = parts.critic.level
    return None if level is None else jax.vmap(jax.vmap(jax.vmap(level)))(xi)


def update_critics(
    parts: Parts, state: AgentState, key: Key, batch: Transition, y: Array
) -> tuple[AgentState, Scalars]:
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
        scaled_x, scaled_y = (balance.apply_scales(scales, z, sizes) for z in (x, y))
        over_critics = jax.vmap(partial(mean_over_states, config.metric), in_axes=(0, 0, None, 0))
        losses = over_critics(metric_keys, scaled_x, scaled_y, levels(parts, xi))
        return jnp.sum(losses), (scales, scale_state, x)

    (value, (scales, scale_state, x)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params.critics)
    params, optimiser = descend(config.critic_optimizer, gradient, state.optimisers.critics, state.params.critics)
    state = state._replace(
        params=state.params._replace(critics=params),
        optimisers=state.optimisers._replace(critics=optimiser),
        gradient_scale=scale_state,
    )
    return state, {"critic_loss": value, **_critic_scalars(x, y, scales, sizes)}


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
    bonus, less the actor's own loss.
    """
    config = parts.config
    key_noise, key_act = jax.random.split(key)
    count = batch.r.shape[0]
    xi = _noises(parts, key_noise, (config.num_critics, count))
    act_keys = jax.random.split(key_act, count)

    def at_batch(function: Any) -> Array:
        return jax.vmap(function, in_axes=(None, 0, 0))(params, act_keys, batch.s)

    a = at_batch(parts.actor.act)
    values = jax.vmap(parts.critic.value, in_axes=(None, None, None, 0))
    values = jax.vmap(jax.vmap(values, in_axes=(None, 0, 0, 0)), in_axes=(0, None, None, 0))
    returns = jnp.mean(values(state.params.critics, batch.s, a, xi), axis=-1)
    value = jnp.mean(returns, axis=0) if config.actor_value == "mean" else jnp.min(returns, axis=0)
    return jnp.mean(value + at_batch(parts.actor.entropy_bonus) - at_batch(parts.actor.own_loss))


def update_actor(parts: Parts, state: AgentState, key: Key, batch: Transition) -> tuple[AgentState, Scalars]:
    """Ascends ``actor_objective`` once every ``policy_delay`` updates."""
    config = parts.config

    def ascend(actor: tuple[Params, Any]) -> tuple[Params, Any, Array]:
        loss, gradient = jax.value_and_grad(lambda params: -actor_objective(parts, state, params, key, batch))(actor[0])
        return *descend(config.actor_optimizer, gradient, actor[1], actor[0]), loss

    def wait(actor: tuple[Params, Any]) -> tuple[Params, Any, Array]:
        return *actor, jnp.full((), jnp.nan)

    due = (state.step >= config.actor_start) & (state.step % config.policy_delay == 0)
    params, optimiser, loss = jax.lax.cond(due, ascend, wait, (state.params.actor, state.optimisers.actor))
    state = state._replace(
        params=state.params._replace(actor=params), optimisers=state.optimisers._replace(actor=optimiser)
    )
    return state, {"actor_loss": loss}
