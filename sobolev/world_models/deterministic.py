"""The deterministic world model: a regressor of the conditional mean.

    t = f(x),   loss = |t - f(x)|² / 2

for the normalized input x = [s, a] and target t = [s' - s, r]; the noise is empty. With ``exact_inference`` a recorded
transition is f(x) plus a constant remainder; without it, the mean f(x) replaces the transition.
"""

import haiku as hk
import jax.numpy as jnp

from sobolev.networks import SkipMLP
from sobolev.types import Array, Key, Params, Spec, WorldModel
from sobolev.world_models.base import ConditionalModel, registry, residual_world_model


@registry.register("deterministic")
def make_deterministic(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (512, 512, 512),
    exact_inference: bool = True,
    separable_reward: bool = False,
) -> WorldModel:
    """A regressor as world model.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        exact_inference: see ``residual_world_model``; False simulates the mean, whatever was recorded.
        separable_reward: see ``residual_world_model``.

    Returns:
        The world model.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = make_deterministic(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8))
        >>> n = model.noise(jax.random.key(0))
        >>> s_next, r, c = model.simulate(model.init(jax.random.key(1)), jnp.zeros(3), jnp.zeros(2), n)
        >>> n.model.shape, s_next.shape
        ((0,), (3,))
    """

    def forward(x: Array) -> Array:
        return SkipMLP(hidden_sizes, spec.state_size + 1, name="mean")(x)

    network = hk.without_apply_rng(hk.transform(forward))

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(spec.state_size + spec.action_size))

    def loss(params: Params, key: Key, x: Array, t: Array) -> Array:
        del key
        return 0.5 * jnp.sum((t - network.apply(params, x)) ** 2)

    def noise(key: Key) -> Array:
        del key
        return jnp.zeros(0)

    def infer(params: Params, key: Key, x: Array, t: Array) -> Array:
        del params, x, t
        return noise(key)

    def sample(params: Params, x: Array, n: Array) -> Array:
        del n
        return network.apply(params, x)

    model = ConditionalModel(init, loss, noise, infer, sample)
    return residual_world_model(model, spec, exact_inference, separable_reward=separable_reward)
