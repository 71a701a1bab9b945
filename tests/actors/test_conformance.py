"""What every actor of the registry promises, and one that is not in it, as a stranger would write it."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import actors, normalizer
from sobolev.actors.deterministic import SQUASHES, Squash
from sobolev.types import Actor, Array, Key, Params, Spec, Transition

SPEC = Spec(state_size=3, action_size=2)
KEY = jax.random.key(0)
STATE = jnp.array([0.3, -1.0, 2.0])


def make_stranger(spec: Spec) -> Actor:
    """tanh(K s), and uniform exploration."""

    def init(key: Key) -> Params:
        gain = jax.random.normal(key, (spec.action_size, spec.state_size))
        return {"k": gain, "state": normalizer.identity(spec.state_size)}

    def fit_normalizer(params: Params, transitions: Transition) -> Params:
        return {**params, "state": normalizer.fit(transitions.s)}

    def act(params: Params, key: Key, s: Array) -> Array:
        return jnp.tanh(params["k"] @ normalizer.normalize(params["state"], s))

    def explore(params: Params, key: Key, s: Array) -> Array:
        return jax.random.uniform(key, (spec.action_size,), minval=-1.0)

    return Actor(init, fit_normalizer, act, explore)


@pytest.fixture(scope="module", params=[*actors.registry.names(), "stranger"])
def actor(request: pytest.FixtureRequest) -> Actor:
    factory = make_stranger if request.param == "stranger" else actors.registry.get(request.param)
    accepted = inspect.signature(factory).parameters
    return factory(SPEC, **({"hidden_sizes": (8, 8)} if "hidden_sizes" in accepted else {}))


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


def test_fit_normalizer_keeps_shapes_and_types(actor: Actor, params: Params, transitions: Transition) -> None:
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


def test_the_state_is_normalized(
    actor: Actor, params: Params, act: Callable[..., jax.Array], transitions: Transition
) -> None:
    s = transitions.s[0]
    standard = (s - np.mean(transitions.s, axis=0)) / np.std(transitions.s, axis=0)
    found = act(actor.fit_normalizer(params, transitions), KEY, s)
    np.testing.assert_allclose(found, act(params, KEY, standard), rtol=1e-4, atol=1e-6)
    assert np.abs(found - act(params, KEY, s)).max() > 1e-5


def test_what_else_enters_the_objective_is_a_scalar(actor: Actor, params: Params) -> None:
    decision = jax.jit(partial(actors.decide, actor))(params, KEY, STATE)
    np.testing.assert_allclose(decision.a, jax.jit(actor.act)(params, KEY, STATE), rtol=1e-6)
    for value in (decision.entropy_bonus, decision.auxiliary_loss):
        assert jnp.shape(value) == ()
        assert np.isfinite(value)


def test_what_is_evaluated_ignores_the_key(actor: Actor, params: Params) -> None:
    """``mode``, or where there is none ``act``."""
    mode = jax.jit(actor.mode or actor.act)
    action = mode(params, KEY, STATE)
    np.testing.assert_array_equal(action, mode(params, jax.random.key(7), STATE))
    assert action.shape == (2,)
    assert np.abs(action).max() <= 1.0


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


@pytest.mark.parametrize(
    ("squash", "expected"), [("algebraic", [0.6, -0.8]), ("tanh", [np.tanh(0.75), np.tanh(-4 / 3)])]
)
def test_squashes(squash: Squash, expected: list[float]) -> None:
    """u / sqrt(1 + u²) of 3/4 and -4/3: of the triangle 3, 4, 5."""
    actor = actors.make_deterministic(SPEC, hidden_sizes=(8, 8), squash=squash)
    np.testing.assert_allclose(
        actor.act(with_outputs(actor.init(KEY), [0.75, -4 / 3]), KEY, STATE), expected, rtol=1e-5
    )


def test_unknown_squashes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"squash.*'algebraik'.*'algebraic'"):
        actors.make_deterministic(SPEC, squash="algebraik")


def with_outputs(params: Params, outputs: list[float]) -> Params:
    """The parameters of a network that has these outputs for every state."""
    head = [name for name, weights in params["network"].items() if weights["b"].shape == (len(outputs),)]
    assert len(head) == 1
    weights = {"w": 0.0 * params["network"][head[0]]["w"], "b": jnp.array(outputs)}
    return {**params, "network": {**params["network"], head[0]: weights}}


@pytest.mark.parametrize("squash", SQUASHES)
def test_outputs_beyond_two_are_penalized(squash: Squash) -> None:
    def actor_of(penalty: float) -> Actor:
        return actors.make_deterministic(SPEC, hidden_sizes=(8, 8), squash=squash, penalty=penalty)

    actor, free = actor_of(0.5), actor_of(0.0)
    params = actor.init(KEY)

    def loss(actor: Actor, outputs: list[float]) -> float:
        return float(actors.decide(actor, with_outputs(params, outputs), KEY, STATE).auxiliary_loss)

    assert loss(actor, [1.9, -2.0]) == 0.0
    assert loss(actor, [5.0, -4.0]) == pytest.approx(0.5 * (3.0**2 + 2.0**2))
    assert loss(free, [5.0, -4.0]) == 0.0
    with pytest.raises(ValueError, match=r"penalty.*-1\.0"):
        actor_of(-1.0)


@pytest.mark.parametrize("name", actors.registry.names())
def test_the_hidden_layers_may_be_the_usual_ones(name: str) -> None:
    """Without skips the second layer has no weights of the state; with relu, f(2s) = 2 f(s) while biases are 0."""

    def make(**options: Any) -> Actor:
        return actors.registry.get(name)(SPEC, hidden_sizes=(8, 8), residual=False, **options)

    sizes = [sum(x.size for x in jax.tree.leaves(make(skip=skip).init(KEY)["network"])) for skip in (True, False)]
    assert sizes[0] - sizes[1] == 8 * SPEC.state_size
    for activation, homogeneous in (("relu", True), ("tanh", False)):
        actor = make(activation=activation)
        # Outputs so small that both squashes are linear to rounding.
        params = jax.tree.map(lambda x: x * 1e-3 if x.shape[-1:] in ((2,), (4,)) else x, actor.init(KEY))
        mode = actor.mode or actor.act
        once, twice = mode(params, KEY, STATE), mode(params, KEY, 2.0 * STATE)
        assert np.allclose(twice, 2.0 * once, rtol=1e-3) == homogeneous
