"""The point critic Q(s, a) of TD3, DDPG, SAC and MAGE: one value, no noise."""

import haiku as hk
import jax.numpy as jnp

from sobolev.critics.base import registry
from sobolev.networks import SkipMLP
from sobolev.scaling import fit_scale, standardise, unit_scale
from sobolev.types import Array, Critic, Key, Params, Spec, Transition


@registry.register("deterministic")
def make_deterministic(spec: Spec, hidden_sizes: tuple[int, ...] = (256, 256), residual: bool = True) -> Critic:
    """A critic without noise: all its samples are one value, so one of them is enough.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        residual: whether each hidden layer is added to the next.

    Example:
        >>> import jax
        >>> critic = make_deterministic(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8))
        >>> critic.noise(jax.random.key(0)).shape
        (0,)
    """

    def forward(s: Array, a: Array) -> Array:
        return SkipMLP(hidden_sizes, 1, residual=residual, name="critic")(jnp.concatenate([s, a]))[0]

    network = hk.without_apply_rng(hk.transform(forward))

    def init(key: Key) -> Params:
        weights = network.init(key, jnp.zeros(spec.state_size), jnp.zeros(spec.action_size))
        return {"network": weights, "state": unit_scale(spec.state_size)}

    def prepare(params: Params, transitions: Transition) -> Params:
        return {**params, "state": fit_scale(transitions.s)}

    def noise(key: Key) -> Array:
        del key
        return jnp.zeros(0)

    def value(params: Params, s: Array, a: Array, xi: Array) -> Array:
        del xi
        return network.apply(params["network"], standardise(params["state"], s), a)

    return Critic(init, prepare, noise, value)
