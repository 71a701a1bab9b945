"""An optimizer on a loss that draws its own data: no agent, no replay, no learned model."""

from collections.abc import Callable
from typing import Any

import jax
import optax

from sobolev.types import Array, Key, Params

RATE = 1e-3


def fit(
    init: Callable[[Key], Params],
    loss: Callable[[Params, Params, Key], Array],
    steps: int,
    seed: int,
    optimizer_of: Callable[[optax.Schedule], optax.GradientTransformation] = optax.adam,
    polyak: float = 0.01,
) -> Params:
    """Parameters that minimize a loss which depends on target parameters, as in TD learning.

    Args:
        init: ``(key) -> params``.
        loss: ``(params, target_params, key) -> []``.
        steps: updates.
        seed: of everything random.
        optimizer_of: the optimizer for a learning rate; the rate falls to 0 along a cosine.
        polyak: step of the target parameters towards the parameters, after each update.

    Returns:
        The parameters after the last update.
    """
    optimizer = optimizer_of(optax.cosine_decay_schedule(RATE, steps))
    key_init, key = jax.random.split(jax.random.key(seed))
    params = init(key_init)

    def update(carry: Any, key: Key) -> tuple[Any, None]:
        params, target, state = carry
        change, state = optimizer.update(jax.grad(loss)(params, target, key), state)
        params = optax.apply_updates(params, change)
        return (params, optax.incremental_update(params, target, polyak), state), None

    run = jax.jit(lambda carry, keys: jax.lax.scan(update, carry, keys)[0])
    return run((params, params, optimizer.init(params)), jax.random.split(key, steps))[0]
