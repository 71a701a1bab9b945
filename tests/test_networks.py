import re
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.networks import LayerNorm, SkipMLP, SplitLinear, make_state_network
from sobolev.types import Transition


def randomized(params: Any) -> Any:
    """All weights, biases, scales and offsets away from their initial values."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(0.5, 1.0, size=p.shape), jnp.float32), params)


def swish(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def split_linear(scale: float = 1.0, size: int = 4) -> hk.Transformed:
    return hk.without_apply_rng(hk.transform(lambda *inputs: SplitLinear(size, scale, name="linear")(*inputs)))


def test_split_linear_is_linear_in_the_concatenation() -> None:
    layer = split_linear()
    inputs = [jax.random.normal(jax.random.key(i), (5, size)) for i, size in enumerate((3, 1, 2))]
    params = randomized(layer.init(jax.random.key(0), *inputs))
    w, b = params["linear"]["w"], params["linear"]["b"]
    assert w.shape == (6, 4)
    np.testing.assert_allclose(
        layer.apply(params, *inputs), np.concatenate(inputs, axis=1) @ w + b, rtol=1e-4, atol=1e-5
    )


def test_split_linear_initial_weights() -> None:
    inputs = jnp.zeros(300), jnp.zeros(100)
    params = split_linear(size=64).init(jax.random.key(0), *inputs)["linear"]
    smaller = split_linear(0.01, 64).init(jax.random.key(0), *inputs)["linear"]
    assert not np.any(params["b"])
    assert np.abs(np.mean(params["w"])) < 1e-3
    assert 0.8 / 20 < np.std(params["w"]) <= 1.05 / 20
    np.testing.assert_allclose(smaller["w"], 0.01 * np.asarray(params["w"]), rtol=1e-5)


@pytest.mark.parametrize(("layer_norm", "quadratic"), [(False, False), (True, False), (True, True), (False, True)])
@pytest.mark.parametrize("residual", [False, True])
def test_skip_mlp_layer_by_layer(residual: bool, layer_norm: bool, quadratic: bool) -> None:
    """h_k = [h_{k-1} +] [norm] f(W_k [x; h_{k-1}] + b_k), output = W h + V (U x + c)² + b"""
    options: dict[str, Any] = {"residual": residual, "layer_norm": layer_norm, "quadratic": quadratic}
    network = hk.without_apply_rng(hk.transform(lambda *inputs: SkipMLP((5, 5, 5), 2, name="mlp", **options)(*inputs)))
    inputs = [jax.random.normal(jax.random.key(i), (size,)) for i, size in enumerate((3, 2))]
    params = randomized(jax.jit(network.init)(jax.random.key(0), *inputs))
    wide = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    x = np.concatenate(inputs).astype(np.float64)
    hidden = np.zeros(0)
    for k, suffix in enumerate(("", "_1", "_2")):
        linear = wide[f"mlp/split_linear{suffix}"]
        layer = swish(np.concatenate([x, hidden]) @ linear["w"] + linear["b"])
        if layer_norm:
            norm = wide[f"mlp/layer_norm{suffix}"]
            layer = (layer - layer.mean()) / np.sqrt(layer.var() + 1e-5) * norm["scale"] + norm["offset"]
        hidden = hidden + layer if residual and k else layer
    output = hidden @ wide["mlp/split_linear_3"]["w"] + wide["mlp/split_linear_3"]["b"]
    if quadratic:
        squares = wide["mlp/squares"]
        output += (x @ squares["w"] + squares["b"]) ** 2 @ wide["mlp/of_squares"]["w"]
    np.testing.assert_allclose(jax.jit(network.apply)(params, *inputs), output, rtol=2e-4, atol=1e-4)


def test_layer_norm_is_haikus(x64: None) -> None:
    """In its parameters, and up to second derivatives; also of an input that does not vary."""
    ours, theirs = (
        hk.without_apply_rng(hk.transform(lambda x, layer=layer: layer()(x)))
        for layer in (LayerNorm, lambda: hk.LayerNorm(-1, create_scale=True, create_offset=True))
    )
    x = jax.random.normal(jax.random.key(0), (5,))
    params = jax.tree.map(lambda p: p + jnp.arange(1.0, 6.0), theirs.init(jax.random.key(1), x))
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(1), x)) == jax.tree.map(jnp.shape, params)
    weights = jnp.array([1.0, -2.0, 0.5, 3.0, 0.1])
    for point in (x, jnp.ones(5)):
        for order in (lambda f: f, jax.grad, jax.hessian, lambda f: jax.grad(lambda x: jax.grad(f)(x) @ weights**2)):
            found, expected = (
                jax.jit(order(lambda x, layer=layer: jnp.sum(weights * layer.apply(params, x) ** 2)))(point)
                for layer in (ours, theirs)
            )
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-7)


def test_skip_mlp_options() -> None:
    def build(**options: Any) -> hk.Transformed:
        return hk.without_apply_rng(hk.transform(lambda x: SkipMLP((6, 4), 3, name="mlp", **options)(x)))

    x = jnp.array([0.5, -1.0])
    plain, quiet = build(), build(output_scale=0.01)
    params, small = jax.jit(plain.init)(jax.random.key(0), x), jax.jit(quiet.init)(jax.random.key(0), x)
    np.testing.assert_allclose(quiet.apply(small, x), 0.01 * plain.apply(params, x), rtol=1e-4)


def test_the_usual_perceptron() -> None:
    """h_k = max(W_k h_(k-1) + b_k, 0), output = W h + b"""
    network = hk.without_apply_rng(
        hk.transform(lambda *inputs: SkipMLP((6, 4), 3, name="mlp", skip=False, activation="relu")(*inputs))
    )
    inputs = [jax.random.normal(jax.random.key(i), (size,)) for i, size in enumerate((3, 2))]
    params = randomized(jax.jit(network.init)(jax.random.key(0), *inputs))
    hidden = np.concatenate(inputs).astype(np.float64)
    for suffix in ("", "_1"):
        linear = params[f"mlp/split_linear{suffix}"]
        hidden = np.maximum(hidden @ np.asarray(linear["w"], np.float64) + linear["b"], 0.0)
    output = hidden @ np.asarray(params["mlp/split_linear_2"]["w"], np.float64) + params["mlp/split_linear_2"]["b"]
    np.testing.assert_allclose(jax.jit(network.apply)(params, *inputs), output, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("swish", swish),
        ("tanh", np.tanh),
        ("relu", lambda x: np.maximum(x, 0)),
        ("gelu", lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    ],
)
def test_activations(name: str, formula: Any) -> None:
    network = hk.without_apply_rng(hk.transform(lambda x: SkipMLP((5,), 2, name="mlp", activation=name)(x)))
    x = np.array([0.5, -1.0, 2.0])
    params = randomized(network.init(jax.random.key(0), jnp.asarray(x)))
    first, last = (params[f"mlp/split_linear{suffix}"] for suffix in ("", "_1"))
    output = formula(x @ np.asarray(first["w"], np.float64) + first["b"]) @ last["w"] + last["b"]
    np.testing.assert_allclose(network.apply(params, jnp.asarray(x)), output, rtol=1e-4, atol=1e-5)


def test_unknown_activations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown activation 'swich'; did you mean 'swish'"):
        hk.transform(lambda x: SkipMLP((5,), 1, activation="swich")(x)).init(jax.random.key(0), jnp.zeros(2))


def test_several_inputs_count_as_concatenated() -> None:
    network = hk.without_apply_rng(hk.transform(lambda *x: SkipMLP((4,), 1, name="mlp")(*x)))
    parts = jnp.array([1.0, 2.0]), jnp.array([3.0])
    params = network.init(jax.random.key(0), *parts)
    whole = jnp.concatenate(parts)
    np.testing.assert_allclose(network.apply(params, *parts), network.apply(params, whole), rtol=1e-5)


@pytest.mark.parametrize(("hidden_sizes", "residual"), [((), False), ((4, 5), True)])
def test_bad_sizes(hidden_sizes: tuple[int, ...], residual: bool) -> None:
    with pytest.raises(ValueError, match=f"hidden_sizes.*{re.escape(str(hidden_sizes))}"):
        hk.transform(lambda x: SkipMLP(hidden_sizes, 1, residual=residual)(x)).init(jax.random.key(0), jnp.zeros(2))


def test_state_network_normalizes_the_state_alone() -> None:
    """f(s, a) = W [s; a] + b: before the fit of raw states, after it of (s - mean) / std."""
    network = make_state_network(lambda s, a: SplitLinear(4, name="linear")(s, a), 3, (2,))
    params = network.init(jax.random.key(0))
    w, b = (np.asarray(params["network"]["linear"][name], np.float64) for name in ("w", "b"))
    s, s_next = np.random.default_rng(0).normal([1.0, -20.0, 0.0], [3.0, 0.1, 5.0], size=(2, 50, 3)).astype(np.float32)
    a = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
    data = Transition(jnp.asarray(s), jnp.asarray(a), jnp.ones(50), jnp.ones(50), jnp.asarray(s_next))
    fitted = network.fit_normalizer(params, data)
    assert fitted["network"] is params["network"]
    standard = (s[0] - s.mean(axis=0, dtype=np.float64)) / s.std(axis=0, dtype=np.float64)
    for given, state in ((params, s[0]), (fitted, standard)):
        expected = np.concatenate([state, a[0]]) @ w + b
        np.testing.assert_allclose(network.apply(given, s[0], a[0]), expected, rtol=1e-3, atol=1e-3)


def test_state_network_without_other_inputs() -> None:
    network = make_state_network(lambda s: (s[0], 2 * s), 3)
    first, double = network.apply(network.init(jax.random.key(0)), jnp.array([1.0, 2.0, 3.0]))
    assert (float(first), double.tolist()) == (1.0, [2.0, 4.0, 6.0])


def test_quadratic_networks_hold_every_quadratic_function() -> None:
    """x' Q x + b' x + d for a symmetric Q: the squares along Q's eigenvectors, shifted so that they also give b."""
    rng = np.random.default_rng(0)
    root, b, x = rng.normal(size=(3, 3)), rng.normal(size=3), rng.normal(size=(20, 3))
    q, d = root + root.T, 0.7
    network = hk.without_apply_rng(hk.transform(lambda x: SkipMLP((4,), 1, quadratic=True, name="mlp")(x)[0]))
    params = jax.tree.map(jnp.zeros_like, network.init(jax.random.key(0), jnp.zeros(3)))
    eigenvalues, vectors = np.linalg.eigh(q)
    shift = vectors.T @ b / (2 * eigenvalues)
    params["mlp/squares"] = {"w": jnp.asarray(vectors), "b": jnp.asarray(shift)}
    params["mlp/of_squares"] = {"w": jnp.asarray(eigenvalues[:, None])}
    params["mlp/split_linear_1"]["b"] = jnp.array([d - eigenvalues @ shift**2])
    expected = np.einsum("ni,ij,nj->n", x, q, x) + x @ b + d
    np.testing.assert_allclose(jax.vmap(lambda x: network.apply(params, x))(x), expected, rtol=1e-4, atol=1e-4)
