"""A world model that is unrolled in its loss: what of the update it changes, and what it does not."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import world_models
from sobolev.agent import make_agent, updates
from sobolev.agent.state import example_batch
from sobolev.horizons import Fixed
from sobolev.types import Spec, Trajectory
from tests.helpers import assert_same, changed, tiny_agent

SPEC, KEY = Spec(3, 2), jax.random.key(1)


def batch(steps: int) -> Trajectory:
    trajectories = example_batch(SPEC, 6, steps)
    assert isinstance(trajectories, Trajectory)
    key = jax.random.key(2)
    random = jax.tree.map(lambda x: jax.random.normal(jax.random.fold_in(key, x.ndim), x.shape), trajectories.steps)
    return Trajectory(random, jnp.ones((6, steps), bool))


def test_the_loss_is_the_models_own_and_the_unrolled() -> None:
    agent = make_agent(tiny_agent(model_steps=3, gamma=0.9, n_step=2), SPEC)
    model, trajectories = agent.parts.world_model, batch(3)
    params = model.init(KEY)
    found = updates.model_loss(agent.parts, params, KEY, trajectories)
    key, key_unroll = jax.random.split(KEY)
    assert model.unrolled_loss is not None
    each = [
        model.unrolled_loss(params, one, jax.tree.map(lambda x, b=b: x[b], trajectories), 0.81)
        for b, one in enumerate(jax.random.split(key_unroll, 6))
    ]
    own = model.loss(params, key, trajectories.first)
    assert float(found) == pytest.approx(float(own) + np.mean(each), rel=1e-5)
    assert np.mean(each) > 0.1


def test_the_update_of_the_rest_takes_first_transitions_alone() -> None:
    plain, unrolled = (make_agent(tiny_agent(model_steps=steps), SPEC) for steps in (1, 3))
    state, trajectories = plain.init(KEY), batch(3)
    samples = [
        updates.target_samples(agent.parts, state, KEY, of)
        for agent, of in ((plain, trajectories.first), (unrolled, trajectories))
    ]
    assert_same(*samples)
    after, other = (
        jax.jit(agent.update)(state, of)[0] for agent, of in ((plain, trajectories.first), (unrolled, trajectories))
    )
    moved = changed(after.params, other.params)
    assert any(yes for path, yes in moved.items() if "world_model" in path)


def test_a_horizon_takes_its_own_number_of_transitions() -> None:
    config = partial(tiny_agent, horizon=Fixed(2, "replay"))
    short, long = (make_agent(config(model_steps=steps), SPEC) for steps in (1, 3))
    assert long.parts.config.recorded_steps == 3
    state, trajectories = short.init(KEY), batch(3)
    cut = jax.tree.map(lambda x: x[:, :2], trajectories)
    assert_same(
        updates.target_samples(short.parts, state, KEY, cut),
        updates.target_samples(long.parts, state, KEY, trajectories),
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"world_model": partial(world_models.make_flow, hidden_sizes=(4,))}, r"agent\.model_steps 3.*'cvae'"),
        ({"world_model": world_models.make_recorded, "gradient": "none"}, r"agent\.model_steps 3.*'cvae'"),
        ({"model_steps": 0}, r"agent\.model_steps must be .*got 0"),
    ],
    ids=["flow", "recorded", "none"],
)
def test_what_cannot_be_unrolled_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_agent(tiny_agent(**{"model_steps": 3, **changes}), SPEC)


def test_transitions_without_those_that_follow_are_refused() -> None:
    agent = make_agent(tiny_agent(model_steps=3), SPEC)
    state = agent.init(KEY)
    for of, found in ((batch(3).first, "of one"), (batch(2), "of 2")):
        with pytest.raises(ValueError, match=rf"agent\.model_steps.*3 transitions.*{found}"):
            updates.update_world_model(agent.parts, state, KEY, of)
