"""Random keys are used once: an update under JAX's own check of their reuse.

Not under the check are the loop, since it does not follow a key through a condition that passes it on, and stochastic
actors, whose entropy bonus is that of the action drawn by the same key.
"""

from functools import partial
from typing import Any

import jax
import pytest

from sobolev import critics, metrics, world_models
from sobolev.agent import example_batch, make_agent
from sobolev.horizons import Geometric
from sobolev.types import Array, Key, Spec
from tests.helpers import tiny_agent

SPEC = Spec(state_size=3, action_size=2)
SEARCH = metrics.DirectionSearch(num_directions=2, num_climbs=1, num_steps=1)
QUANTILE = partial(critics.make_quantile, hidden_sizes=(4,), embedding_size=2)
ENSEMBLE = partial(world_models.make_gaussian_ensemble, hidden_sizes=(4,), members=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": metrics.MSMMD(search=SEARCH), "gradient": "state_action", "overestimation": "double_min"},
        {"world_model": ENSEMBLE, "noise_source": "imagination", "target_noise": 0.2},
        {"critic": QUANTILE, "metric": metrics.QuantileHuber(), "gradient": "closed_loop"},
        {"horizon": Geometric(3), "target_noise": 0.2},
        {"horizon": Geometric(3, source="replay", cut=1.0)},
    ],
    ids=["max-sliced", "imagination", "quantiles", "ahead", "replay"],
)
def test_an_update_uses_no_key_twice(changes: dict[str, Any]) -> None:
    agent = make_agent(tiny_agent(actor_start=0, policy_delay=1, **changes), SPEC)

    def first_updates(key: Key) -> Any:
        state = agent.init(key)
        batch = example_batch(SPEC, 6, agent.parts.config.horizon.recorded_steps)
        for _ in range(2):
            state, scalars = agent.update(state, batch)
        return scalars

    with jax.debug_key_reuse(True):
        jax.eval_shape(jax.jit(first_updates), jax.random.key(0))
        jax.jit(first_updates).lower(jax.random.key(0))


def test_the_check_sees_a_key_that_is_used_twice() -> None:
    def twice(key: Key) -> Array:
        return jax.random.normal(key) + jax.random.uniform(key)

    with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
        jax.jit(twice).lower(jax.random.key(0))
