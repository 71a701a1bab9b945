from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.bellman import sobolev_target, truncate
from sobolev.joint import GRADIENTS, Gradient

S, A, GAMMA, XI = 3, 2, 0.9, 0.4
RNG = np.random.default_rng(0)
WORLD = {
    "model": RNG.normal(size=(S, S + A)),
    "reward": RNG.normal(size=S + A),
    "continuation": RNG.normal(size=S + A),
    "actor": RNG.normal(size=(A, S)),
    "critic": RNG.normal(size=S + A),
}
STATE, ACTION, NOISE = RNG.normal(size=S), RNG.normal(size=A), RNG.normal(size=S)


def target(world: Any, s: Any, a: Any, xi: Any, discount: Any, gradient: Gradient) -> jax.Array:
    """s' = tanh(F [s; a] + n), r = sin(w·[s; a]), c = sigmoid(k·[s; a]), pi = tanh(K s), Z = cos(v·[s; a] + xi)"""

    def simulate(s: Any, a: Any, n: Any) -> tuple[Any, Any, Any]:
        x = jnp.concatenate([s, a])
        return jnp.tanh(world["model"] @ x + n), jnp.sin(world["reward"] @ x), jax.nn.sigmoid(world["continuation"] @ x)

    def value(s: Any, a: Any, xi: Any) -> Any:
        return jnp.cos(world["critic"] @ jnp.concatenate([s, a]) + xi)

    return sobolev_target(simulate, value, lambda s: jnp.tanh(world["actor"] @ s), s, a, NOISE, xi, discount, gradient)


def by_hand(s: np.ndarray, a: np.ndarray) -> np.ndarray:
    """y = r + gamma c Z(s', pi(s'))"""
    x = np.concatenate([s, a])
    s_next = np.tanh(WORLD["model"] @ x + NOISE)
    x_next = np.concatenate([s_next, np.tanh(WORLD["actor"] @ s_next)])
    c = 1 / (1 + np.exp(-WORLD["continuation"] @ x))
    return np.sin(WORLD["reward"] @ x) + GAMMA * c * np.cos(WORLD["critic"] @ x_next + XI)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_gradients_are_those_of_the_target(
    gradient: Gradient, x64: None, differences: Callable[..., np.ndarray]
) -> None:
    """Of y above, written in numpy, by central differences; "closed_loop" holds a - pi(s) fixed."""
    offset = ACTION - np.tanh(WORLD["actor"] @ STATE)
    d_a = differences(lambda a: by_hand(STATE, a), ACTION)
    d_s = differences(lambda s: by_hand(s, ACTION), STATE)
    along = differences(lambda s: by_hand(s, np.tanh(WORLD["actor"] @ s) + offset), STATE)
    blocks = {"none": [], "action": [d_a], "state_action": [d_a, d_s], "closed_loop": [d_a, along]}[gradient]
    found = target(WORLD, STATE, ACTION, XI, GAMMA, gradient)
    np.testing.assert_allclose(found, np.concatenate([[by_hand(STATE, ACTION)], *blocks]), atol=1e-8)


def test_action_is_the_default() -> None:
    zero, one = jnp.zeros(1), jnp.ones(1)

    def step(s: Any, a: Any, n: Any) -> Any:
        return s + a, 3.0 * a[0], 1.0

    y = sobolev_target(step, lambda s, a, xi: s[0], lambda s: s, zero, one, 0, 0, 1.0)
    assert y.tolist() == [4.0, 4.0]


def test_no_bootstrap_at_a_recorded_end(x64: None) -> None:
    """Discount 0: r = sin(w·x) and its gradient cos(w·x) w."""
    x = np.concatenate([STATE, ACTION])
    slope = np.cos(WORLD["reward"] @ x) * WORLD["reward"]
    found = target(WORLD, STATE, ACTION, XI, 0.0, "state_action")
    np.testing.assert_allclose(found, np.concatenate([[np.sin(WORLD["reward"] @ x)], slope[S:], slope[:S]]), rtol=1e-12)


@pytest.mark.parametrize("gradient", ["none", "action", "closed_loop"])
def test_no_gradient_flows_through_it(gradient: Gradient) -> None:
    arguments = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (WORLD, STATE, ACTION, XI))

    @jax.jit
    def slopes(world: Any, s: Any, a: Any, xi: Any) -> Any:
        return jax.grad(
            lambda world, s, a, xi: jnp.sum(target(world, s, a, xi, GAMMA, gradient)), argnums=(0, 1, 2, 3)
        )(world, s, a, xi)

    assert all(not np.any(slope) for slope in jax.tree.leaves(slopes(*arguments)))


def test_unknown_gradients_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'acton'.*'action'"):
        target(WORLD, STATE, ACTION, XI, GAMMA, "acton")


def test_truncate_drops_by_the_return_alone() -> None:
    samples = jnp.array([[2.0, -9.0], [1.0, 50.0], [3.0, -99.0]])
    np.testing.assert_array_equal(truncate(samples, 1), [[1.0, 50.0], [2.0, -9.0]])


@pytest.mark.parametrize("drop", [-1, 4, 5])
def test_truncate_keeps_a_sample(drop: int) -> None:
    with pytest.raises(ValueError, match=f"drop.* 0 .* 3 .* 4 .*{drop}"):
        truncate(jnp.zeros((4, 2)), drop)
