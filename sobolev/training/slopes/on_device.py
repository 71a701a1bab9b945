"""True slopes of an environment on the device: all sides and draws are rows of one batch."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State

from sobolev.environments import episodes as episodes_of
from sobolev.training.slopes.base import BatchPolicy, Plan, TrueSlopes
from sobolev.types import Array, Key


def on_device(env: Env, policy: BatchPolicy, plan: Plan, key: Key) -> TrueSlopes:
    """:func:`sobolev.training.slopes.true_slopes` there; it can be traced."""
    return from_states(env, policy, plan, _visited(env, policy, plan, key))


def from_states(env: Env, policy: BatchPolicy, plan: Plan, states: State) -> TrueSlopes:
    """The slopes at environment states ``[num_states]``."""
    drawn = has_noise(states)
    plan = plan if drawn else plan._replace(num_draws=1)
    a = jnp.clip(policy(states.obs), plan.step - 1.0, 1.0 - plan.step)
    slopes = _slopes_of_draws(env, policy, plan, states, a)
    if plan.num_draws > 1:
        error = slopes.std(axis=0, ddof=1) / math.sqrt(plan.num_draws)
    else:
        error = jnp.full_like(slopes[0], jnp.nan if drawn else 0.0)
    return TrueSlopes(states.obs, a, slopes.mean(axis=0), error)


def has_noise(states: State) -> bool:
    """Whether steps from these states draw something: they hold random keys."""
    return any(_is_key(leaf) for leaf in jax.tree.leaves(states))


def _is_key(leaf: Array) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _visited(env: Env, policy: BatchPolicy, plan: Plan, key: Key) -> State:
    """The states ``[K]`` at which the slopes are taken."""
    times = jnp.asarray(plan.times)

    def step(carry: tuple, t: Array) -> tuple[tuple, None]:
        episodes, kept = carry
        choose = jax.vmap(lambda now, x, y: jax.tree.map(partial(jnp.where, now), x, y))
        kept = choose(t == times, episodes.state, kept)
        episodes, _, _ = episodes_of.step(env, episodes, policy(episodes.state.obs), plan.length)
        return (episodes, kept), None

    start = episodes_of.start(env, key, plan.num_states)
    (_, kept), _ = jax.lax.scan(step, (start, start.state), jnp.arange(plan.times[-1] + 1))
    return kept


def _slopes_of_draws(env: Env, policy: BatchPolicy, plan: Plan, states: State, a: Array) -> Array:
    """The slopes ``[draws, K, A]``; rows of the environment are ``[2, A, draws, K]``, the side first."""
    size, weights = a.shape[-1], jnp.asarray(plan.gamma ** np.arange(plan.horizon), states.reward.dtype)
    shape = (2, size, plan.num_draws, plan.num_states)
    redrawn = jax.vmap(partial(redraw, states))(jnp.arange(plan.num_draws))
    rows = jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *x.shape[2:])).reshape(-1, *x.shape[2:]), redrawn)
    sides = plan.step * jnp.stack([jnp.eye(size), -jnp.eye(size)])
    first = jnp.broadcast_to(a + sides[:, :, None, None].astype(a.dtype), (*shape, size)).reshape(-1, size)

    def step(carry: tuple, weight: Array) -> tuple[tuple, None]:
        rows, a, going_on, total = carry
        rows = jax.vmap(env.step)(rows, a)
        # Differences are added up, which are smaller than returns and lose less to rounding.
        above, below = jnp.where(going_on, rows.reward, 0.0).reshape(shape)
        going_on &= ~(rows.done > 0)
        return (rows, policy(rows.obs), going_on, total + weight * (above - below)), None

    total = jnp.zeros(shape[1:], states.reward.dtype)
    (_, _, _, total), _ = jax.lax.scan(step, (rows, first, jnp.ones(len(first), bool), total), weights)
    return jnp.moveaxis(total, 0, -1) / (2.0 * plan.step)


def redraw(states: State, draw: Array) -> State:
    """The states ``[K]`` with the same past and other noise to come, which their random keys decide."""

    def of_leaf(leaf: Array) -> Array:
        if not _is_key(leaf):
            return leaf
        return jax.vmap(lambda key: jax.random.fold_in(key, draw))(leaf.reshape(-1)).reshape(leaf.shape)

    return jax.tree.map(of_leaf, states)
