"""A critic: a Gaussian distribution of the return, with learned mean and standard deviation."""

import jax
import jax.numpy as jnp

from sobolev import critics
from sobolev.networks import SkipMLP, make_state_network
from sobolev.types import Array, Critic, Spec


@critics.registry.register("gaussian")
def make_gaussian(spec: Spec, hidden_sizes: tuple[int, ...] = (64, 64)) -> Critic:
    """``Z(s, a, xi) = mean(s, a) + exp(log_std(s, a)) xi`` with xi ~ N(0, 1)."""

    def forward(s: Array, a: Array, xi: Array) -> Array:
        mean, log_std = SkipMLP(hidden_sizes, output_size=2, name="critic")(jnp.concatenate([s, a]))
        return mean + jnp.exp(log_std) * xi

    network = make_state_network(forward, spec.state_size, (spec.action_size,), ())
    return Critic(network.init, network.fit_normalizer, noise=jax.random.normal, value=network.apply)
