"""Critic rows at the policy's action: what is imagined, what stays, and what the targets make of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import world_models
from sobolev.agent import example_batch, make_agent, steps, updates
from sobolev.agent.state import first_of
from sobolev.horizons import Fixed
from sobolev.types import Batch, Simulator, Spec, Trajectory
from tests.helpers import assert_close, assert_same, tiny_agent

F, G = np.array([[0.5, -0.2], [0.1, 0.3]]), np.array([[1.0], [-2.0]])
SPEC = Spec(
    2,
    1,
    simulator=Simulator(
        noise=lambda key: jax.random.normal(key, (2,)),
        infer=lambda key, transition: transition.s_next - F @ transition.s - G @ transition.a,
        simulate=lambda s, a, n: (F @ s + G @ a + n, jnp.sum(s * s) - a[0], jnp.ones(())),
    ),
)
KEY, ROWS = jax.random.key(1), 2


def setting(count: int = 1, **changes: Any) -> tuple[Any, Any, Batch]:
    numbers = {"on_policy_share": ROWS / 6, "world_model": world_models.make_known, "overestimation": "none"}
    agent = make_agent(tiny_agent(**{**numbers, **changes}), SPEC)
    empty = example_batch(SPEC, 6, count)
    keys = iter(jax.random.split(jax.random.key(2), 5))
    transitions = empty.steps if isinstance(empty, Trajectory) else empty
    random = jax.tree.map(lambda x: jax.random.normal(next(keys), x.shape), transitions)
    return agent, agent.init(KEY), Trajectory(random, jnp.ones((6, count), bool)) if count > 1 else random


@pytest.mark.parametrize(("n_step", "count"), [(1, 1), (3, 1), (1, 3)])
def test_the_policy_acts_and_the_model_answers(n_step: int, count: int) -> None:
    changes = {"horizon": Fixed(count, "replay")} if count > 1 else {}
    agent, state, batch = setting(count, n_step=n_step, **changes)
    found = steps.with_on_policy_rows(agent.parts, state, KEY, batch)
    key_act, key_noise = jax.random.split(KEY)
    for row, keys in enumerate(zip(jax.random.split(key_act, ROWS), jax.random.split(key_noise, ROWS), strict=True)):
        s, a, r, discount, s_next = (np.asarray(x[row]) for x in first_of(found))
        np.testing.assert_array_equal(s, first_of(batch).s[row])
        np.testing.assert_allclose(a, agent.parts.actor.act(state.params.actor, keys[0], s), rtol=1e-6)
        np.testing.assert_allclose(s_next, F @ s + G @ a + jax.random.normal(keys[1], (2,)), rtol=1e-5)
        np.testing.assert_allclose(r, np.sum(s * s) - a[0], rtol=1e-5)
        assert discount == pytest.approx(0.9 ** (n_step - 1))
    assert_same(*(jax.tree.map(lambda x: x[ROWS:], each) for each in (found, batch)))
    if isinstance(found, Trajectory):
        np.testing.assert_array_equal(found.valid[:ROWS], [[True, False, False]] * ROWS)


@pytest.mark.parametrize("count", [1, 3])
def test_targets_take_them_like_recorded_ones(count: int) -> None:
    """A critic of value s_1 + s_2: r + gamma (s'_1 + s'_2) and its derivatives, one transition ahead."""
    changes = {"horizon": Fixed(count, "replay")} if count > 1 else {}
    agent, state, batch = setting(count, gradient="state_action", **changes)
    parts = agent.parts._replace(critic=agent.parts.critic._replace(value=lambda params, s, a, xi: jnp.sum(s)))
    rows = steps.with_on_policy_rows(parts, state, KEY, batch)
    y = np.asarray(updates.target_samples(parts, state, KEY, rows))[:ROWS]
    first = jax.tree.map(lambda x: np.asarray(x[:ROWS]), first_of(rows))
    value = first.r + 0.9 * first.s_next.sum(axis=1)
    of_a, of_s = np.full((ROWS, 1), -1 + 0.9 * G.sum()), 2 * first.s + 0.9 * F.sum(axis=0)
    expected = np.concatenate([value[:, None], of_a, of_s], axis=1)
    np.testing.assert_allclose(y, np.broadcast_to(expected[:, None], y.shape), rtol=1e-4)


def test_an_update_uses_them_for_the_critics_alone() -> None:
    """The world model's loss is that of the record; the critics' is not."""
    learned = {"world_model": tiny_agent().world_model}
    (plain, state, batch), (agent, *_) = setting(on_policy_share=0.0, **learned), setting(**learned)
    (after, of_plain), (other, of_rows) = (jax.jit(each.update)(state, batch) for each in (plain, agent))
    assert_close(after.params.world_model, other.params.world_model, rtol=1e-5, atol=1e-7)
    assert float(of_plain["world_model_loss"]) == pytest.approx(float(of_rows["world_model_loss"]), rel=1e-6)
    assert float(of_plain["critic_loss"]) != pytest.approx(float(of_rows["critic_loss"]), rel=1e-2)
    assert int(of_rows["fault"]) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"on_policy_share": 1.5}, r"agent\.on_policy_share must be in \[0, 1\], got 1\.5"),
        ({"on_policy_share": 0.05}, r"agent\.on_policy_share 0\.05.*agent\.batch_size 6"),
        ({"world_model": world_models.make_recorded, "gradient": "none"}, r"cannot imagine.*on_policy_share"),
    ],
    ids=["share", "no row", "recorded"],
)
def test_what_is_no_share_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        setting(**changes)
