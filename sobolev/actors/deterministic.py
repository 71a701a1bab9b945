"""The deterministic policy a = tanh(network(s)), which explores by Gaussian noise on its actions."""

import haiku as hk
import jax
import jax.numpy as jnp

from sobolev.actors.base import registry
from sobolev.networks import SkipMLP
from sobolev.scaling import fit_scale, standardise, unit_scale
from sobolev.types import Actor, Array, Key, Params, Spec, Transition

# First actions are near 0, where tanh is steep (DDPG's initialisation).
_OUTPUT_SCALE = 0.01


@registry.register("deterministic")
def make_deterministic(
    spec: Spec, hidden_sizes: tuple[int, ...] = (256, 256), exploration_noise: float = 0.1, residual: bool = True
) -> Actor:
    """A deterministic actor (V24 A.8: two layers of 256, Swish, input skips and residuals, tanh).

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        exploration_noise: standard deviation of what is added to an action while exploring, in units of the action,
            whose range is [-1, 1]; the sum is clipped to it.
        residual: whether each hidden layer is added to the next.
    """

    def forward(s: Array) -> Array:
        mlp = SkipMLP(hidden_sizes, spec.action_size, residual=residual, output_scale=_OUTPUT_SCALE, name="actor")
        return jnp.tanh(mlp(s))

    network = hk.without_apply_rng(hk.transform(forward))

    def init(key: Key) -> Params:
        return {"network": network.init(key, jnp.zeros(spec.state_size)), "state": unit_scale(spec.state_size)}

    def prepare(params: Params, transitions: Transition) -> Params:
        return {**params, "state": fit_scale(transitions.s)}

    def act(params: Params, key: Key, s: Array) -> Array:
        del key
        return network.apply(params["network"], standardise(params["state"], s))

    def explore(params: Params, key: Key, s: Array) -> Array:
        noise = exploration_noise * jax.random.normal(key, (spec.action_size,))
        return jnp.clip(act(params, key, s) + noise, -1.0, 1.0)

    return Actor(init, prepare, act, explore)
