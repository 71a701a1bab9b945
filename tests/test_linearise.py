from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.bellman import sobolev_target
from sobolev.joint import GRADIENTS, Gradient
from sobolev.linearise import linearise, num_derivatives

# More outputs than actions, and fewer than states and actions: the Jacobian is computed in both ways.
S, A = 3, 2


@pytest.fixture
def rng(x64: None) -> np.random.Generator:
    return np.random.default_rng(0)


def smooth_step(rng: np.random.Generator, ends: bool) -> Any:
    f, w, k = 0.3 * rng.normal(size=(S, S + A)), rng.normal(size=S + A), rng.normal(size=S + A)

    def simulate(s: Any, a: Any, n: Any) -> Any:
        x = jnp.concatenate([s, a])
        return jnp.tanh(f @ x + n), jnp.sin(w @ x), jax.nn.sigmoid(k @ x) if ends else 1.0

    return simulate


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_the_joint_samples_of_a_target_stay_the_same(gradient: Gradient, ends: bool, rng: np.random.Generator) -> None:
    simulate = smooth_step(rng, ends)
    s, a, n = (jnp.asarray(rng.normal(size=size)) for size in (S, A, S))
    gain, v = rng.normal(size=(A, S)), rng.normal(size=S + A)

    def target(simulate: Any, n: Any, xi: float) -> jax.Array:
        def value(s: Any, a: Any, xi: Any) -> jax.Array:
            return jnp.cos(v @ jnp.concatenate([s, a]) + xi)

        return sobolev_target(simulate, value, lambda s: jnp.tanh(gain @ s), s, a, n, xi, 0.9, gradient)

    step = linearise(simulate, s, a, n, gradient)
    for xi in rng.normal(size=3):
        expanded = target(step, jnp.nan * n, xi)  # the expansion holds for one noise and does not read it
        np.testing.assert_allclose(expanded, target(simulate, n, xi), atol=1e-12)


@pytest.mark.parametrize("gradient", ["action", "state_action"])
def test_the_error_is_of_second_order(gradient: Gradient, rng: np.random.Generator) -> None:
    """Half the distance, a quarter of the error; "action" expands in the action alone."""
    simulate = smooth_step(rng, ends=True)
    s, a, n, d_s, d_a = (jnp.asarray(rng.normal(size=size)) for size in (S, A, S, S, A))
    step = linearise(simulate, s, a, n, gradient)

    def error(distance: float) -> np.ndarray:
        there = (s + distance * d_s if gradient == "state_action" else s), a + distance * d_a
        return np.concatenate([np.atleast_1d(x - y) for x, y in zip(step(*there, n), simulate(*there, n), strict=True)])

    np.testing.assert_allclose(error(1e-2) / error(5e-3), 4.0, rtol=3e-2)
    assert np.all(error(0.0) == 0)


def test_num_derivatives_is_the_smaller_side_of_the_jacobian() -> None:
    """(s', r) has S + 1 components."""
    assert [num_derivatives(3, inputs) for inputs in (2, 4, 5)] == [2, 4, 4]


def test_unknown_gradients_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"'acton'.*'action'"):
        linearise(smooth_step(rng, False), jnp.zeros(S), jnp.zeros(A), jnp.zeros(S), "acton")
