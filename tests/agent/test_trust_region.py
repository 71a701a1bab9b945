"""The bound of what the actor follows: the nearest action within it, its derivative, and the objective with it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import actors
from sobolev.actors import nearest_within
from sobolev.agent import make_agent, updates
from sobolev.types import Spec, Transition
from tests.helpers import assert_same, host, tiny_agent

SPEC, KEY, RADIUS = Spec(3, 2), jax.random.key(1), 0.05


def by_hand(a: np.ndarray, center: np.ndarray, radius: float) -> np.ndarray:
    distance = np.sqrt(np.mean((a - center) ** 2))
    return center + min(1.0, radius / distance) * (a - center) if distance > 0 else a


@pytest.mark.parametrize("size", [1, 3])
def test_values_and_derivatives(size: int, x64: None, differences: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(size)
    for scale in (0.01, 0.5):
        a, center = scale * rng.normal(size=size), scale * rng.normal(size=size)
        np.testing.assert_allclose(nearest_within(a, center, 0.2), by_hand(a, center, 0.2), rtol=1e-12)
        derivative = jax.jacobian(nearest_within)(jnp.asarray(a), center, 0.2)
        expected = differences(lambda a, center=center: by_hand(a, center, 0.2), a)
        np.testing.assert_allclose(derivative, expected.reshape(size, size), atol=1e-7)


def test_beyond_the_radius_nothing_draws_further_out(x64: None) -> None:
    a, center = jnp.array([0.5, -0.5, 0.1]), jnp.array([0.1, 0.1, 0.1])
    outwards = (a - center) / jnp.linalg.norm(a - center)
    derivative = jax.jacobian(nearest_within)(a, center, 0.1)
    np.testing.assert_allclose(derivative @ outwards, 0.0, atol=1e-12)
    across = jnp.cross(outwards, jnp.array([0.0, 0.0, 1.0]))
    assert float(jnp.linalg.norm(derivative @ across)) > 0.1


def test_at_the_center_value_and_derivative_are_its_own() -> None:
    center = jnp.array([0.3, -0.2])
    value, derivative = nearest_within(center, center, 0.1), jax.jacobian(nearest_within)(center, center, 0.1)
    np.testing.assert_array_equal(value, center)
    np.testing.assert_array_equal(derivative, np.eye(2))


def setting(**changes: Any) -> tuple[Any, Any, Transition]:
    agent = make_agent(tiny_agent(actor_start=0, policy_delay=1, **changes), SPEC)
    key_s, key_actor = jax.random.split(jax.random.key(2))
    s = jax.random.normal(key_s, (6, 3))
    batch = Transition(s, jnp.zeros((6, 2)), jnp.zeros(6), jnp.ones(6), s)
    state = agent.init(KEY)
    moved = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(key_actor, x.shape), state.params.actor)
    return agent, state._replace(params=state.params._replace(actor=moved)), batch


@pytest.mark.parametrize("actor", ["deterministic", "squashed_gaussian"])
def test_the_critics_are_asked_within_it(actor: str) -> None:
    """A critic of value |a|² tells where."""
    agent, state, batch = setting(trust_region=RADIUS, actor=partial(actors.registry.get(actor), hidden_sizes=(4,)))
    asked = agent.parts.critic._replace(value=lambda params, s, a, xi: jnp.sum(a**2))
    parts, params = agent.parts._replace(critic=asked), state.params.actor
    _, key_act = jax.random.split(KEY)
    total, outside = 0.0, 0
    for s, key in zip(batch.s, jax.random.split(key_act, 6), strict=True):
        decision, center = actors.decide(parts.actor, params, key, s), parts.actor.act(state.targets.actor, key, s)
        a = by_hand(np.asarray(decision.a), np.asarray(center), RADIUS)
        outside += bool(np.any(a != decision.a))
        total += np.sum(a**2) + decision.entropy_bonus - decision.auxiliary_loss
    assert outside >= 3
    found = updates.actor_objective(parts, state, params, KEY, batch)
    assert float(found) == pytest.approx(float(total) / 6, rel=1e-4)


def test_a_wide_one_changes_nothing() -> None:
    """Bit for bit, as no action is further from another than 2."""
    (plain, state, batch), (wide, *_), (narrow, *_) = setting(), setting(trust_region=2.0), setting(trust_region=RADIUS)
    after, other, bounded = (
        jax.jit(partial(updates.update_actor, agent.parts))(state, KEY, batch)[0] for agent in (plain, wide, narrow)
    )
    assert_same(after, other)
    assert any(np.any(x != y) for (_, x), (_, y) in zip(host(after), host(bounded), strict=True))


def test_it_is_around_an_actor_that_lags() -> None:
    with pytest.raises(ValueError, match=r"agent\.trust_region.*agent\.actor_polyak"):
        tiny_agent(trust_region=0.1, actor_polyak=1.0)
    with pytest.raises(ValueError, match=r"agent\.trust_region must be positive, got 0"):
        tiny_agent(trust_region=0.0)
