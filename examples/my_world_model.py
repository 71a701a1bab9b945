"""A world model: linear in state and action, with Gaussian noise of learned size."""

import jax
import jax.numpy as jnp

from sobolev import world_models
from sobolev.types import Array, Key, Params, Spec, WorldModel


@world_models.registry.register("linear")
def make_linear(spec: Spec, initial_std: float = 1.0) -> WorldModel:
    """``t = W x + exp(log_std) n``, n ~ N(0, I), of the normalized input x = [s, a] and target t = [s' - s, r]."""
    num_inputs, num_outputs = spec.state_size + spec.action_size, spec.state_size + 1

    def init(key: Key) -> Params:
        weights = 0.1 * jax.random.normal(key, (num_outputs, num_inputs))
        return {"W": weights, "log_std": jnp.full(num_outputs, jnp.log(initial_std))}

    def noise(key: Key) -> Array:
        return jax.random.normal(key, (num_outputs,))

    def sample(params: Params, x: Array, n: Array) -> Array:
        return params["W"] @ x + jnp.exp(params["log_std"]) * n

    def infer(params: Params, key: Key, x: Array, t: Array) -> Array:
        return (t - params["W"] @ x) / jnp.exp(params["log_std"])

    def loss(params: Params, key: Key, x: Array, t: Array) -> Array:
        return jnp.sum(0.5 * infer(params, key, x, t) ** 2 + params["log_std"])

    density = world_models.ConditionalModel(init, loss, noise, infer, sample)
    return world_models.residual_world_model(density, spec, exact_inference=False)
