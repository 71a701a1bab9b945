"""Exactly solvable tasks: each a known simulator, with its exact answers as plain functions.

A task is a NamedTuple of numbers (arrays, so that it can be traced and drawn at random), ``simulator(task)`` its step;
the other functions of its module are the answers. ``tasks`` makes environments of them.
"""

from sobolev.environments.exact import (
    affine_reward,
    alive_walk,
    finite_noise,
    linear,
    linear_quadratic,
    multiplicative,
    riccati,
    tasks,
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
    "tasks",
    "weierstrass",
]
