"""Exactly solvable tasks: each is a known simulator with its exact answers as plain functions.

A task is a NamedTuple of numbers (arrays, so that it can be traced and drawn at random), ``simulator(task)`` is its
step, and ``make_...`` of its module the environment with its usual numbers. The other functions are the answers.

Environments clip actions to [-1, 1]. The exact answers hold for unbounded policies, and for bounded ones as long as
the bound is not reached.

Example:
    >>> import jax.numpy as jnp
    >>> from sobolev.environments import exact
    >>> task = exact.riccati.Riccati()
    >>> [round(float(x), 2) for x in exact.riccati.optimal_action(task, 0.95, jnp.ones(1))]
    [-0.5]
"""

from sobolev.environments.exact import (
    affine_reward,
    alive_walk,
    finite_noise,
    linear,
    linear_quadratic,
    multiplicative,
    riccati,
    weierstrass,
)

__all__ = [
    "affine_reward",
    "alive_walk",
    "finite_noise",
    "linear",
    "linear_quadratic",
    "multiplicative",
    "riccati",
    "weierstrass",
]
