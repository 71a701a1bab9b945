"""The generative Sobolev critic: a network that maps noise to samples of the return.

    Z(s, a, xi), xi ~ N(0, I);   a joint sample is (Z, d_a Z) at one xi

The gradient is that of the network, not a second head ("Sobolev inductive bias", V24 section 3.3, V26).
"""

import jax
import jax.numpy as jnp

from sobolev.checks import check_at_least
from sobolev.critics.base import registry
from sobolev.networks import SkipMLP, make_state_network
from sobolev.types import Array, Critic, Key, Spec


@registry.register("generative")
def make_generative(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (256, 256),
    noise_size: int = 50,
    residual: bool = True,
    layer_norm: bool = False,
    quadratic: bool = False,
    skip: bool = True,
    activation: str = "swish",
) -> Critic:
    """A generative critic (V24 A.8: two layers of 256, Swish, input skips and residuals, 50 noise components).

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        noise_size: length of xi.
        residual: whether each hidden layer is added to the next.
        layer_norm: whether each hidden layer is normalized, see :class:`sobolev.networks.SkipMLP`.
        quadratic: whether a quadratic function of state, action and noise is added to the output.
        skip: whether the input is fed to every hidden layer, not to the first alone.
        activation: the nonlinearity, a name in ``sobolev.networks.ACTIVATIONS``.

    Returns:
        The critic; its noise is standard normal, ``[noise_size]``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> critic = make_generative(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8), noise_size=4)
        >>> params, xi = critic.init(jax.random.key(0)), critic.noise(jax.random.key(1))
        >>> critic.value(params, jnp.zeros(3), jnp.zeros(2), xi).shape
        ()
    """

    def forward(s: Array, a: Array, xi: Array) -> Array:
        mlp = SkipMLP(
            hidden_sizes,
            1,
            skip=skip,
            residual=residual,
            layer_norm=layer_norm,
            quadratic=quadratic,
            activation=activation,
            name="critic",
        )
        return mlp(jnp.concatenate([s, a]), xi)[0]

    check_at_least(1, noise_size=noise_size)
    network = make_state_network(forward, spec.state_size, (spec.action_size,), (noise_size,))

    def noise(key: Key) -> Array:
        return jax.random.normal(key, (noise_size,))

    return Critic(network.init, network.fit_normalizer, noise, network.apply)
