from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.gradient_scales import Balanced, Fixed, apply_scales, block_errors, registry

SIZES = (1, 2, 3)


def constant(errors: tuple[float, float, float]) -> tuple[jax.Array, jax.Array]:
    """Samples of two states whose block errors are the ones given."""
    difference = jnp.concatenate([jnp.full(size, (e / size) ** 0.5) for e, size in zip(errors, SIZES, strict=True)])
    x = jnp.ones((2, 4, 6))
    return x, x[:, :3] + difference


def test_block_errors_are_means_over_pairs() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4, 6)), rng.normal(1.0, 2.0, size=(2, 5, 6))
    expected, start = [], 0
    for size in SIZES:
        block = slice(start, start + size)
        terms = [np.sum((x[b, i, block] - y[b, j, block]) ** 2) for b in range(2) for i in range(4) for j in range(5)]
        expected.append(np.mean(terms))
        start += size
    actual = block_errors(jnp.array(x, jnp.float32), jnp.array(y, jnp.float32), SIZES)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_balanced_scale() -> None:
    """lambda_b = min(largest, share sqrt(e_0 / e_b))"""
    rule = Balanced(share=0.3, largest=1.0)
    scales, _ = rule(rule.init(3), *constant((4.0, 16.0, 0.01)), SIZES)
    np.testing.assert_allclose(scales, [1.0, 0.15, 1.0], rtol=1e-5)
    wider = Balanced(share=0.3, largest=50.0)
    scales, _ = wider(wider.init(3), *constant((4.0, 16.0, 0.01)), SIZES)
    np.testing.assert_allclose(scales, [1.0, 0.15, 6.0], rtol=1e-5)


def test_scaled_blocks_have_their_share_of_the_error() -> None:
    rule = Balanced(share=0.5, largest=100.0)
    x, y = jax.random.normal(jax.random.key(0), (2, 8, 6)), 3.0 * jax.random.normal(jax.random.key(1), (2, 9, 6))
    scales, _ = rule(rule.init(3), x, y, SIZES)
    errors = block_errors(apply_scales(scales, x, SIZES), apply_scales(scales, y, SIZES), SIZES)
    np.testing.assert_allclose(errors[1:] / errors[0], [0.25, 0.25], rtol=1e-4)


def test_absent_gradients_have_the_largest_scale() -> None:
    rule = Balanced(largest=0.7)
    scales, _ = rule(rule.init(3), *constant((4.0, 0.0, 1e6)), SIZES)
    np.testing.assert_allclose(scales, [1.0, 0.7, 0.3 * 2e-3], rtol=1e-5)


def test_the_errors_are_running_means() -> None:
    """Of two updates, the weights 0.25 · 0.75 and 0.25."""
    rule = Balanced(share=0.2, largest=10.0, decay=0.75)
    state = rule.init(3)
    _, state = rule(state, *constant((4.0, 1.0, 8.0)), SIZES)
    scales, state = rule(state, *constant((1.0, 9.0, 8.0)), SIZES)
    e = 0.75 * np.array([4.0, 1.0, 8.0]) + np.array([1.0, 9.0, 8.0])
    np.testing.assert_allclose(scales, [1.0, 0.2 * np.sqrt(e[0] / e[1]), 0.2 * np.sqrt(e[0] / e[2])], rtol=1e-5)
    np.testing.assert_allclose(state.errors, 0.25 * e, rtol=1e-5)


def test_returns_alone() -> None:
    rule = Balanced()
    scales, state = rule(rule.init(1), jnp.zeros((2, 4, 1)), jnp.ones((2, 3, 1)), (1,))
    np.testing.assert_array_equal(scales, [1.0])
    assert state.errors.shape == (1,)


def test_fixed() -> None:
    x, y = constant((1.0, 2.0, 3.0))
    rule = Fixed(action=0.1, state=0.02)
    assert rule.init(3) == ()
    for sizes, expected in ((SIZES, [1.0, 0.1, 0.02]), ((1, 5), [1.0, 0.1]), ((1,), [1.0])):
        scales, state = rule((), x[..., : sum(sizes)], y[..., : sum(sizes)], sizes)
        np.testing.assert_allclose(scales, expected, rtol=1e-6)
        assert state == ()


def test_apply_scales() -> None:
    samples = jnp.arange(24.0).reshape(2, 2, 6)
    scaled = apply_scales(jnp.array([1.0, 10.0, 0.5]), samples, SIZES)
    np.testing.assert_allclose(scaled, np.asarray(samples) * np.array([1, 10, 10, 0.5, 0.5, 0.5]), rtol=1e-6)


@dataclass(frozen=True)
class Halving:
    """A gradient scale that no registry has: half as large at each update."""

    def init(self, num_blocks: int) -> jax.Array:
        return jnp.ones(num_blocks - 1)

    def __call__(self, state: jax.Array, x: Any, y: Any, sizes: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
        return jnp.concatenate([jnp.ones(1), state]), state / 2


@pytest.mark.parametrize("name", [*registry.names(), "unregistered"])
@pytest.mark.parametrize("sizes", [(1, 2, 3), (1, 4), (1,)])
def test_contract(name: str, sizes: tuple[int, ...]) -> None:
    rule: Any = Halving() if name == "unregistered" else registry.make(name)
    x, y = (samples[..., : sum(sizes)] for samples in constant((1.0, 2.0, 3.0)))
    state = rule.init(len(sizes))
    scales, new_state = jax.jit(rule.__call__, static_argnums=3)(state, x, y, sizes)
    assert scales.shape == (len(sizes),)
    assert scales[0] == 1.0
    assert (np.asarray(scales) >= 0).all()
    assert jax.tree.map(jnp.shape, new_state) == jax.tree.map(jnp.shape, state)
    assert apply_scales(scales, x, sizes).shape == x.shape
    assert hash(rule) == hash(type(rule)())


@pytest.mark.parametrize(
    ("name", "value"),
    [("share", -0.5), ("share", float("nan")), ("largest", -2.0), ("decay", 1.0), ("decay", -0.1)],
)
def test_bad_parameters(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}\b.*{value}"):
        Balanced(**{name: value})
