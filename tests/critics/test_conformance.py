"""What every critic of the registry promises, and one that is not in it, as a stranger would write it."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import critics, normalizer
from sobolev.types import Array, Critic, Key, Params, Spec, Transition

SPEC = Spec(state_size=3, action_size=2)
KEY = jax.random.key(0)
SMALL: dict[str, Any] = {"hidden_sizes": (8, 8), "noise_size": 4, "embedding_size": 5, "num_quantiles": 4}
SAMPLES = 4


def make_stranger(spec: Spec) -> Critic:
    """sin(s·W a + shift)"""

    def init(key: Key) -> Params:
        weights = jax.random.normal(key, (spec.state_size, spec.action_size))
        return {"w": weights, "state": normalizer.identity(spec.state_size)}

    def fit_normalizer(params: Params, transitions: Transition) -> Params:
        return {**params, "state": normalizer.fit(transitions.s)}

    def value(params: Params, s: Array, a: Array, xi: Array) -> Array:
        return jnp.sin(normalizer.normalize(params["state"], s) @ params["w"] @ a + xi["shift"])

    return Critic(init, fit_normalizer, lambda key: {"shift": jax.random.normal(key)}, value)


def make_small(name: str, **options: bool) -> Critic:
    factory = critics.registry.get(name)
    accepted = inspect.signature(factory).parameters
    return factory(SPEC, **{k: v for k, v in SMALL.items() if k in accepted}, **options)


@pytest.fixture(scope="module", params=[*critics.registry.names(), "stranger"])
def critic(request: pytest.FixtureRequest) -> Critic:
    return make_stranger(SPEC) if request.param == "stranger" else make_small(request.param)


@pytest.fixture(scope="module")
def params(critic: Critic) -> Params:
    return jax.jit(critic.init)(KEY)


@pytest.fixture(scope="module")
def value(critic: Critic) -> Callable[..., jax.Array]:
    return jax.jit(critic.value)


@pytest.fixture
def arguments(critic: Critic) -> tuple[Any, ...]:
    return jnp.array([0.3, -1.0, 2.0]), jnp.array([0.5, -0.2]), critic.noise(jax.random.key(1))


@pytest.fixture(scope="module")
def transitions() -> Transition:
    s, s_next = jax.random.normal(jax.random.key(2), (2, 6, 3)) * jnp.array([1.0, 5.0, 0.1]) + 2.0
    a = jax.random.uniform(jax.random.key(3), (6, 2), minval=-1.0)
    return Transition(s, a, jnp.sum(a, axis=1), jnp.ones(6), s_next)


def shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def test_init_is_a_function_of_the_key(critic: Critic, params: Params) -> None:
    again, other = critic.init(KEY), critic.init(jax.random.key(9))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, again)
    assert shapes(other) == shapes(params)
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True))


def test_noise_is_a_function_of_the_key(critic: Critic) -> None:
    noise, again, other = critic.noise(KEY), critic.noise(KEY), critic.noise(jax.random.key(9))
    jax.tree.map(np.testing.assert_array_equal, noise, again)
    assert shapes(other) == shapes(noise)


def test_value_is_a_scalar(value: Callable[..., jax.Array], params: Params, arguments: tuple[Any, ...]) -> None:
    z = value(params, *arguments)
    assert z.shape == ()
    assert z.dtype == jnp.float32


def test_value_depends_on_every_argument(
    value: Callable[..., jax.Array], params: Params, arguments: tuple[Any, ...]
) -> None:
    plain = value(params, *arguments)
    for index in range(3):
        for leaf, array in enumerate(jax.tree.leaves(arguments[index])):
            for component in range(array.size):
                leaves, tree = jax.tree.flatten(arguments[index])
                leaves[leaf] = leaves[leaf].ravel().at[component].add(0.5).reshape(array.shape)
                changed = [*arguments]
                changed[index] = jax.tree.unflatten(tree, leaves)
                assert abs(value(params, *changed) - plain) > 1e-6


def test_value_depends_on_the_parameters(
    critic: Critic, value: Callable[..., jax.Array], params: Params, arguments: tuple[Any, ...]
) -> None:
    assert value(critic.init(jax.random.key(9)), *arguments) != value(params, *arguments)


def test_compiled_is_eager(critic: Critic, params: Params, value: Callable[..., jax.Array], arguments: Any) -> None:
    np.testing.assert_allclose(critic.value(params, *arguments), value(params, *arguments), rtol=1e-5, atol=1e-6)


def test_gradients_are_finite_differences(
    critic: Critic, params: Params, arguments: tuple[Any, ...], differences: Callable[..., np.ndarray]
) -> None:
    with jax.enable_x64(True):
        wide, (s, a, xi) = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (params, arguments))
        value = jax.jit(lambda s, a: critic.value(wide, s, a, xi))
        d_s, d_a = jax.jit(jax.grad(value, argnums=(0, 1)))(s, a)
        np.testing.assert_allclose(d_s, differences(lambda s: value(s, a), s), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(d_a, differences(lambda a: value(s, a), a), rtol=1e-6, atol=1e-9)
    assert np.abs(d_a).max() > 0


def test_fit_normalizer_keeps_shapes_and_types(critic: Critic, params: Params, transitions: Transition) -> None:
    assert shapes(critic.fit_normalizer(params, transitions)) == shapes(params)


def test_second_call_compiles_nothing(critic: Critic, params: Params, arguments: tuple[Any, ...]) -> None:
    traces = []

    @jax.jit
    def value(params: Params, s: Array, a: Array, xi: Any) -> Array:
        traces.append(s.shape)
        return critic.value(params, s, a, xi)

    s, a, xi = arguments
    value(params, s, a, xi)
    value(critic.init(jax.random.key(9)), s + 1, a, critic.noise(jax.random.key(8)))
    assert traces == [(3,)]


def test_noises_are_those_of_a_set_of_samples(critic: Critic, params: Params) -> None:
    xi = critics.draw_noises(critic, KEY, SAMPLES)
    assert shapes(jax.tree.map(lambda leaf: leaf[0], xi)) == shapes(critic.noise(KEY))
    s, a = jnp.array([0.3, -1.0, 2.0]), jnp.array([0.5, -0.2])
    values = jax.vmap(critic.value, in_axes=(None, None, None, 0))(params, s, a, xi)
    assert values.shape == (SAMPLES,)
    assert len(np.unique(values)) == (SAMPLES if jax.tree.leaves(xi)[0].size else 1)


def test_levels_are_uniform(critic: Critic) -> None:
    if critic.level is None:
        return
    for xi in (
        jax.vmap(critic.noise)(jax.random.split(KEY, 4_000)),
        jax.vmap(lambda key: critics.draw_noises(critic, key, SAMPLES))(jax.random.split(KEY, 1_000)).ravel(),
    ):
        levels = np.asarray(jax.vmap(critic.level)(xi))
        assert 0 < levels.min() < levels.max() < 1
        share = np.mean(levels[:, None] < np.array([0.25, 0.5, 0.75]), axis=0)
        np.testing.assert_allclose(share, [0.25, 0.5, 0.75], atol=5 * np.sqrt(0.25 / 4_000))


def test_the_state_is_normalized(
    critic: Critic, params: Params, value: Callable[..., jax.Array], transitions: Transition
) -> None:
    xi, s, a = critic.noise(KEY), transitions.s[0], transitions.a[0]
    standard = (s - np.mean(transitions.s, axis=0)) / np.std(transitions.s, axis=0)
    found, raw = float(value(critic.fit_normalizer(params, transitions), s, a, xi)), float(value(params, s, a, xi))
    assert found == pytest.approx(float(value(params, standard, a, xi)), rel=1e-4)
    assert found != pytest.approx(raw, rel=1e-2)


def test_generative_critic_noise_size() -> None:
    assert critics.make_generative(SPEC, hidden_sizes=(4,), noise_size=7).noise(KEY).shape == (7,)
    draws = jax.vmap(critics.make_generative(SPEC, noise_size=1000).noise)(jax.random.split(KEY, 20))
    assert np.std(draws) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("name", critics.registry.names())
@pytest.mark.parametrize(("quadratic", "growth"), [(False, 1.0), (True, 100.0)])
def test_normalized_critics_are_bounded_without_quadratic_term(name: str, quadratic: bool, growth: float) -> None:
    """From |x| = 1e3 to 1e4 the first change little, and those with squares, whose weights are 1 here, by 1e2."""
    critic = make_small(name, layer_norm=True, quadratic=quadratic)
    params = jax.tree.map_with_path(
        lambda path, x: jnp.ones_like(x) if "of_squares" in jax.tree_util.keystr(path) else x, critic.init(KEY)
    )
    s, a, xi = jnp.array([0.3, -1.0, 2.0]), jnp.array([0.5, -0.2]), critic.noise(jax.random.key(1))
    near, far = (critic.value(params, scale * s, scale * a, xi) for scale in (1e3, 1e4))
    np.testing.assert_allclose(far / near, growth, rtol=0.02)


def test_fixed_quantile_critic_has_its_atoms_at_the_midpoints() -> None:
    critic = critics.make_fixed_quantile(SPEC, hidden_sizes=(8,), num_quantiles=5)
    np.testing.assert_allclose(critics.draw_noises(critic, KEY, 5), [0.1, 0.3, 0.5, 0.7, 0.9])
    with pytest.raises(ValueError, match=r"\b5\b.*\b4\b.*num_samples.*num_quantiles"):
        critics.draw_noises(critic, KEY, 4)
    params, s, a = critic.init(KEY), jnp.ones(3), jnp.zeros(2)
    within, edges = jnp.array([0.21, 0.25, 0.39]), jnp.array([0.0, 0.999, 1.0])
    value = jax.vmap(lambda tau: critic.value(params, s, a, tau))
    assert len(np.unique(value(within))) == 1
    assert len(np.unique(value(edges))) == 2


def test_implicit_quantile_critic_is_smooth_in_the_level() -> None:
    critic = critics.make_quantile(SPEC, hidden_sizes=(8,), embedding_size=5)
    params, s, a = critic.init(KEY), jnp.ones(3), jnp.zeros(2)
    tau = jnp.linspace(0.1, 0.9, 9)
    value, slope = jax.vmap(jax.value_and_grad(lambda tau: critic.value(params, s, a, tau)))(tau)
    later = jax.vmap(lambda tau: critic.value(params, s, a, tau))(tau + 1e-2)
    np.testing.assert_allclose(later - value, 1e-2 * slope, atol=5e-3)
    assert np.std(value) > 1e-3


def test_deterministic_critic_takes_no_noise() -> None:
    critic = critics.make_deterministic(SPEC, hidden_sizes=(8,))
    assert critics.draw_noises(critic, KEY, 3).shape == (3, 0)
    assert critic.level is None


def small_with(name: str, **options: Any) -> Critic:
    return critics.registry.get(name)(SPEC, hidden_sizes=(8, 8), residual=False, **options)


@pytest.mark.parametrize("name", critics.registry.names())
def test_the_input_may_enter_the_first_layer_alone(name: str) -> None:
    """The second layer's weights of state and action, and of the noise where it is an input, are then missing."""
    sizes = [
        sum(x.size for x in jax.tree.leaves(small_with(name, skip=skip).init(KEY)["network"])) for skip in (True, False)
    ]
    noise_size = small_with(name).noise(KEY).size if name == "generative" else 0
    assert sizes[0] - sizes[1] == 8 * (SPEC.state_size + SPEC.action_size + noise_size)


@pytest.mark.parametrize("name", critics.registry.names())
def test_critics_with_relu_have_no_curvature(name: str) -> None:
    s, a = jnp.array([0.3, -1.0, 2.0]), jnp.array([0.5, -0.2])
    xi = small_with(name).noise(jax.random.key(1))
    for activation, bent in (("relu", name == "quantile"), ("tanh", True)):
        critic = small_with(name, activation=activation)
        params = critic.init(KEY)
        curvature = jax.hessian(lambda a, critic=critic, params=params: critic.value(params, s, a, xi))(a)
        assert np.any(np.abs(curvature) > 1e-6) == bent, activation
