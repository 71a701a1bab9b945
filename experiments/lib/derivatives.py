"""The derivatives of learned world models, trained on transitions without an agent, against true ones."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sobolev.training import Job
from sobolev.types import Array, Key, Params, Transition


class Jacobian(NamedTuple):
    """Of a step: its blocks, those of s' less the identity, ``[S, S]``, ``[S, A]``, ``[S]`` and ``[A]``."""

    next_by_state: Array
    next_by_action: Array
    reward_by_state: Array
    reward_by_action: Array


def jacobian(step: Any, s: Array, a: Array) -> Jacobian:
    """Of ``step(s, a) -> (s', r, c)``."""
    (next_s, next_a), (reward_s, reward_a) = jax.jacfwd(lambda s, a: step(s, a)[:2], argnums=(0, 1))(s, a)
    return Jacobian(next_s - jnp.eye(len(s)), next_a, reward_s, reward_a)


def learned_jacobians(job: Job, params: Params, key: Key, recorded: Transition, a: Array) -> Jacobian:
    """Of the world model in the states of recorded transitions ``[B]`` and at actions ``a[B, A]``.

    The noise is that which explains the transitions.
    """
    model = job.agent.parts.world_model

    def one(key: Key, recorded: Transition, a: Array) -> Jacobian:
        n = model.infer(params, key, recorded)
        return jacobian(lambda s, a: model.simulate(params, s, a, n), recorded.s, a)

    return jax.vmap(one)(jax.random.split(key, len(a)), recorded, a)


def fitted(job: Job, data: Transition, key: Key, updates: int, warm_up: int) -> Params:
    """The parameters of the world model after training on transitions.

    Args:
        job: has the world model, its optimizer and the size of a batch.
        data: ``[B]``.
        key: of first parameters, batches and the loss's noise.
        updates: number of them.
        warm_up: the normalizers are those of so many first transitions.
    """
    model, config = job.agent.parts.world_model, job.config.agent
    key_init, key_updates = jax.random.split(key)
    params = model.fit_normalizer(model.init(key_init), jax.tree.map(lambda leaf: leaf[:warm_up], data))

    def update(carry: tuple[Params, Any], key: Key) -> tuple[tuple[Params, Any], None]:
        params, state = carry
        key_rows, key_loss = jax.random.split(key)
        rows = jax.random.randint(key_rows, (config.batch_size,), 0, len(data.r))
        gradient = jax.grad(model.loss)(params, key_loss, jax.tree.map(lambda leaf: leaf[rows], data))
        change, state = config.world_model_optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, change), state), None

    start, keys = (params, config.world_model_optimizer.init(params)), jax.random.split(key_updates, updates)
    return jax.lax.scan(update, start, keys)[0][0]


def relative_error(found: Array, truth: Array) -> Array:
    """The root of the mean square of the difference, in units of that of the truth."""
    return jnp.sqrt(jnp.sum((found - truth) ** 2) / jnp.sum(truth**2))


def cosine(found: Array, truth: Array) -> Array:
    """Of all entries as one vector."""
    return jnp.sum(found * truth) / jnp.sqrt(jnp.sum(found**2) * jnp.sum(truth**2))
