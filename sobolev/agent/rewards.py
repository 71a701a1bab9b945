"""The size of rewards, and the unit in which critics learn returns.

A kernel of one bandwidth, noise of one size and networks whose first outputs are of order 1 know one scale of returns.
Rewards are therefore multiplied by a constant beta > 0 in the targets: critics learn beta Z and the beta d_a Z, beta
d_s Z that belong to it. The Bellman target is affine in (r, Z), so that its fixed point is beta times the other,
exactly, in every operator; the policy that is best for one is best for the other. Whatever a run reports is in the
task's own unit again.

The constant is fitted to the warm-up and stays: a target whose unit moved while critics learn would move all of them.

The size of rewards also bounds the returns, and so tells where critics follow their own targets away.
"""

import jax.numpy as jnp
import numpy as np

from sobolev.types import Array

SIZES = (1e-3, 1e2)
"""Rewards of these sizes, and between them, are learned without a scale, if slower towards the ends."""


def size_of(r: Array) -> Array:
    """The size of rewards: the root mean square of those that are finite and not 0.

    Rewards of 0 say nothing of the unit: where one step in a hundred pays 1, the size is 1.

    Args:
        r: rewards, ``[n]``.

    Returns:
        ``[]``, in the unit of the rewards; 0 where there is none but 0.

    Example:
        >>> round(float(size_of(jnp.array([0.0, 3e6, -4e6, 0.0]))) / 1e6, 4)
        3.5355
    """
    counts = jnp.isfinite(r) & (r != 0.0)
    magnitudes = jnp.where(counts, jnp.abs(r), 0.0)
    largest = jnp.max(magnitudes)
    shares = magnitudes / jnp.where(largest > 0.0, largest, 1.0)  # squares of neither 1e30 nor 1e-30 are float32
    return largest * jnp.sqrt(jnp.sum(shares**2) / jnp.maximum(jnp.sum(counts), 1))


def fitted_scale(r: Array) -> Array:
    """The factor that gives rewards the size 1; 1 where there is none but 0.

    Args:
        r: rewards, ``[n]``.

    Returns:
        ``[]``.

    Example:
        >>> float(fitted_scale(jnp.array([0.0, 4.0, -4.0]))), float(fitted_scale(jnp.zeros(3)))
        (0.25, 1.0)
    """
    size = size_of(r)
    return jnp.where(size > 0.0, 1.0 / jnp.where(size > 0.0, size, 1.0), 1.0)


def bound_of_returns(r: Array | np.ndarray, discount: float) -> np.ndarray:
    """A bound of every discounted return of such rewards: ``max |r| / (1 - discount)``.

    Args:
        r: rewards, ``[..., n]``; those that are not finite do not count.
        discount: of each against the one before, in [0, 1].

    Returns:
        ``[...]``, in the unit of the rewards; inf where the discount is 1.

    Example:
        >>> bound_of_returns(np.array([0.0, -0.5, 0.25]), discount=0.75).tolist()
        2.0
    """
    magnitudes = np.abs(np.asarray(r))
    largest = np.max(magnitudes, axis=-1, where=np.isfinite(magnitudes), initial=0.0)
    return np.asarray(largest / (1.0 - discount) if discount < 1 else np.full(largest.shape, np.inf))
