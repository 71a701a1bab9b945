"""The conditional normalizing flow: an invertible map from noise to the target, given the input.

    n ~ N(0, I),   t = mu(x) + sigma(x) · h_x(n),   h_x = c_1 ∘ … ∘ c_K,   mu(x) = W x + b + MLP(x)
    loss = -log p(t | x) = -log N(n; 0, I) + log |det dt/dn|

for the normalized input x = [s, a] and target t = [s' - s, r]. The c_k are affine coupling layers (Dinh et al. 2017)
whose conditioners also take x: in turn, one half of the components shifts and scales the other. They are initialized
near the identity, so that the flow begins as a conditional Gaussian; a linear-Gaussian step is in the family.
Likelihood and inference are exact, n = h_x^{-1}((t - mu) / sigma), and t is smooth in x at fixed n.

V26 names a "light normalizing flow" as an alternative to its cVAE, without details; the architecture is ours.
"""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp

from sobolev.checks import check_at_least
from sobolev.networks import SkipMLP, SplitLinear
from sobolev.types import Array, Key, Params, Spec, WorldModel
from sobolev.world_models.base import ConditionalModel, registry, residual_world_model, softly_bounded

# Bound of |log sigma|, in units of the normalized target: a smaller sigma than exp(-3) would make gradients stiff.
_LARGEST_LOG_SCALE = 3.0
# Bound of the log-scale of one coupling layer; those of several layers add.
_LARGEST_COUPLING_LOG_SCALE = 1.0


@registry.register("flow")
def make_flow(
    spec: Spec, hidden_sizes: tuple[int, ...] = (256, 256), couplings: int = 4, separable_reward: bool = False
) -> WorldModel:
    """A conditional normalizing flow as world model.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the networks, one for the affine layer and one per coupling.
        couplings: K; two of them change every component once.
        separable_reward: see ``residual_world_model``.

    Returns:
        The world model; its own noise is ``[S + 1]``.

    Raises:
        ValueError: couplings is negative.

    Example:
        >>> import jax
        >>> model = make_flow(Spec(state_size=3, action_size=2), hidden_sizes=(8,), couplings=2)
        >>> model.noise(jax.random.key(0)).model.shape
        (4,)
    """
    check_at_least(0, couplings=couplings)
    target_size = spec.state_size + 1
    network = _make_network(hidden_sizes, target_size, couplings)
    forward, inverse_and_log_det = network.apply

    def init(key: Key) -> Params:
        return network.init(key, jnp.zeros(spec.state_size + spec.action_size), jnp.zeros(target_size))

    def loss(params: Params, key: Key, x: Array, t: Array) -> Array:
        del key
        n, log_det = inverse_and_log_det(params, x, t)
        return -jnp.sum(jax.scipy.stats.norm.logpdf(n)) - log_det

    def noise(key: Key) -> Array:
        return jax.random.normal(key, (target_size,))

    def infer(params: Params, key: Key, x: Array, t: Array) -> Array:
        del key
        return inverse_and_log_det(params, x, t)[0]

    model = ConditionalModel(init, loss, noise, infer, sample=forward)
    return residual_world_model(model, spec, exact_inference=False, separable_reward=separable_reward)


def _make_network(hidden_sizes: tuple[int, ...], target_size: int, couplings: int) -> hk.MultiTransformed:
    """``apply`` is ``(x, n) -> t`` and ``(x, t) -> (n, log |det dn/dt|)``, each behind params."""
    import distrax  # here, since it takes about a second and loads TensorFlow Probability

    def networks() -> tuple[Any, Any]:
        affine, linear = SkipMLP(hidden_sizes, 2 * target_size, name="affine"), SplitLinear(target_size, name="linear")
        conditioners = [
            SkipMLP(hidden_sizes, 2 * target_size, output_scale=0.01, name=f"coupling_{k}") for k in range(couplings)
        ]

        def scalar_affine(raw: Array, bound: float, location: Array | float = 0.0) -> Any:
            shift, log_scale = jnp.split(raw, 2, axis=-1)
            return distrax.ScalarAffine(location + shift, log_scale=softly_bounded(log_scale, bound))

        def bijector(x: Array) -> Any:
            layers = [distrax.Block(scalar_affine(affine(x), _LARGEST_LOG_SCALE, linear(x)), 1)]
            for k, conditioner in enumerate(conditioners):
                layers.append(
                    distrax.MaskedCoupling(
                        mask=jnp.arange(target_size) % 2 == k % 2,
                        conditioner=lambda u, conditioner=conditioner: conditioner(x, u),
                        bijector=lambda raw: scalar_affine(raw, _LARGEST_COUPLING_LOG_SCALE),
                    )
                )
            return distrax.Chain(layers)

        def forward(x: Array, n: Array) -> Array:
            return bijector(x).forward(n)

        def inverse_and_log_det(x: Array, t: Array) -> tuple[Array, Array]:
            return bijector(x).inverse_and_log_det(t)

        return forward, (forward, inverse_and_log_det)

    return hk.without_apply_rng(hk.multi_transform(networks))
