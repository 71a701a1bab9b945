"""A separable quadratic part of the reward, beside what a network models of it (ours).

    q(x) = sum_i [ u_i x_i + w_i (x_i² - 1) ],   x = [s, a] normalized

On chains of masses the reward's slopes are what a network is slowest to learn: they differ from place to place, those
of the step do not. Rewards of control tasks often are sums of squares, the control cost first, and q has 2 (S + A)
unknowns in all (docs/results/scaling_model.md measures both). Where x is normalized, x² - 1 has mean 0, as the
normalized reward has.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from sobolev.types import Array, Params


class RewardTerm(NamedTuple):
    """A part of the normalized reward, the last of the targets, that is a function of the input alone.

    Fields:
        init: ``() -> params``.
        add: ``(params, x[X], t[S + 1]) -> t[S + 1]``, the targets with it.
        subtract: the targets without it.
    """

    init: Callable[[], Params]
    add: Callable[[Params, Array, Array], Array]
    subtract: Callable[[Params, Array, Array], Array]


def no_term() -> RewardTerm:
    """Nothing, without parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> no_term().add((), jnp.ones(5), jnp.ones(2)).tolist()
        [1.0, 1.0]
    """

    def same(params: Params, x: Array, t: Array) -> Array:
        del params, x
        return t

    return RewardTerm(lambda: (), same, same)


def separable_term(size: int) -> RewardTerm:
    """The function q above, 0 at first.

    Args:
        size: X, of the input.

    Returns:
        The term; its parameters are a dict with the entries "linear" and "squares", u and w, ``[X]``.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"linear": jnp.array([1.0, 0.0]), "squares": jnp.array([0.0, 2.0])}
        >>> separable_term(2).add(params, jnp.array([3.0, 2.0]), jnp.ones(2)).tolist()  # 1 + 3 + 2 (4 - 1)
        [1.0, 10.0]
    """

    def init() -> Params:
        return {"linear": jnp.zeros(size), "squares": jnp.zeros(size)}

    def value(params: Params, x: Array) -> Array:
        return x @ params["linear"] + (x**2 - 1.0) @ params["squares"]

    return RewardTerm(
        init,
        add=lambda params, x, t: t.at[-1].add(value(params, x)),
        subtract=lambda params, x, t: t.at[-1].add(-value(params, x)),
    )
