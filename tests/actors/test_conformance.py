"""What every actor of the registry promises; one of our own included."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import actors
from sobolev import normalizer
from sobolev.types import Actor, Array, Key, Params, Spec, Transition

SPEC = Spec(state_size=3, action_size=2)
KEY = jax.random.key(0)
STATE = jnp.array([0.3, -1.0, 2.0])


def make_linear(spec: Spec) -> Actor:
    def init(key: Key) -> Params:
        return {"k": jax.random.normal(key, (spec.action_size, spec.state_size)), "scale": normalizer.identity(spec.state_size)}

    def fit_normalizer(params: Params, transitions: Transition) -> Params:
        return {**params, "scale": normalizer.fit(transitions.s)}

    def act(params: Params, key: Key, s: Array) -> Array:
        return jnp.tanh(params["k"] @ normalizer.normalize(params["scale"], s))

    def explore(params: Params, key: Key, s: Array) -> Array:
        return jax.random.uniform(key, (spec.action_size,), minval=-1.0)

    return Actor(init, fit_normalizer, act, explore)


@pytest.fixture(scope="module", params=[*actors.registry.names(), "own"])
def actor(request: pytest.FixtureRequest, scratch: Callable[..., Any]) -> Iterator[Actor]:
    with scratch(actors.registry):
        if request.param == "own":
            actors.registry.register("own")(make_linear)
        accepted = inspect.signature(actors.registry.get(request.param)).parameters
        small = {"hidden_sizes": (8, 8)} if "hidden_sizes" in accepted else {}
        yield actors.registry.make(request.param, SPEC, **small)


@pytest.fixture(scope="module")
def params(actor: Actor) -> Params:
    return jax.jit(actor.init)(KEY)


@pytest.fixture(scope="module")
def act(actor: Actor) -> Callable[..., jax.Array]:
    return jax.jit(actor.act)


@pytest.fixture(scope="module")
def explore(actor: Actor) -> Callable[..., jax.Array]:
    return jax.jit(actor.explore)


@pytest.fixture(scope="module")
def transitions() -> Transition:
    s, s_next = jax.random.normal(jax.random.key(2), (2, 6, 3)) * jnp.array([1.0, 5.0, 0.1]) + 2.0
    a = jax.random.uniform(jax.random.key(3), (6, 2), minval=-1.0)
    return Transition(s, a, jnp.sum(a, axis=1), jnp.ones(6), s_next)


def shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def test_init_is_a_function_of_the_key(actor: Actor, params: Params) -> None:
    again, other = actor.init(KEY), actor.init(jax.random.key(9))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, again)
    assert shapes(other) == shapes(params)
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True))


def test_actions(act: Callable[..., jax.Array], explore: Callable[..., jax.Array], params: Params) -> None:
    for state in (STATE, 1e4 * STATE):
        for action in (act(params, KEY, state), explore(params, KEY, state)):
            assert action.shape == (2,)
            assert action.dtype == jnp.float32
            assert np.abs(action).max() <= 1.0


def test_same_key_same_action(act: Callable[..., jax.Array], explore: Callable[..., jax.Array], params: Params) -> None:
    for function in (act, explore):
        np.testing.assert_array_equal(function(params, KEY, STATE), function(params, KEY, STATE))


def test_action_depends_on_every_component_of_the_state(act: Callable[..., jax.Array], params: Params) -> None:
    plain = act(params, KEY, STATE)
    for component in range(3):
        assert np.abs(act(params, KEY, STATE.at[component].add(0.5)) - plain).max() > 1e-6


def test_exploration_is_random(
    explore: Callable[..., jax.Array], act: Callable[..., jax.Array], params: Params
) -> None:
    actions = np.stack([explore(params, key, STATE) for key in jax.random.split(KEY, 20)])
    assert np.abs(actions).max() <= 1.0
    assert (np.std(actions, axis=0) > 1e-3).all()
    assert np.any(np.abs(actions - act(params, KEY, STATE)) > 1e-3)


def test_compiled_is_eager(actor: Actor, params: Params, act: Callable[..., jax.Array]) -> None:
    np.testing.assert_allclose(actor.act(params, KEY, STATE), act(params, KEY, STATE), rtol=1e-5, atol=1e-7)


def test_derivative_is_finite_differences(actor: Actor, params: Params, differences: Callable[..., np.ndarray]) -> None:
    with jax.enable_x64(True):
        wide, s = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (params, STATE))
        act = jax.jit(lambda s: actor.act(wide, KEY, s))
        jacobian = jax.jit(jax.jacrev(act))(s)
        np.testing.assert_allclose(jacobian, differences(act, s), rtol=1e-6, atol=1e-9)
    assert np.abs(jacobian).max() > 0


def test_prepare_keeps_the_kind_of_the_parameters(actor: Actor, params: Params, transitions: Transition) -> None:
    assert shapes(actor.fit_normalizer(params, transitions)) == shapes(params)


def test_second_call_compiles_nothing(actor: Actor, params: Params) -> None:
    traces = []

    @jax.jit
    def act(params: Params, key: Key, s: Array) -> Array:
        traces.append(s.shape)
        return actor.act(params, key, s)

    act(params, KEY, STATE)
    act(actor.init(jax.random.key(9)), jax.random.key(8), STATE + 1)
    assert traces == [(3,)]


def test_deterministic_actor_standardises_the_state(transitions: Transition) -> None:
    actor = actors.make_deterministic(SPEC, hidden_sizes=(8, 8))
    params = actor.init(KEY)
    s = transitions.s[0]
    standard = (s - np.mean(transitions.s, axis=0)) / np.std(transitions.s, axis=0)
    prepared = actor.act(actor.fit_normalizer(params, transitions), KEY, s)
    np.testing.assert_allclose(prepared, actor.act(params, KEY, standard), rtol=1e-4, atol=1e-6)
    assert np.abs(prepared - actor.act(params, KEY, s)).max() > 1e-5


def test_deterministic_actor_ignores_the_key_and_explores_by_its_noise() -> None:
    actor = actors.make_deterministic(SPEC, hidden_sizes=(8, 8), exploration_noise=0.2)
    params = actor.init(KEY)
    action = actor.act(params, KEY, STATE)
    np.testing.assert_array_equal(action, actor.act(params, jax.random.key(5), STATE))
    explored = jax.jit(jax.vmap(lambda key: actor.explore(params, key, STATE)))(jax.random.split(KEY, 4000))
    np.testing.assert_allclose(np.mean(explored, axis=0), action, atol=0.02)
    np.testing.assert_allclose(np.std(explored, axis=0), [0.2, 0.2], rtol=0.06)
    still = actors.make_deterministic(SPEC, hidden_sizes=(8, 8), exploration_noise=0.0)
    np.testing.assert_allclose(still.explore(params, KEY, STATE), action, rtol=1e-6)


def test_deterministic_exploration_is_clipped() -> None:
    actor = actors.make_deterministic(SPEC, hidden_sizes=(8, 8), exploration_noise=50.0)
    explored = jax.jit(jax.vmap(lambda key: actor.explore(actor.init(KEY), key, STATE)))(jax.random.split(KEY, 20))
    assert np.abs(explored).max() == 1.0


def test_first_actions_are_small() -> None:
    actor = actors.make_deterministic(SPEC)
    assert np.abs(jax.jit(actor.act)(actor.init(KEY), KEY, STATE)).max() < 0.1


@pytest.mark.parametrize("squash", ["algebraic", "tanh"])
def test_deterministic_actor_pays_for_outputs_beyond_two(squash: str) -> None:
    def actor_of(penalty: float) -> Actor:
        return actors.make_deterministic(SPEC, hidden_sizes=(8, 8), squash=squash, penalty=penalty)

    actor, free = actor_of(0.5), actor_of(0.0)
    params = actor.init(KEY)
    head = [name for name, weights in params["network"].items() if weights["b"].shape == (2,)]
    assert len(head) == 1

    def loss(actor: Actor, bias: list[float]) -> float:
        weights = {"w": 0.0 * params["network"][head[0]]["w"], "b": jnp.array(bias)}
        return float(actor.auxiliary_loss({**params, "network": {**params["network"], head[0]: weights}}, KEY, STATE))

    assert loss(actor, [1.9, -2.0]) == 0.0
    assert loss(actor, [5.0, -4.0]) == pytest.approx(0.5 * (3.0**2 + 2.0**2))
    assert loss(free, [5.0, -4.0]) == 0.0
    with pytest.raises(ValueError, match="penalty must not be negative, got -1"):
        actor_of(-1.0)
