"""The conditional variational autoencoder of one step (V24 section 3.4 and A.8; V26 with a learned prior).

With the normalized input x = [s, a] and target t = [s' - s, r],

    encoder  q(z | x, t) = N(mu_q, sigma_q²),   prior  p(z | x) = N(mu_p, sigma_p²),   decoder  t = d(x, z) + N(0, I)
    loss = |t - d(x, z)|² / 2 + beta · KL(q(z | x, t) || p(z | x)),   z ~ q

The exogenous noise is not z but n in z = mu_p(x) + sigma_p(x) n: at fixed n the prior's own dependence on state and
action is part of the derivative. Inference therefore returns n = (z - mu_p) / sigma_p for z ~ q, which is held constant
in later derivatives: one through the encoder would be zero for a perfect autoencoder, whose output ignores a.
"""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from sobolev.checks import check_at_least
from sobolev.networks import SkipMLP
from sobolev.types import Array, Key, Params, Spec, WorldModel
from sobolev.world_models.base import ConditionalModel, registry, residual_world_model, softly_bounded

# Bound of |log sigma|: a posterior narrower than exp(-5) would only make gradients stiff.
_LARGEST_LOG_STD = 5.0


class Gaussian(NamedTuple):
    """A normal distribution with independent components, ``[Z]``."""

    mean: Array
    std: Array


def _gaussian(raw: Array) -> Gaussian:
    mean, log_std = jnp.split(raw, 2, axis=-1)
    return Gaussian(mean, jnp.exp(softly_bounded(log_std, _LARGEST_LOG_STD)))


def kl_divergence(q: Gaussian, p: Gaussian) -> Array:
    """``KL(q || p) = sum [ log(sigma_p / sigma_q) + (sigma_q² + (mu_q - mu_p)²) / (2 sigma_p²) - 1/2 ]``.

    Args:
        q: the posterior.
        p: the prior.

    Returns:
        A scalar, in nats.

    Example:
        >>> import jax.numpy as jnp
        >>> float(kl_divergence(Gaussian(jnp.ones(2), jnp.ones(2)), Gaussian(jnp.zeros(2), jnp.ones(2))))
        1.0
    """
    variance = (q.std**2 + (q.mean - p.mean) ** 2) / (2.0 * p.std**2)
    return jnp.sum(jnp.log(p.std / q.std) + variance - 0.5)


@registry.register("cvae")
def make_cvae(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (512, 512, 512),
    latent_size: int | None = None,
    beta: float = 0.1,
    learned_prior: bool = True,
    exact_inference: bool = True,
    separable_reward: bool = False,
) -> WorldModel:
    """A conditional VAE as world model.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of encoder, decoder and learned prior (V24: three layers of 512).
        latent_size: length of z; S + 1 by default (V24).
        beta: weight of the KL term (V24: 0.1).
        learned_prior: p(z | x) is a network (V26) or the standard normal (V24).
        exact_inference: see ``residual_world_model``; False gives the papers' reconstruction.
        separable_reward: see ``residual_world_model``.

    Returns:
        The world model; its own noise is ``[latent_size]``.

    Raises:
        ValueError: beta is negative, or latent_size is below 1.

    Example:
        >>> import jax
        >>> make_cvae(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8)).noise(jax.random.key(0)).model.shape
        (4,)
    """
    input_size, target_size = spec.state_size + spec.action_size, spec.state_size + 1
    latent = target_size if latent_size is None else latent_size
    check_at_least(0, beta=beta)
    check_at_least(1, latent_size=latent)
    network = _make_network(hidden_sizes, input_size, target_size, latent, learned_prior)
    encode, prior, decode = network.apply

    def init(key: Key) -> Params:
        return network.init(key)

    def loss(params: Params, key: Key, x: Array, t: Array) -> Array:
        q = encode(params, x, t)
        z = q.mean + q.std * jax.random.normal(key, (latent,))
        error = t - decode(params, x, z)
        return 0.5 * jnp.sum(error**2) + beta * kl_divergence(q, prior(params, x))

    def noise(key: Key) -> Array:
        return jax.random.normal(key, (latent,))

    def infer(params: Params, key: Key, x: Array, t: Array) -> Array:
        q, p = encode(params, x, t), prior(params, x)
        z = q.mean + q.std * jax.random.normal(key, (latent,))
        return (z - p.mean) / p.std

    def sample(params: Params, x: Array, n: Array) -> Array:
        p = prior(params, x)
        return decode(params, x, p.mean + p.std * n)

    model = ConditionalModel(init, loss, noise, infer, sample)
    return residual_world_model(model, spec, exact_inference, separable_reward=separable_reward)


def _make_network(
    hidden_sizes: tuple[int, ...], input_size: int, target_size: int, latent: int, learned_prior: bool
) -> hk.MultiTransformed:
    """Encoder, prior and decoder over one set of parameters; ``apply`` is the triple of them, ``init`` takes a key."""

    def networks() -> tuple:
        def mlp(output_size: int, name: str) -> SkipMLP:
            return SkipMLP(hidden_sizes, output_size, layer_norm=True, name=name)

        encoder, decoder = mlp(2 * latent, "encoder"), mlp(target_size, "decoder")
        prior_mlp = mlp(2 * latent, "prior") if learned_prior else None

        def encode(x: Array, t: Array) -> Gaussian:
            return _gaussian(encoder(x, t))

        def prior(x: Array) -> Gaussian:
            return _gaussian(prior_mlp(x)) if prior_mlp else Gaussian(jnp.zeros(latent), jnp.ones(latent))

        def decode(x: Array, z: Array) -> Array:
            return decoder(x, z)

        def create() -> None:
            x, t = jnp.zeros(input_size), jnp.zeros(target_size)
            encode(x, t)
            decode(x, prior(x).mean)

        return create, (encode, prior, decode)

    return hk.without_apply_rng(hk.multi_transform(networks))
