"""The deterministic policy a = squash(network(s)), which explores by Gaussian noise on its actions.

    tanh:       a = tanh(u),             da/du = 1 - a²,            about 4 exp(-2|u|) far out
    algebraic:  a = u / sqrt(1 + u²),    da/du = (1 + u²)^(-3/2),   about |u|^(-3) far out

The papers use tanh. A policy that a young critic has driven to the bounds of the action can hardly come back from
there: at u = 5 the slope is 2e-4 under tanh and 8e-3 under the algebraic squash, which is our default. And an adaptive
optimiser, which takes steps of one size however small the slope, drives it on. So beyond |u_i| = 2 (0.96 and 0.89 of
the bound) the actor pays, in units of the return, for each state

    own loss = penalty · sum_i max(|u_i| - 2, 0)²,

which is nothing against a critic that wants the bound, and brings the actor back once it no longer does.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sobolev.actors.base import registry
from sobolev.networks import SkipMLP, make_state_network
from sobolev.registry import unknown_name
from sobolev.types import Actor, Array, Key, Params, Spec

_FREE = 2.0
# First actions are near 0, where a squash is steep (DDPG's initialisation).
_OUTPUT_SCALE = 0.01


def algebraic(u: Array) -> Array:
    """``u / sqrt(1 + u²)``, component by component."""
    return u * jax.lax.rsqrt(1.0 + u * u)


SQUASHES: dict[str, Callable[[Array], Array]] = {"algebraic": algebraic, "tanh": jnp.tanh}


@registry.register("deterministic")
def make_deterministic(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (256, 256),
    exploration_noise: float = 0.1,
    residual: bool = True,
    squash: str = "algebraic",
    penalty: float = 0.01,
) -> Actor:
    """A deterministic actor (V24 A.8: two layers of 256, Swish, input skips and residuals).

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        exploration_noise: standard deviation of what is added to an action while exploring, in units of the action,
            whose range is [-1, 1]; the sum is clipped to it.
        residual: whether each hidden layer is added to the next.
        squash: "algebraic" or "tanh" (V24), what brings the output into (-1, 1).
        penalty: weight of the own loss above; 0 for none (the papers).

    Raises:
        ValueError: an unknown squash, or a negative penalty.
    """
    if penalty < 0:
        raise ValueError(f"penalty must not be negative, got {penalty}")
    if squash not in SQUASHES:
        raise unknown_name("squash", squash, SQUASHES)

    def forward(s: Array) -> Array:
        mlp = SkipMLP(hidden_sizes, spec.action_size, residual=residual, output_scale=_OUTPUT_SCALE, name="actor")
        return mlp(s)

    network = make_state_network(forward, spec.state_size)

    def act(params: Params, key: Key, s: Array) -> Array:
        del key
        return SQUASHES[squash](network.apply(params, s))

    def explore(params: Params, key: Key, s: Array) -> Array:
        noise = exploration_noise * jax.random.normal(key, (spec.action_size,))
        return jnp.clip(act(params, key, s) + noise, -1.0, 1.0)

    def auxiliary_loss(params: Params, key: Key, s: Array) -> Array:
        del key
        return penalty * jnp.sum(jnp.maximum(jnp.abs(network.apply(params, s)) - _FREE, 0.0) ** 2)

    return Actor(network.init, network.fit_normalizer, act, explore, auxiliary_loss=auxiliary_loss)
