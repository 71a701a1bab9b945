"""The generic agent: one update wires any metric, world model, critic and actor together.

Everything that changes is in :class:`AgentState`; the functions are pure. The states of the batch are raw: parts scale
their own inputs. See docs/architecture.md for the picture of one update.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sobolev import balance, bellman, joint
from sobolev.balance import GradientScale
from sobolev.metrics import Metric
from sobolev.registry import unknown_name
from sobolev.types import Actor, Array, Critic, Key, Params, Spec, Transition, WorldModel

NOISE_SOURCES = ("inference", "imagination")
Scalars = dict[str, Array]


@dataclass(frozen=True)
class AgentConfig:
    """What the agent is made of, and its numbers.

    Args:
        metric: loss of predicted against target samples.
        world_model: factory ``(spec) -> WorldModel``.
        critic: factory ``(spec) -> Critic``.
        actor: factory ``(spec) -> Actor``.
        gradient: which gradients the critic is trained on, see :mod:`sobolev.joint`.
        gradient_scale: their scale against the return, see :mod:`sobolev.balance`.
        noise_source: "inference" explains the recorded transition, one s' for all target samples; "imagination" draws
            a new one from the world model for each.
        overestimation: what is done to the target critics' samples, see :mod:`sobolev.bellman`.
        drop: how many of the pooled target samples "truncate" drops.
        num_critics: critics, each with its target.
        num_samples: samples N of each critic, at the state-action pair and of each target critic.
        batch_size: transitions B per update.
        gamma: discount per environment step.
        polyak: step of the target parameters towards the learned ones, after each update.
        target_noise: standard deviation of the noise on target actions (TD3's smoothing), clipped at 2.5 times that.
        policy_delay: critic updates per actor update.
        actor_start: updates before the actor's first: an actor that follows an untrained critic soon outputs nothing
            but the bounds of the action, where its own gradient vanishes.
        critic_optimizer, actor_optimizer, world_model_optimizer: optax transformations.
    """

    metric: Metric
    world_model: Callable[[Spec], WorldModel]
    critic: Callable[[Spec], Critic]
    actor: Callable[[Spec], Actor]
    gradient: str
    gradient_scale: GradientScale
    noise_source: str
    overestimation: str
    drop: int
    num_critics: int
    num_samples: int
    batch_size: int
    gamma: float
    polyak: float
    target_noise: float
    policy_delay: int
    actor_start: int
    critic_optimizer: optax.GradientTransformation
    actor_optimizer: optax.GradientTransformation
    world_model_optimizer: optax.GradientTransformation

    def __post_init__(self) -> None:
        joint.check_gradient(self.gradient)
        bellman.overestimation.get(self.overestimation)
        if self.noise_source not in NOISE_SOURCES:
            raise unknown_name("noise source", self.noise_source, NOISE_SOURCES)
        for name in ("num_critics", "num_samples", "batch_size", "policy_delay"):
            if getattr(self, name) < 1:
                raise ValueError(f"agent.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("gamma", "polyak"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"agent.{name} must be in [0, 1], got {getattr(self, name)}")
        if self.overestimation == "truncate" and not 0 <= self.drop < self.num_critics * self.num_samples:
            raise ValueError(
                f"agent.drop must leave some of the {self.num_critics * self.num_samples} pooled target samples, "
                f"got {self.drop}"
            )


class Learned(NamedTuple):
    """Parameters of the three parts, or their optimisers' states."""

    critics: Params
    actor: Params
    world_model: Params


class Targets(NamedTuple):
    """Slowly following parameters."""

    critics: Params
    actor: Params


class AgentState(NamedTuple):
    """Everything of the agent that changes; the critics' parameters have a leading axis ``[num_critics]``."""

    params: Learned
    targets: Targets
    optimisers: Learned
    gradient_scale: Any
    key: Key
    step: Array


class Parts(NamedTuple):
    """The configuration with its factories called."""

    config: AgentConfig
    spec: Spec
    critic: Critic
    actor: Actor
    world_model: WorldModel


class Agent(NamedTuple):
    """The agent as pure functions.

    Fields:
        init: ``(key) -> AgentState``.
        prepare: ``(state, transitions[B]) -> state``: fits the parts' scales, once, before the first update.
        act: ``(params, key, s[S]) -> a[A]``, the policy; its params are ``state.params.actor``.
        explore: ``(params, key, s[S]) -> a[A]``, the policy while learning.
        fit_world_model: ``(state, transitions[B]) -> (state, scalars)``: the world model's part of an update alone.
        update: ``(state, transitions[B]) -> (state, scalars)``; scan-shaped, so that many fuse into one program.
    """

    init: Callable[[Key], AgentState]
    prepare: Callable[[AgentState, Transition], AgentState]
    act: Callable[[Params, Key, Array], Array]
    explore: Callable[[Params, Key, Array], Array]
    fit_world_model: Callable[[AgentState, Transition], tuple[AgentState, Scalars]]
    update: Callable[[AgentState, Transition], tuple[AgentState, Scalars]]


def make_agent(config: AgentConfig, spec: Spec) -> Agent:
    """The agent for states and actions of the given sizes."""
    parts = Parts(config, spec, config.critic(spec), config.actor(spec), config.world_model(spec))
    return Agent(
        init=partial(_init, parts),
        prepare=partial(_prepare, parts),
        act=parts.actor.act,
        explore=parts.actor.explore,
        fit_world_model=partial(_fit_world_model, parts),
        update=partial(_update, parts),
    )


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
    blocks = _block_sizes(parts)
    scale = config.gradient_scale.init(len(blocks))
    return AgentState(params, _targets(params), optimisers, scale, key, jnp.zeros((), jnp.int32))


def _block_sizes(parts: Parts) -> tuple[int, ...]:
    return joint.block_sizes(parts.config.gradient, parts.spec.state_size, parts.spec.action_size)


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


def _descend(
    optimizer: optax.GradientTransformation, gradient: Params, optimiser: Any, params: Params
) -> tuple[Params, Any]:
    updates, optimiser = optimizer.update(gradient, optimiser, params)
    return optax.apply_updates(params, updates), optimiser


def _fit_world_model(parts: Parts, state: AgentState, batch: Transition) -> tuple[AgentState, Scalars]:
    key, key_loss = jax.random.split(state.key)
    loss, gradient = jax.value_and_grad(parts.world_model.loss)(state.params.world_model, key_loss, batch)
    params, optimiser = _descend(
        parts.config.world_model_optimizer, gradient, state.optimisers.world_model, state.params.world_model
    )
    state = state._replace(
        params=state.params._replace(world_model=params),
        optimisers=state.optimisers._replace(world_model=optimiser),
        key=key,
    )
    return state, {"world_model_loss": loss}


def _update(parts: Parts, state: AgentState, batch: Transition) -> tuple[AgentState, Scalars]:
    """World model, critics, actor, targets: one update of each, on one batch."""
    state, world_model_scalars = _fit_world_model(parts, state, batch)
    key, key_target, key_critic, key_actor = jax.random.split(state.key, 4)
    state = state._replace(key=key)
    y = target_samples(parts, state, key_target, batch)
    state, critic_scalars = _update_critics(parts, state, key_critic, batch, y)
    state, actor_scalars = _update_actor(parts, state, key_actor, batch)
    state = _follow(parts, state)
    return state._replace(step=state.step + 1), world_model_scalars | critic_scalars | actor_scalars


def target_samples(parts: Parts, state: AgentState, key: Key, batch: Transition) -> Array:
    """Joint samples of the Bellman target, of all target critics and corrected for overestimation, ``[B, M, D]``."""
    config = parts.config
    keys = jax.random.split(key, batch.r.shape[0])
    samples = jax.vmap(partial(_target_samples_of_one, parts, state))(keys, batch)
    return jax.vmap(lambda z: bellman.overestimation.get(config.overestimation)(z, config.drop))(samples)


def _target_samples_of_one(parts: Parts, state: AgentState, key: Key, transition: Transition) -> Array:
    """``[num_critics, num_samples, D]`` for one transition."""
    config, model_params = parts.config, state.params.world_model
    key_infer, key_samples = jax.random.split(key)
    inferred = parts.world_model.infer(model_params, key_infer, transition)

    def one_sample(critic_params: Params, key: Key) -> Array:
        key_n, key_xi, key_act, key_smooth = jax.random.split(key, 4)

        def policy(s: Array) -> Array:
            a = parts.actor.act(state.targets.actor, key_act, s)
            return _smooth(a, key_smooth, config.target_noise)

        return bellman.sobolev_target(
            partial(parts.world_model.simulate, model_params),
            partial(parts.critic.value, critic_params),
            policy,
            transition.s,
            transition.a,
            inferred if config.noise_source == "inference" else parts.world_model.noise(key_n),
            parts.critic.noise(key_xi),
            config.gamma * transition.discount,
            config.gradient,
        )

    keys = jax.random.split(key_samples, (config.num_critics, config.num_samples))
    return jax.vmap(jax.vmap(one_sample, in_axes=(None, 0)))(state.targets.critics, keys)


def _smooth(a: Array, key: Key, std: float) -> Array:
    """TD3's target policy smoothing; the clip to the action range stops the gradient where it acts."""
    if std == 0:
        return a
    noise = jnp.clip(std * jax.random.normal(key, a.shape), -2.5 * std, 2.5 * std)
    return jnp.clip(a + noise, -1.0, 1.0)


def _noises(parts: Parts, key: Key, shape: tuple[int, ...]) -> Any:
    noise = parts.critic.noise
    for _ in shape:
        noise = jax.vmap(noise)
    return noise(jax.random.split(key, shape))


def _update_critics(
    parts: Parts, state: AgentState, key: Key, batch: Transition, y: Array
) -> tuple[AgentState, Scalars]:
    config, sizes = parts.config, _block_sizes(parts)
    key_policy, key_noise, key_metric = jax.random.split(key, 3)
    count = batch.r.shape[0]
    xi = _noises(parts, key_noise, (config.num_critics, count, config.num_samples))
    metric_keys = jax.random.split(key_metric, (config.num_critics, count))

    def policy(s: Array) -> Array:
        return parts.actor.act(state.targets.actor, key_policy, s)

    def predict(params: Params, s: Array, a: Array, xi: Any) -> Array:
        return joint.joint_samples(parts.critic.value, params, s, a, xi, config.gradient, policy)

    def loss(params: Params) -> tuple[Array, tuple[Array, Any, Array]]:
        x = jax.vmap(jax.vmap(predict, in_axes=(None, 0, 0, 0)), in_axes=(0, None, None, 0))(
            params, batch.s, batch.a, xi
        )
        errors_of = jax.lax.stop_gradient(jnp.moveaxis(x, 0, 1).reshape(count, -1, x.shape[-1]))
        scales, scale_state = config.gradient_scale(state.gradient_scale, errors_of, y, sizes)
        scaled_x, scaled_y = (balance.apply_scales(scales, z, sizes) for z in (x, y))
        losses = jax.vmap(jax.vmap(config.metric), in_axes=(0, 0, None))(metric_keys, scaled_x, scaled_y)
        return jnp.mean(jnp.sum(losses, axis=0)), (scales, scale_state, x)

    (value, (scales, scale_state, x)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params.critics)
    params, optimiser = _descend(config.critic_optimizer, gradient, state.optimisers.critics, state.params.critics)
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


def _update_actor(parts: Parts, state: AgentState, key: Key, batch: Transition) -> tuple[AgentState, Scalars]:
    """Ascends the mean return of all critics and samples, once every ``policy_delay`` updates."""
    config = parts.config
    key_noise, key_act = jax.random.split(key)
    count = batch.r.shape[0]
    xi = _noises(parts, key_noise, (config.num_critics, count, config.num_samples))
    act_keys = jax.random.split(key_act, count)

    def mean_return(params: Params) -> Array:
        a = jax.vmap(parts.actor.act, in_axes=(None, 0, 0))(params, act_keys, batch.s)
        values = jax.vmap(parts.critic.value, in_axes=(None, None, None, 0))
        values = jax.vmap(jax.vmap(values, in_axes=(None, 0, 0, 0)), in_axes=(0, None, None, 0))
        return jnp.mean(values(state.params.critics, batch.s, a, xi))

    def ascend(actor: tuple[Params, Any]) -> tuple[Params, Any, Array]:
        value, gradient = jax.value_and_grad(lambda params: -mean_return(params))(actor[0])
        return *_descend(config.actor_optimizer, gradient, actor[1], actor[0]), value

    def wait(actor: tuple[Params, Any]) -> tuple[Params, Any, Array]:
        return *actor, jnp.full((), jnp.nan)

    due = (state.step >= config.actor_start) & (state.step % config.policy_delay == 0)
    params, optimiser, value = jax.lax.cond(due, ascend, wait, (state.params.actor, state.optimisers.actor))
    state = state._replace(
        params=state.params._replace(actor=params), optimisers=state.optimisers._replace(actor=optimiser)
    )
    return state, {"actor_loss": value}


def _follow(parts: Parts, state: AgentState) -> AgentState:
    learned = Targets(state.params.critics, state.params.actor)
    return state._replace(targets=optax.incremental_update(learned, state.targets, parts.config.polyak))
