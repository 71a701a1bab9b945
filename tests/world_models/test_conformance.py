"""What every world model of the registry promises, and one that is not in it, as a stranger would write it.

Some promise less: those without parameters learn nothing, ``recorded`` cannot imagine and has no derivative, and
``deterministic`` has no noise. The sets below name them, and the tests check that too.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import world_models
from sobolev.types import Array, Key, Noise, Params, Simulator, Spec, Transition, WorldModel
from sobolev.world_models import ConditionalModel, residual_world_model

KEY = jax.random.key(0)
SMALL: dict[str, Any] = {"hidden_sizes": (8, 8)}
WITHOUT_PARAMETERS, WITHOUT_IMAGINATION, WITHOUT_NOISE = {"known", "recorded"}, {"recorded"}, {"deterministic"}

F = np.array([[0.2, -0.5, 0.1], [0.4, 0.1, -0.3], [-0.2, 0.3, 0.5]])
G = np.array([[0.5, -0.2], [1.0, 0.3], [-0.4, 0.8]])


def one_step(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
    """s' = s + tanh(F s) + G a + 0.3 n_s,  r = 10 sum(a) + s_1 s_2 + n_r"""
    r = 10.0 * jnp.sum(a) + s[0] * s[1] + n[3]
    return s + jnp.tanh(jnp.asarray(F, s.dtype) @ s) + jnp.asarray(G, s.dtype) @ a + 0.3 * n[:3], r, jnp.ones(())


def explain(key: Key, transition: Transition) -> Array:
    s_next, r, _ = one_step(transition.s, transition.a, jnp.zeros(4))
    return jnp.append((transition.s_next - s_next) / 0.3, transition.r - r)


SPEC = Spec(3, 2, simulator=Simulator(lambda key: jax.random.normal(key, (4,)), explain, one_step))


def make_stranger(spec: Spec, exact_inference: bool = True) -> WorldModel:
    """t = tanh(W x) + exp(log_std) n"""
    inputs, targets = spec.state_size + spec.action_size, spec.state_size + 1

    def init(key: Key) -> Params:
        return {"w": jax.random.normal(key, (targets, inputs)), "log_std": jnp.full(targets, -1.0)}

    def infer(params: Params, key: Key, x: Array, t: Array) -> Array:
        return (t - jnp.tanh(params["w"] @ x)) * jnp.exp(-params["log_std"])

    def loss(params: Params, key: Key, x: Array, t: Array) -> Array:
        return jnp.sum(0.5 * infer(params, key, x, t) ** 2 + params["log_std"])

    def sample(params: Params, x: Array, n: Array) -> Array:
        return jnp.tanh(params["w"] @ x) + jnp.exp(params["log_std"]) * n

    model = ConditionalModel(init, loss, lambda key: jax.random.normal(key, (targets,)), infer, sample)
    return residual_world_model(model, spec, exact_inference)


@pytest.fixture(scope="module", params=[*world_models.registry.names(), "stranger"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def make(name: str) -> Callable[[Spec], WorldModel]:
    factory = make_stranger if name == "stranger" else world_models.registry.get(name)
    small = {k: v for k, v in SMALL.items() if k in inspect.signature(factory).parameters}
    return lambda spec: factory(spec, **small)


@pytest.fixture(scope="module")
def model(make: Callable[[Spec], WorldModel]) -> WorldModel:
    return make(SPEC)


@pytest.fixture(scope="module")
def transitions() -> Transition:
    """Six transitions of the simulator, the state's components of different sizes; two of them end an episode."""
    key_s, key_a, key_n = jax.random.split(jax.random.key(2), 3)
    s = 2.0 + jax.random.normal(key_s, (6, 3)) * jnp.array([1.0, 5.0, 0.1])
    a = jax.random.uniform(key_a, (6, 2), minval=-1.0)
    s_next, r, _ = jax.vmap(one_step)(s, a, jax.random.normal(key_n, (6, 4)))
    return Transition(s, a, r, (jnp.arange(6) % 3 != 1).astype(jnp.float32), s_next)


@pytest.fixture(scope="module")
def params(model: WorldModel, transitions: Transition) -> Params:
    return model.fit_normalizer(jax.jit(model.init)(KEY), transitions)


@pytest.fixture(scope="module")
def simulate(model: WorldModel) -> Callable[..., Any]:
    return jax.jit(model.simulate)


@pytest.fixture(scope="module")
def first(transitions: Transition) -> Transition:
    return jax.tree.map(lambda leaf: leaf[0], transitions)


@pytest.fixture(scope="module")
def noise(name: str, model: WorldModel, params: Params, first: Transition) -> Noise:
    return model.infer(params, KEY, first) if name in WITHOUT_IMAGINATION else model.noise(KEY)


def shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def flat(outcome: tuple[Array, Array, Array]) -> np.ndarray:
    return np.concatenate([outcome[0], outcome[1][None]])


def test_init_is_a_function_of_the_key(name: str, model: WorldModel) -> None:
    init = jax.jit(model.init)
    params, again, other = init(KEY), init(KEY), init(jax.random.key(9))
    jax.tree.map(np.testing.assert_array_equal, params, again)
    assert shapes(other) == shapes(params)
    pairs = list(zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True))
    assert bool(pairs) == (name not in WITHOUT_PARAMETERS)
    assert any(np.any(a != b) for a, b in pairs) == (name not in WITHOUT_PARAMETERS)


def test_noise_is_a_function_of_the_key(name: str, model: WorldModel) -> None:
    if name in WITHOUT_IMAGINATION:
        with pytest.raises(ValueError, match=r"'recorded'.*'inference'"):
            jax.eval_shape(model.noise, KEY)
        return
    noise, again, other = model.noise(KEY), model.noise(KEY), model.noise(jax.random.key(9))
    jax.tree.map(np.testing.assert_array_equal, noise, again)
    assert shapes(other) == shapes(noise)


def test_simulation(
    simulate: Callable[..., Any], params: Params, first: Transition, noise: Noise, transitions: Transition
) -> None:
    s_next, r, c = simulate(params, first.s, first.a, noise)
    assert (s_next.shape, r.shape, c.shape) == ((3,), (), ())
    assert s_next.dtype == r.dtype == c.dtype == jnp.float32
    assert c == 1.0
    np.testing.assert_array_equal(flat(simulate(params, first.s, first.a, noise)), flat((s_next, r, c)))


def test_simulation_depends_on_state_and_action_where_it_is_differentiable(
    model: WorldModel, simulate: Callable[..., Any], params: Params, first: Transition, noise: Noise
) -> None:
    plain = flat(simulate(params, first.s, first.a, noise))
    for component in range(3):
        moved = simulate(params, first.s.at[component].add(0.05), first.a, noise)
        assert (np.abs(flat(moved) - plain)[jnp.arange(4) != component].max() > 1e-5) == model.differentiable
    for component in range(2):
        moved = simulate(params, first.s, first.a.at[component].add(0.5), noise)
        assert (np.abs(flat(moved) - plain).max() > 1e-5) == model.differentiable


def test_imagination_depends_on_the_noise(name: str, model: WorldModel, params: Params, first: Transition) -> None:
    if name in WITHOUT_IMAGINATION:
        pytest.skip("imagines nothing")
    imagine = jax.jit(jax.vmap(lambda key: model.simulate(params, first.s, first.a, model.noise(key))))
    s_next, r, _ = imagine(jax.random.split(KEY, 16))
    spread = np.ptp(np.append(s_next, r[:, None], axis=1), axis=0)
    assert np.all(spread > 1e-5) == (name not in WITHOUT_NOISE)
    assert np.all(spread == 0.0) == (name in WITHOUT_NOISE)


def test_loss_depends_on_all_of_the_transition(
    name: str, model: WorldModel, params: Params, transitions: Transition
) -> None:
    loss = jax.jit(model.loss)
    plain = loss(params, KEY, transitions)
    assert plain.shape == ()
    assert loss(params, KEY, transitions) == plain
    if name in WITHOUT_PARAMETERS:
        assert plain == 0.0
        return
    for field in ("s", "a", "r", "s_next"):
        array = getattr(transitions, field)
        for row in (0, 5):
            moved = transitions._replace(**{field: array.at[row].add(0.5)})
            assert abs(loss(params, KEY, moved) - plain) > 1e-5


def test_loss_has_a_slope_in_every_learned_parameter_and_in_no_normalizer(
    name: str, make: Callable[[Spec], WorldModel], transitions: Transition
) -> None:
    """With a continuation to learn, which adds parameters."""
    model = make(SPEC._replace(continuation=True))
    params = model.fit_normalizer(model.init(KEY), transitions)
    slope = jax.jit(jax.grad(model.loss))(params, KEY, transitions)
    if name in WITHOUT_PARAMETERS:
        assert not jax.tree.leaves(slope)
        return
    for part in ("model", "continuation"):
        learned = jax.tree.leaves(slope[part])
        assert learned
        assert all(np.isfinite(leaf).all() for leaf in learned)
        assert all(np.any(leaf) for leaf in learned)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves((slope["input"], slope["target"])))


def test_inferred_noise_explains_the_transition(
    name: str,
    model: WorldModel,
    simulate: Callable[..., Any],
    params: Params,
    transitions: Transition,
    first: Transition,
) -> None:
    infer = jax.jit(model.infer)
    if name not in WITHOUT_IMAGINATION:
        assert shapes(jax.eval_shape(model.noise, KEY)) == shapes(jax.eval_shape(infer, params, KEY, first))
    for row, key in enumerate(jax.random.split(KEY, 6)):
        recorded = jax.tree.map(lambda leaf, row=row: leaf[row], transitions)
        noise = infer(params, key, recorded)
        s_next, r, _ = simulate(params, recorded.s, recorded.a, noise)
        np.testing.assert_allclose(s_next, recorded.s_next, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(r, recorded.r, rtol=1e-5, atol=1e-5)


def test_derivative_at_inferred_noise(
    model: WorldModel, params: Params, first: Transition, differences: Callable[..., np.ndarray]
) -> None:
    """The derivative of simulate at fixed noise, by differences; that through the inference is 0, of a constant."""
    with jax.enable_x64(True):
        wide, step = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (params, first))
        noise = jax.jit(model.infer)(wide, KEY, step)

        @jax.jit
        def outcome(s: Array, a: Array) -> Array:
            s_next, r, _ = model.simulate(wide, s, a, noise)
            return jnp.concatenate([s_next, r[None]])

        d_s, d_a = jax.jit(jax.jacrev(outcome, argnums=(0, 1)))(step.s, step.a)
        np.testing.assert_allclose(d_s, differences(lambda s: outcome(s, step.a), step.s), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(d_a, differences(lambda a: outcome(step.s, a), step.a), rtol=1e-5, atol=1e-7)

        def reconstruction(a: Array) -> Array:
            return model.simulate(wide, step.s, a, model.infer(wide, KEY, step._replace(a=a)))[0]

        through = jax.jit(jax.jacrev(reconstruction))(step.a)
    assert (np.abs(d_a).max() > 1e-3) == (np.abs(d_s).max() > 1e-3) == model.differentiable
    np.testing.assert_allclose(through, np.zeros((3, 2)), atol=1e-12)


def test_compiled_is_eager(
    model: WorldModel, simulate: Callable[..., Any], params: Params, first: Transition, noise: Noise
) -> None:
    eager, compiled = model.simulate(params, first.s, first.a, noise), simulate(params, first.s, first.a, noise)
    np.testing.assert_allclose(flat(eager), flat(compiled), rtol=1e-5, atol=1e-5)


def test_batch_is_one_by_one(
    model: WorldModel, simulate: Callable[..., Any], params: Params, transitions: Transition
) -> None:
    infer = jax.jit(model.infer)
    keys = jax.random.split(KEY, 6)
    noises = jax.vmap(model.infer, in_axes=(None, 0, 0))(params, keys, transitions)
    batch = jax.vmap(model.simulate, in_axes=(None, None, 0, 0))(params, transitions.s[0] + 0.1, transitions.a, noises)
    for row in range(6):
        one = jax.tree.map(lambda leaf, row=row: leaf[row], transitions)
        alone = simulate(params, transitions.s[0] + 0.1, one.a, infer(params, keys[row], one))
        np.testing.assert_allclose(flat(jax.tree.map(lambda leaf, row=row: leaf[row], batch)), flat(alone), rtol=1e-4)


def test_fit_normalizer_keeps_shapes_and_types(model: WorldModel, params: Params) -> None:
    assert shapes(model.init(KEY)) == shapes(params)


def test_second_call_compiles_nothing(model: WorldModel, params: Params, first: Transition) -> None:
    traces = []

    @jax.jit
    def run(params: Params, key: Key, step: Transition) -> Any:
        traces.append(step.s.shape)
        return model.simulate(params, step.s, step.a, model.infer(params, key, step))

    run(params, KEY, first)
    run(params, jax.random.key(8), first._replace(s=first.s + 1))
    assert traces == [(3,)]


def test_learned_models_normalize_inputs_and_residual_targets(
    name: str, model: WorldModel, transitions: Transition
) -> None:
    """At first simulate(x) = (s, 0) + t(x); after the fit (s, 0) + t(z) std + mean, z the normalized x."""
    if name in WITHOUT_PARAMETERS:
        pytest.skip("learns nothing")
    raw, noise = model.init(KEY), model.noise(KEY)
    inputs = np.concatenate([transitions.s, transitions.a], axis=1)
    targets = np.concatenate([transitions.s_next - transitions.s, transitions.r[:, None]], axis=1)
    standard = jnp.asarray((inputs[0] - inputs.mean(axis=0)) / inputs.std(axis=0))
    simulate = jax.jit(model.simulate)
    t = flat(simulate(raw, standard[:3], standard[3:], noise)) - np.append(standard[:3], 0.0)
    expected = t * targets.std(axis=0) + targets.mean(axis=0) + np.append(transitions.s[0], 0.0)
    fitted = simulate(model.fit_normalizer(raw, transitions), transitions.s[0], transitions.a[0], noise)
    np.testing.assert_allclose(flat(fitted), expected, rtol=1e-4, atol=1e-4)


def test_reconstruction_without_the_remainder_is_rough(first: Transition) -> None:
    exact = world_models.make_cvae(SPEC, **SMALL)
    rough = world_models.make_cvae(SPEC, exact_inference=False, **SMALL)
    params = exact.init(KEY)
    noise, remainderless = exact.infer(params, KEY, first), rough.infer(params, KEY, first)
    np.testing.assert_allclose(noise.model, remainderless.model, rtol=1e-6)
    assert not np.any(remainderless.remainder)
    assert not np.any(exact.noise(KEY).remainder)
    s_next, r, _ = rough.simulate(params, first.s, first.a, remainderless)
    assert np.abs(s_next - first.s_next).max() > 1e-2
    assert abs(r - first.r) > 1e-2
