"""What wrong derivatives of a model cost, where its values are right."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

THEOREM = settings(max_examples=max(100, settings.get_profile("sobolev").max_examples))
S, A, STEPS, GAMMA = 3, 2, 6, 0.9

Step = Callable[[Any, Any], tuple[Any, Any]]


def true_step(weights: Any, s: Any, a: Any) -> tuple[Any, Any]:
    """s' = tanh(F [s; a]), r = sin(w·[s; a])"""
    x = jnp.concatenate([s, a])
    return jnp.tanh(weights[0] @ x), jnp.sin(weights[1] @ x)


def mistaken_step(weights: Any, errors: Any, s: Any, a: Any) -> tuple[Any, Any]:
    """The same values, and derivatives that are off by the errors of s' ``[S, S + A]`` and of r ``[S + A]``."""
    x = jnp.concatenate([s, a])
    nothing = x - jax.lax.stop_gradient(x)
    s_next, r = true_step(weights, s, a)
    return s_next + errors[0] @ nothing, r + errors[1] @ nothing


def policy(gain: Any, s: Any) -> Any:
    return jnp.tanh(gain @ s)


def episode_return(step: Step, gain: Any, s: Any, a: Any, steps: int) -> Any:
    total, discount = 0.0, 1.0
    for _ in range(steps):
        s, r = step(s, a)
        total, discount, a = total + discount * r, discount * GAMMA, policy(gain, s)
    return total


def gradient(step: Step, gain: Any, s: Any, a: Any, steps: int) -> Any:
    """Of the return in [a; s]."""
    by_s, by_a = jax.grad(partial(episode_return, step, gain, steps=steps), argnums=(0, 1))(s, a)
    return jnp.concatenate([by_a, by_s])


def jacobian(step: Step, gain: Any, s: Any, a: Any) -> Any:
    """H, the derivative of [pi(s'); s'] in [a; s]."""

    def after(a: Any, s: Any) -> Any:
        s_next, _ = step(s, a)
        return jnp.concatenate([policy(gain, s_next), s_next])

    return jnp.concatenate(jax.jacobian(after, argnums=(0, 1))(a, s), axis=1)


class Path(NamedTuple):
    """At each step of a path.

    Fields:
        delta: the error of the gradient from there on, ``[STEPS + 1, A + S]``.
        e: that of the reward's slopes, ``[STEPS, A + S]``.
        through: gamma E^T x_g', ``[STEPS, A + S]``.
        hat: the model's H, ``[STEPS, A + S, A + S]``.
    """

    delta: Any
    e: Any
    through: Any
    hat: Any


@jax.jit
def along_the_path(weights: Any, errors: Any, gain: Any, s: Any, a: Any) -> Path:
    right, wrong = partial(true_step, weights), partial(mistaken_step, weights, errors)
    rows = []
    for steps in range(STEPS, 0, -1):
        s_next = right(s, a)[0]
        a_next = policy(gain, s_next)
        later = gradient(right, gain, s_next, a_next, steps - 1) if steps > 1 else jnp.zeros(A + S)
        delta = gradient(wrong, gain, s, a, steps) - gradient(right, gain, s, a, steps)
        e = gradient(wrong, gain, s, a, 1) - gradient(right, gain, s, a, 1)
        hat = jacobian(wrong, gain, s, a)
        rows.append((delta, e, GAMMA * (hat - jacobian(right, gain, s, a)).T @ later, hat))
        s, a = s_next, a_next
    delta, e, through, hat = map(jnp.stack, zip(*rows, strict=True))
    return Path(jnp.concatenate([delta, jnp.zeros((1, A + S))]), e, through, hat)


def drawn_path(seed: int, reward_error: float) -> Path:
    """Of a world whose derivatives are off by a hundredth to once their size."""
    rng = np.random.default_rng(seed)
    scale, error = rng.uniform(0.1, 0.5), 10 ** rng.uniform(-2, 0)
    weights, gain = (scale * rng.normal(size=(S, S + A)), rng.normal(size=S + A)), scale * rng.normal(size=(A, S))
    errors = error * scale * rng.normal(size=(S, S + A)), reward_error * error * rng.normal(size=S + A)
    return along_the_path(weights, errors, gain, rng.normal(size=S), rng.normal(size=A))


@THEOREM
@given(seed=st.integers(0, 2**32 - 1), reward_error=st.sampled_from([0.0, 1.0]))
def test_the_error_is_a_sum_along_the_path(seed: int, reward_error: float) -> None:
    """delta = e + gamma E^T x_g' + gamma Hhat^T delta'"""
    path = drawn_path(seed, reward_error)
    later = jnp.einsum("tij,ti->tj", path.hat, path.delta[1:])
    np.testing.assert_allclose(path.delta[:-1], path.e + path.through + GAMMA * later, rtol=1e-3, atol=1e-5)
    assert jnp.any(path.through != 0.0)
    assert jnp.any(path.e != 0.0) == (reward_error > 0.0)


@THEOREM
@given(seed=st.integers(0, 2**32 - 1), reward_error=st.sampled_from([0.0, 1.0]))
def test_the_gradient_is_off_by_no_more_than_the_derivatives_say(seed: int, reward_error: float) -> None:
    path = drawn_path(seed, reward_error)
    local = jnp.linalg.norm(path.e, axis=-1) + jnp.linalg.norm(path.through, axis=-1)
    rate = GAMMA * float(jnp.linalg.norm(path.hat, 2, axis=(1, 2)).max())
    assume(rate < 1.0)
    assert jnp.linalg.norm(path.delta[0]) <= local.max() / (1.0 - rate) * (1 + 1e-4) + 1e-5


def test_the_bound_is_reached() -> None:
    """s' = f s, of which the action is no part: a slope of the reward that is off by e costs e / (1 - gamma f)."""
    f, e, steps = 0.8, 0.3, 60

    def right(s: Any, a: Any) -> tuple[Any, Any]:
        return f * s + 0.0 * a, s[0]

    def wrong(s: Any, a: Any) -> tuple[Any, Any]:
        s_next, r = right(s, a)
        return s_next, r + e * (s[0] - jax.lax.stop_gradient(s[0]))

    s, a, gain = jnp.array([0.5]), jnp.array([0.0]), jnp.zeros((1, 1))
    found = gradient(wrong, gain, s, a, steps) - gradient(right, gain, s, a, steps)
    np.testing.assert_allclose(found, [0.0, e / (1 - GAMMA * f)], rtol=1e-5)
