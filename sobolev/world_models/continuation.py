"""The continuation head: the probability c(s, a, s') that the episode goes on after a step.

    c = sigmoid(f(x, d)),   loss = -[going on] log c - [ended] log(1 - c)

with x = [s, a] and d = s' - s normalized. A recorded end is a constant: its derivative in (s, a) is zero, and a target
that bootstraps through it lacks the term discount · (d_a c) · Z. The head is smooth, so that a pathwise derivative
includes the effect of the action on the probability of an end. The reward is no input: it often jumps where an episode
ends, and c would then depend on it instead of on s'.

Where s' alone decides the end, c approaches a step function as the head learns: its derivative is then right on average
over the noise, and large for the few s' near the boundary.
"""

from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from sobolev.networks import SkipMLP
from sobolev.types import Array, Key, Params, Spec


class Continuation(NamedTuple):
    """The head, for one step.

    Fields:
        init: ``(key) -> params``.
        probability: ``(params, x[S + A], d[S]) -> []`` in [0, 1].
        loss: ``(params, x, d, goes_on[]) -> []``, cross-entropy against the recorded outcome.
    """

    init: Callable[[Key], Params]
    probability: Callable[[Params, Array, Array], Array]
    loss: Callable[[Params, Array, Array, Array], Array]


def endless() -> Continuation:
    """The continuation of a task whose steps never end an episode: c = 1, without parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> float(endless().probability((), jnp.zeros(5), jnp.zeros(3)))
        1.0
    """
    return Continuation(
        init=lambda key: (),
        probability=lambda params, x, d: jnp.ones((), x.dtype),
        loss=lambda params, x, d, goes_on: jnp.zeros((), x.dtype),
    )


def make_continuation(spec: Spec, hidden_sizes: tuple[int, ...] = (64, 64)) -> Continuation:
    """The head where ``spec.continuation`` is set, else :func:`endless`.

    Args:
        spec: sizes of state and action, and whether there is a head.
        hidden_sizes: widths of the hidden layers.

    Returns:
        The continuation.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> head = make_continuation(Spec(state_size=3, action_size=2, continuation=True), hidden_sizes=(4,))
        >>> c = head.probability(head.init(jax.random.key(0)), jnp.zeros(5), jnp.zeros(3))
        >>> bool(0 < c < 1)
        True
    """
    if not spec.continuation:
        return endless()

    def logit(x: Array, d: Array) -> Array:
        return SkipMLP(hidden_sizes, 1, name="continuation")(x, d)[0]

    network = hk.without_apply_rng(hk.transform(logit))

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(spec.state_size + spec.action_size), jnp.zeros(spec.state_size))

    def probability(params: Params, x: Array, d: Array) -> Array:
        return jax.nn.sigmoid(network.apply(params, x, d))

    def loss(params: Params, x: Array, d: Array, goes_on: Array) -> Array:
        z = network.apply(params, x, d)
        return jax.nn.softplus(jnp.where(goes_on, -z, z))

    return Continuation(init, probability, loss)
