"""The exactly solvable tasks as environments, with their usual numbers.

Actions lie in [-1, 1] and are clipped there, as everywhere; the exact answers hold for unbounded policies, and for
bounded ones as long as the bound is not met.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env

from sobolev.environments.base import registry
from sobolev.environments.exact import (
    affine_reward,
    alive_walk,
    finite_noise,
    linear_quadratic,
    multiplicative,
    riccati,
    weierstrass,
)
from sobolev.environments.simulated import SimulatorEnv
from sobolev.types import Array, Key


def _mass_on_a_spring() -> tuple[Array, Array]:
    """F and G of position and velocity at steps of 0.1; damped, so that it is stable without control."""
    return jnp.array([[1.0, 0.1], [-0.1, 0.9]]), jnp.array([[0.0], [0.3]])


def _uniform(size: int, spread: float) -> Callable[[Key], Array]:
    if not spread > 0:
        raise ValueError(f"spread must be positive, got {spread}: a start is uniform in [-spread, spread]")
    return lambda key: jax.random.uniform(key, (size,), minval=-spread, maxval=spread)


def _positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{name} must be positive, got {number}")


@registry.register("affine_reward")
def make_affine_reward(noise: float = 0.1, reward_noise: float = 0.1, spread: float = 1.0) -> Env:
    """A mass on a spring that is paid for its position: see :mod:`sobolev.environments.exact.affine_reward`.

    Args:
        noise: standard deviation of each component of the state, per step.
        reward_noise: that of the reward.
        spread: a start is uniform in the square of this half width.
    """
    q, p = jnp.array([1.0, 0.0]), jnp.array([-0.1])
    task = affine_reward.AffineReward(*_mass_on_a_spring(), jnp.zeros(2), noise * jnp.eye(2), q, p, 0.0, reward_noise)
    return SimulatorEnv(affine_reward.simulator(task), _uniform(2, spread), action_size=1)


@registry.register("linear_quadratic")
def make_linear_quadratic(noise: float = 0.1, control_cost: float = 0.1, spread: float = 1.0) -> Env:
    """A mass on a spring, to be kept at rest at the origin: :mod:`sobolev.environments.exact.linear_quadratic`.

    Args:
        noise: standard deviation of each component of the state, per step.
        control_cost: of the squared action, against 1 of the squared state.
        spread: a start is uniform in the square of this half width.
    """
    cost = -control_cost * jnp.eye(1)
    task = linear_quadratic.LinearQuadratic(
        *_mass_on_a_spring(), noise * jnp.eye(2), -jnp.eye(2), cost, jnp.zeros((2, 1))
    )
    return SimulatorEnv(linear_quadratic.simulator(task), _uniform(2, spread), action_size=1)


@registry.register("multiplicative")
def make_multiplicative(low: float = 0.5, high: float = 1.1, h: float = 1.0, spread: float = 1.0) -> Env:
    """A state multiplied by noise in [low, high]: see :mod:`sobolev.environments.exact.multiplicative`.

    Args:
        low, high: bounds of the factor.
        h: reward per unit of state.
        spread: a start is uniform in [-spread, spread].
    """
    if not low < high:
        raise ValueError(f"low must be less than high, got {low} and {high}")
    simulator = multiplicative.simulator(multiplicative.Multiplicative(low, high, h))
    return SimulatorEnv(simulator, _uniform(1, spread), action_size=1)


@registry.register("finite_noise")
def make_finite_noise(num_noises: int = 3, state_size: int = 2, action_size: int = 1, seed: int = 0) -> Env:
    """A smooth task drawn at random, with finitely many noises: :mod:`sobolev.environments.exact.finite_noise`.

    Args:
        num_noises: K.
        state_size: S.
        action_size: A.
        seed: of the task's numbers.
    """
    if min(num_noises, state_size, action_size) < 1:
        raise ValueError(f"sizes must be at least 1, got {num_noises}, {state_size} and {action_size}")
    task = random_finite_noise(np.random.default_rng(seed), num_noises, state_size, action_size)
    return SimulatorEnv(finite_noise.simulator(task), _uniform(state_size, 1.0), action_size)


def random_finite_noise(
    rng: np.random.Generator, num_noises: int, state_size: int, action_size: int
) -> finite_noise.FiniteNoise:
    """Numbers of a task drawn from standard normals, those of the dynamics over the root of the state's size."""
    scale = 1.0 / np.sqrt(state_size)
    return finite_noise.FiniteNoise(
        jnp.asarray(scale * rng.normal(size=(num_noises, state_size, state_size))),
        jnp.asarray(scale * rng.normal(size=(num_noises, state_size, action_size))),
        jnp.asarray(rng.normal(size=(num_noises, state_size))),
        jnp.asarray(rng.normal(size=(num_noises, state_size))),
        jnp.asarray(rng.normal(size=(num_noises, action_size))),
    )


@registry.register("weierstrass")
def make_weierstrass(kappa: float = 1.2, spread: float = 1.0) -> Env:
    """A state that expands by kappa, under a reward cos s: see :mod:`sobolev.environments.exact.weierstrass`.

    Args:
        kappa: the expansion per step.
        spread: a start is uniform in [-spread, spread].
    """
    _positive(kappa=kappa)
    return SimulatorEnv(weierstrass.simulator(weierstrass.Weierstrass(kappa)), _uniform(1, spread), action_size=1)


@registry.register("riccati")
def make_riccati(step: float = 0.5, cost: float = 2.5, sigma: float = 0.0, spread: float = 2.0) -> Env:
    """One-dimensional control with a known optimum: see :mod:`sobolev.environments.exact.riccati`.

    Args:
        step: change of the state at full action.
        cost: of full action.
        sigma: standard deviation of the noise.
        spread: a start is uniform in [-spread, spread].
    """
    _positive(step=step, cost=cost)
    if sigma < 0:
        raise ValueError(f"sigma must not be negative, got {sigma}")
    return SimulatorEnv(riccati.simulator(riccati.Riccati(step, cost, sigma)), _uniform(1, spread), action_size=1)


@registry.register("alive_walk")
def make_alive_walk(step: float = 0.5, sigma: float = 0.2, spread: float = 0.5) -> Env:
    """A walk that pays 1 a step until it leaves [-1, 1]: see :mod:`sobolev.environments.exact.alive_walk`.

    Args:
        step: change of the state at full action.
        sigma: standard deviation of the noise.
        spread: a start is uniform in [-spread, spread].
    """
    _positive(step=step, sigma=sigma)
    return SimulatorEnv(alive_walk.simulator(alive_walk.AliveWalk(step, sigma)), _uniform(1, spread), action_size=1)
