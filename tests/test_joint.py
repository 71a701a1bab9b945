from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.joint import GRADIENTS, Gradient, block_sizes, check_gradient, joint_samples, sobolev_sample

S, A, N = 3, 2, 5


@pytest.fixture
def parts() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    q, r = rng.normal(size=(S, S)), rng.normal(size=(A, A))
    return {
        "q": q + q.T,
        "r": r + r.T,
        "n": rng.normal(size=(S, A)),
        "gain": rng.normal(size=(A, S)),
        "s": rng.normal(size=S),
        "a": rng.normal(size=A),
    }


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_quadratic_under_a_linear_policy(gradient: Gradient, parts: dict[str, np.ndarray], x64: None) -> None:
    """f = s'Qs + a'Ra + 2 s'Na: d_a f = 2Ra + 2N's, d_s f = 2Qs + 2Na, along a = Ks also K' d_a f"""
    q, r, n, gain, s, a = parts.values()
    d_a, d_s = 2 * r @ a + 2 * n.T @ s, 2 * q @ s + 2 * n @ a
    blocks = {
        "none": [],
        "action": [d_a],
        "state_action": [d_a, d_s],
        "closed_loop": [d_a, d_s + gain.T @ d_a],
    }[gradient]

    def f(s: Any, a: Any) -> Any:
        return s @ q @ s + a @ r @ a + 2 * s @ n @ a

    def policy(s: Any) -> Any:
        return gain @ s

    sample = sobolev_sample(f, jnp.array(s), jnp.array(a), gradient, policy)
    expected = np.concatenate([[s @ q @ s + a @ r @ a + 2 * s @ n @ a], *blocks])
    np.testing.assert_allclose(sample, expected, rtol=1e-12)
    assert sum(block_sizes(gradient, S, A)) == len(sample)


def bumpy(s: Any, a: Any) -> jax.Array:
    return jnp.sin(s[0] * a[1]) + jnp.exp(-jnp.sum(a**2)) * jnp.cos(s[1] + a[0]) + s[2] ** 3


def bent(s: jax.Array) -> jax.Array:
    return jnp.tanh(jnp.stack([s[0] * s[1], s[1] - 2 * s[2]]))


def test_central_differences(parts: dict[str, np.ndarray], x64: None, differences: Callable[..., np.ndarray]) -> None:
    s, a = parts["s"], parts["a"]
    sample = sobolev_sample(bumpy, jnp.array(s), jnp.array(a), "state_action")
    np.testing.assert_allclose(sample[0], bumpy(s, a), rtol=1e-14)
    np.testing.assert_allclose(sample[1 : 1 + A], differences(lambda a: bumpy(s, a), a), atol=1e-8)
    np.testing.assert_allclose(sample[1 + A :], differences(lambda s: bumpy(s, a), s), atol=1e-8)


def test_closed_loop_is_the_derivative_along_the_policy(
    parts: dict[str, np.ndarray], x64: None, differences: Callable[..., np.ndarray]
) -> None:
    """d_s [f(s, pi(s))] at a = pi(s); off it, a - pi(s) stays fixed."""
    s = jnp.array(parts["s"])
    on = sobolev_sample(bumpy, s, bent(s), "closed_loop", bent)
    np.testing.assert_allclose(on[1 + A :], differences(lambda s: bumpy(s, bent(s)), s), atol=1e-8)
    offset = jnp.array([0.3, -0.2])
    off = sobolev_sample(bumpy, s, bent(s) + offset, "closed_loop", bent)
    np.testing.assert_allclose(off[1 + A :], differences(lambda s: bumpy(s, bent(s) + offset), s), atol=1e-8)
    np.testing.assert_allclose(off[: 1 + A], sobolev_sample(bumpy, s, bent(s) + offset, "action"), rtol=1e-14)


def value(params: dict[str, jax.Array], s: jax.Array, a: jax.Array, xi: dict[str, jax.Array]) -> jax.Array:
    return params["w"] * xi["u"] * jnp.sum(a**2) + jnp.dot(xi["v"], s) * a[0]


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_joint_samples_share_their_noise(gradient: Gradient, parts: dict[str, np.ndarray], x64: None) -> None:
    rng = np.random.default_rng(1)
    s, a, gain = parts["s"], parts["a"], parts["gain"]
    u, v, w = rng.normal(size=N), rng.normal(size=(N, S)), 0.7
    noise = {"u": jnp.array(u), "v": jnp.array(v)}

    def policy(s: Any) -> Any:
        return gain @ s

    joint = jax.jit(lambda params, s, a, noise: joint_samples(value, params, s, a, noise, gradient, policy))
    samples = joint({"w": w}, s, a, noise)
    d_a = 2 * w * u[:, None] * a + np.stack([v @ s, np.zeros(N)], axis=1)
    d_s = v * a[0]
    blocks = {
        "none": [],
        "action": [d_a],
        "state_action": [d_a, d_s],
        "closed_loop": [d_a, d_s + d_a @ gain],
    }[gradient]
    expected = np.concatenate([(w * u * np.sum(a**2) + (v @ s) * a[0])[:, None], *blocks], axis=1)
    assert samples.shape == (N, {"none": 1, "action": 1 + A}.get(gradient, 1 + A + S))
    np.testing.assert_allclose(samples, expected, rtol=1e-12, atol=1e-14)


def test_action_is_the_default(parts: dict[str, np.ndarray]) -> None:
    noise = {"u": jnp.ones(N), "v": jnp.ones((N, S))}
    samples = joint_samples(value, {"w": 1.0}, jnp.ones(S), jnp.ones(A), noise)
    np.testing.assert_allclose(samples, np.tile([5.0, 5.0, 2.0], (N, 1)), rtol=1e-6)


def test_block_sizes() -> None:
    sizes = [block_sizes(gradient, state_size=17, action_size=6) for gradient in GRADIENTS]
    assert sizes == [(1,), (1, 6), (1, 6, 17), (1, 6, 17)]


def test_unknown_gradients() -> None:
    zero = jnp.zeros(1)
    for call in (
        lambda: check_gradient("acton"),
        lambda: block_sizes("acton", 1, 1),
        lambda: sobolev_sample(lambda s, a: s[0], zero, zero, "acton"),
    ):
        with pytest.raises(ValueError, match=r"gradient 'acton'.*'action'"):
            call()


def test_closed_loop_needs_a_policy() -> None:
    with pytest.raises(ValueError, match=r"'closed_loop'.*policy="):
        sobolev_sample(lambda s, a: jnp.sum(s * a), jnp.ones(2), jnp.ones(2), "closed_loop")


@pytest.mark.parametrize(("s", "a"), [((4, 3), (2,)), ((3,), (4, 2)), ((3,), ())])
def test_batches_and_scalars_are_refused(s: tuple[int, ...], a: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="vmap") as caught:
        sobolev_sample(lambda s, a: jnp.sum(s) * jnp.sum(a), jnp.zeros(s), jnp.zeros(a), "action")
    assert str(s) in str(caught.value)
    assert str(a) in str(caught.value)
