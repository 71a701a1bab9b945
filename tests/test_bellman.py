from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sobolev.bellman import linearise, overestimation, sobolev_target, truncate

S, A = 3, 2


@pytest.fixture
def task() -> dict[str, np.ndarray]:
    """s' = tanh(F [s; a] + n), r = sin(w·[s; a]), c = sigmoid(k·[s; a]), pi = tanh(K s), Z = cos(v·[s; a] + xi)"""
    rng = np.random.default_rng(0)
    return {
        "F": rng.normal(size=(S, S + A)),
        "w": rng.normal(size=S + A),
        "k": rng.normal(size=S + A),
        "K": rng.normal(size=(A, S)),
        "v": rng.normal(size=S + A),
    }


def simulate(task: Any, s: jax.Array, a: jax.Array, n: jax.Array, goes_on: bool = True) -> tuple[Any, Any, Any]:
    x = jnp.concatenate([s, a])
    c = jnp.ones(()) if goes_on else jax.nn.sigmoid(task["k"] @ x)
    return jnp.tanh(task["F"] @ x + n), jnp.sin(task["w"] @ x), c


def policy(task: Any, s: jax.Array) -> jax.Array:
    return jnp.tanh(task["K"] @ s)


def value(task: Any, s: jax.Array, a: jax.Array, xi: jax.Array) -> jax.Array:
    return jnp.cos(task["v"] @ jnp.concatenate([s, a]) + xi)


def target(task: Any, s: Any, a: Any, n: Any, xi: Any, discount: Any, gradient: str, goes_on: bool = True) -> jax.Array:
    return sobolev_target(
        lambda s, a, n: simulate(task, s, a, n, goes_on),
        lambda s, a, xi: value(task, s, a, xi),
        lambda s: policy(task, s),
        s,
        a,
        n,
        xi,
        discount,
        gradient,
    )


_TARGET = jax.jit(target, static_argnames=("gradient", "goes_on"))


def affine(task: dict[str, np.ndarray], s: np.ndarray, a: np.ndarray, n: np.ndarray, xi: float) -> dict[str, Any]:
    """Jacobians of one step, and (Z, d_s' Z, d_a' Z) at its end, written out."""
    x = np.concatenate([s, a])
    s_next = np.tanh(task["F"] @ x + n)
    jacobian = (1 - s_next**2)[:, None] * task["F"]
    a_next = np.tanh(task["K"] @ s_next)
    slope = (1 - a_next**2)[:, None] * task["K"]
    phase = task["v"] @ np.concatenate([s_next, a_next]) + xi
    c = 1 / (1 + np.exp(-task["k"] @ x))
    return {
        "r": np.sin(task["w"] @ x),
        "d_r": np.cos(task["w"] @ x) * task["w"],
        "J": jacobian,
        "Pi": slope,
        "Z": np.cos(phase),
        "d_Z": -np.sin(phase) * task["v"],
        "c": c,
        "d_c": c * (1 - c) * task["k"],
    }


ELEMENTS = st.floats(-2.0, 2.0)


def test_is_the_affine_operator(task: dict[str, np.ndarray]) -> None:
    """y = r + gamma Z, d y = d r + gamma J^T [I Pi^T] (d_s' Z, d_a' Z)"""

    @given(
        arrays(float, S, elements=ELEMENTS),
        arrays(float, A, elements=ELEMENTS),
        arrays(float, S, elements=ELEMENTS),
        ELEMENTS,
        st.floats(0.0, 1.0),
    )
    def law(s: np.ndarray, a: np.ndarray, n: np.ndarray, xi: float, gamma: float) -> None:
        step = affine(task, s, a, n, xi)
        b = np.concatenate([[step["r"]], step["d_r"]])
        operator = np.zeros((1 + S + A, 1 + S + A))
        operator[0, 0] = gamma
        operator[1:, 1:] = gamma * step["J"].T @ np.hstack([np.eye(S), step["Pi"].T])
        y = b + operator @ np.concatenate([[step["Z"]], step["d_Z"]])
        d_s, d_a = y[1 : 1 + S], y[1 + S :]
        with jax.enable_x64(True):
            complete = _TARGET(task, s, a, n, xi, gamma, gradient="state_action")
            incomplete = _TARGET(task, s, a, n, xi, gamma, gradient="action")
            plain = _TARGET(task, s, a, n, xi, gamma, gradient="none")
        np.testing.assert_allclose(complete, np.concatenate([y[:1], d_a, d_s]), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(incomplete, np.concatenate([y[:1], d_a]), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(plain, y[:1], rtol=1e-9, atol=1e-11)

    law()


def test_the_chance_of_going_on_is_part_of_the_derivative(task: dict[str, np.ndarray], x64: None) -> None:
    """d (c Z) = c d Z + Z d c"""
    rng = np.random.default_rng(1)
    s, a, n, xi, gamma = rng.normal(size=S), rng.normal(size=A), rng.normal(size=S), 0.4, 0.9
    step = affine(task, s, a, n, xi)
    d_z = step["J"].T @ (step["d_Z"][:S] + step["Pi"].T @ step["d_Z"][S:])
    slope = step["d_r"] + gamma * (step["c"] * d_z + step["Z"] * step["d_c"])
    actual = _TARGET(task, s, a, n, xi, gamma, gradient="state_action", goes_on=False)
    expected = np.concatenate([[step["r"] + gamma * step["c"] * step["Z"]], slope[S:], slope[:S]])
    np.testing.assert_allclose(actual, expected, rtol=1e-10)


def test_closed_loop_follows_the_policy(
    task: dict[str, np.ndarray], x64: None, differences: Callable[..., np.ndarray]
) -> None:
    rng = np.random.default_rng(2)
    s, n, xi, gamma = rng.normal(size=S), rng.normal(size=S), 0.4, 0.9
    a = policy(task, s)
    actual = _TARGET(task, s, a, n, xi, gamma, gradient="closed_loop")
    slope = differences(lambda s: _TARGET(task, s, policy(task, s), n, xi, gamma, gradient="none")[0], s)
    np.testing.assert_allclose(actual[1 + A :], slope, atol=1e-8)
    np.testing.assert_allclose(actual[: 1 + A], _TARGET(task, s, a, n, xi, gamma, gradient="action"), rtol=1e-12)


def test_no_bootstrap_at_a_recorded_end(task: dict[str, np.ndarray], x64: None) -> None:
    s, a, n = np.ones(S), np.full(A, -0.5), np.zeros(S)
    step = affine(task, s, a, n, 0.3)
    actual = _TARGET(task, s, a, n, 0.3, 0.0, gradient="state_action")
    np.testing.assert_allclose(actual, np.concatenate([[step["r"]], step["d_r"][S:], step["d_r"][:S]]), rtol=1e-12)


@pytest.mark.parametrize("gradient", ["none", "action", "closed_loop"])
def test_no_gradient_flows_through_it(gradient: str, task: dict[str, np.ndarray]) -> None:
    parameters = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), task)
    slopes = jax.jit(
        jax.grad(
            lambda task, s, xi: jnp.sum(target(task, s, jnp.ones(A), jnp.zeros(S), xi, 0.9, gradient)),
            argnums=(0, 1, 2),
        )
    )(parameters, jnp.ones(S), jnp.ones(()))
    assert all(not np.any(slope) for slope in jax.tree.leaves(slopes))


ROWS = arrays(np.float32, (7, 3), elements=st.floats(-5, 5, width=32))


@given(ROWS, st.integers(0, 6))
def test_truncate_drops_the_highest_returns_and_keeps_rows(samples: np.ndarray, drop: int) -> None:
    kept = np.asarray(truncate(jnp.array(samples), drop))
    assert kept.shape == (7 - drop, 3)
    np.testing.assert_array_equal(kept, samples[np.argsort(samples[:, 0], kind="stable")][: 7 - drop])


def test_truncate_ignores_the_gradients() -> None:
    samples = jnp.array([[2.0, -9.0], [1.0, 50.0], [3.0, -99.0]])
    np.testing.assert_array_equal(truncate(samples, 1), [[1.0, 50.0], [2.0, -9.0]])


def test_truncate_nothing_is_a_permutation() -> None:
    samples = jax.random.normal(jax.random.key(0), (6, 4))
    kept = np.asarray(truncate(samples, 0))
    assert sorted(map(tuple, kept.tolist())) == sorted(map(tuple, samples.tolist()))


@pytest.mark.parametrize("drop", [-1, 4, 5])
def test_bad_drop(drop: int) -> None:
    with pytest.raises(ValueError, match=f"between 0 and 3 for 4 samples, got {drop}"):
        truncate(jnp.zeros((4, 2)), drop)


def test_overestimation() -> None:
    samples = jnp.array(
        [
            [[1.0, 0.1, 0.2], [9.0, 0.3, 0.4]],
            [[4.0, 0.5, 0.6], [2.0, 0.7, 0.8]],
            [[6.0, 0.9, 1.0], [5.0, 1.1, 1.2]],
        ]
    )
    rows = samples.reshape(6, 3)
    assert set(overestimation.names()) >= {"none", "min", "truncate"}
    np.testing.assert_array_equal(overestimation.get("none")(samples, 0), rows)
    np.testing.assert_array_equal(overestimation.get("min")(samples, 0), samples[1])
    np.testing.assert_array_equal(overestimation.get("truncate")(samples, 2), rows[jnp.array([0, 3, 2, 5])])
    # Of the first halves 1, 4, 6 the one whose second half is the least of 9, 2, 5, and the other way round.
    np.testing.assert_array_equal(overestimation.get("double_min")(samples, 0), [samples[1, 0], samples[0, 1]])


def test_crossed_minimum() -> None:
    correct = overestimation.get("double_min")
    low, high = jax.random.normal(jax.random.key(0), (2, 5, 3))
    apart = jnp.stack([low + 10.0, high - 10.0])
    np.testing.assert_array_equal(correct(apart, 0), apart[1])  # the lower critic's, where they are far apart
    np.testing.assert_array_equal(correct(low[None], 0), low)
    with pytest.raises(ValueError, match="'double_min' needs two samples or more of each critic, got 1"):
        correct(apart[:, :1], 0)


@pytest.mark.parametrize("name", overestimation.names())
def test_every_correction_is_compiled_and_returns_rows_of_the_samples(name: str) -> None:
    samples = jax.random.normal(jax.random.key(1), (2, 5, 3))
    kept = jax.jit(lambda samples: overestimation.get(name)(samples, 2))(samples)
    assert kept.ndim == 2
    rows = set(map(tuple, samples.reshape(10, 3).tolist()))
    assert {tuple(row) for row in kept.tolist()} <= rows


@pytest.mark.parametrize("gradient", ["none", "action", "state_action", "closed_loop"])
def test_linearised_step_gives_the_same_joint_samples(task: dict[str, np.ndarray], gradient: str) -> None:
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        s, a, n = (jnp.asarray(rng.normal(size=size)) for size in (S, A, S))
        step = linearise(lambda s, a, n: simulate(task, s, a, n, goes_on=False), s, a, n, gradient)
        for xi in rng.normal(size=3):
            expanded = sobolev_target(
                step,
                lambda s, a, xi: value(task, s, a, xi),
                lambda s: policy(task, s),
                s,
                a,
                jnp.nan * n,  # an expansion is about one noise
                xi,
                0.9,
                gradient,
            )
            np.testing.assert_allclose(expanded, target(task, s, a, n, xi, 0.9, gradient, goes_on=False), atol=1e-12)
