"""The returns that followed in an episode, and those that might have followed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State

from sobolev.training.job import full_precision
from sobolev.training.slopes import BatchPolicy
from sobolev.training.slopes.on_device import has_noise, redraw
from sobolev.types import Array


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
