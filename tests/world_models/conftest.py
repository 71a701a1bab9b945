from collections.abc import Callable
from typing import Any

import jax
import optax
import pytest

from sobolev.types import Key, Params, Transition, WorldModel

Data = Callable[[Key, int], Transition]
Train = Callable[[WorldModel, Data, int], Params]


@pytest.fixture(scope="session")
def train() -> Train:
    """``train(model, data, steps)``: the normalizers are fitted, then Adam takes steps on new batches of 128."""

    def trained(model: WorldModel, data: Data, steps: int) -> Params:
        optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, steps))

        def step(state: tuple[Params, Any], key: Key) -> tuple[tuple[Params, Any], None]:
            key_data, key_loss = jax.random.split(key)
            params, opt_state = state
            slope = jax.grad(model.loss)(params, key_loss, data(key_data, 128))
            updates, opt_state = optimizer.update(slope, opt_state)
            return (optax.apply_updates(params, updates), opt_state), None

        @jax.jit
        def fit(key: Key) -> Params:
            key_init, key_data, key_steps = jax.random.split(key, 3)
            params = model.fit_normalizer(model.init(key_init), data(key_data, 2000))
            return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key_steps, steps))[0][0]

        return fit(jax.random.key(0))

    return trained
