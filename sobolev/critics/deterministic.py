"""The point critic Q(s, a) of TD3, DDPG, SAC and MAGE: one value, no noise."""

import jax.numpy as jnp

from sobolev.critics.base import registry
from sobolev.networks import SkipMLP, make_state_network
from sobolev.types import Array, Critic, Key, Params, Spec


@registry.register("deterministic")
def make_deterministic(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (256, 256),
    residual: bool = True,
    layer_norm: bool = False,
    quadratic: bool = False,
    skip: bool = True,
    activation: str = "swish",
) -> Critic:
    """A critic without noise: all its samples are equal, so one is enough.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        residual: whether each hidden layer is added to the next.
        layer_norm: whether each hidden layer is normalized, see :class:`sobolev.networks.SkipMLP`.
        quadratic: whether a quadratic function of state and action is added to the output.
        skip: whether the input is fed to every hidden layer, not to the first alone.
        activation: the nonlinearity, a name in ``sobolev.networks.ACTIVATIONS``.

    Returns:
        The critic; its noise is empty.

    Example:
        >>> import jax
        >>> critic = make_deterministic(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8))
        >>> critic.noise(jax.random.key(0)).shape
        (0,)
    """

    def forward(s: Array, a: Array) -> Array:
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
        return mlp(jnp.concatenate([s, a]))[0]

    network = make_state_network(forward, spec.state_size, (spec.action_size,))

    def noise(key: Key) -> Array:
        del key
        return jnp.zeros(0)

    def value(params: Params, s: Array, a: Array, xi: Array) -> Array:
        del xi
        return network.apply(params, s, a)

    return Critic(network.init, network.fit_normalizer, noise, value)
