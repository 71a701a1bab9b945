"""Ensembles of regressors; the member is exogenous noise, drawn for each sample.

For the normalized input x = [s, a] and target t = [s' - s, r], member m of M has

    mage                mean f_m(x)                             loss  w_m |t - f_m(x)|² / 2
    gaussian_ensemble   mean f_m(x), deviation sigma_m(x)       loss -w_m log N(t; f_m(x), sigma_m(x)²)

both averaged over the members. w_m ~ Poisson(1), drawn for each member and transition of a batch, is the number of
times that the member's bootstrap resample of the batch holds the transition (in the limit of large batches; Oza and
Russell 2001).

The paper of MAGE (D'Oro and Jaskowski 2020) describes the former, a model of the mean; its code samples the latter,
with log sigma² = -5 + 4 sigmoid(·).
"""

from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from sobolev.checks import check_at_least
from sobolev.networks import SkipMLP
from sobolev.types import Array, Key, Params, Spec, WorldModel
from sobolev.world_models.base import ConditionalModel, registry, residual_world_model


class _Ensemble(NamedTuple):
    """``init(key) -> params``, their leaves ``[M, ...]``; ``outputs(params, x) -> [M, output_size]``.

    All members are evaluated, and the output of the one that was drawn is selected. Selecting its weights instead would
    copy a network per sample under a vmap over samples; and samples that share x share this evaluation.
    """

    init: Callable[[Key], Params]
    outputs: Callable[[Params, Array], Array]


def _make_ensemble(spec: Spec, hidden_sizes: tuple[int, ...], members: int, output_size: int) -> _Ensemble:
    check_at_least(1, members=members)

    def forward(x: Array) -> Array:
        return SkipMLP(hidden_sizes, output_size, name="member")(x)

    network = hk.without_apply_rng(hk.transform(forward))

    def init(key: Key) -> Params:
        x = jnp.zeros(spec.state_size + spec.action_size)
        return jax.vmap(lambda key: network.init(key, x))(jax.random.split(key, members))

    def outputs(params: Params, x: Array) -> Array:
        return jax.vmap(network.apply, in_axes=(0, None))(params, x)

    return _Ensemble(init, outputs)


def _bootstrapped_mean(key: Key, losses: Array) -> Array:
    """The mean of ``losses[M]``, each as often as that member's resample holds the transition."""
    counts = jax.random.poisson(key, 1.0, losses.shape)
    return jnp.mean(counts * losses)


@registry.register("mage")
def make_mage(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (512, 512, 512, 512),
    members: int = 8,
    exact_inference: bool = True,
    separable_reward: bool = False,
) -> WorldModel:
    """An ensemble of means. Inference draws any member: a mean without a distribution has no posterior of the member.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of each member (MAGE's code: four layers of 512).
        members: M (MAGE's code: 8).
        exact_inference: see ``residual_world_model``; False simulates a member's mean, whatever was recorded.
        separable_reward: see ``residual_world_model``.

    Returns:
        The world model; its own noise is the index of a member, ``[]``.

    Raises:
        ValueError: members is below 1.

    Example:
        >>> import jax
        >>> model = make_mage(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8), members=5)
        >>> bool(0 <= model.noise(jax.random.key(0)).model < 5)
        True
    """
    ensemble = _make_ensemble(spec, hidden_sizes, members, spec.state_size + 1)

    def loss(params: Params, key: Key, x: Array, t: Array) -> Array:
        errors = t - ensemble.outputs(params, x)
        return _bootstrapped_mean(key, 0.5 * jnp.sum(errors**2, axis=-1))

    def noise(key: Key) -> Array:
        return jax.random.randint(key, (), 0, members)

    def infer(params: Params, key: Key, x: Array, t: Array) -> Array:
        del params, x, t
        return noise(key)

    def sample(params: Params, x: Array, n: Array) -> Array:
        return ensemble.outputs(params, x)[n]

    model = ConditionalModel(ensemble.init, loss, noise, infer, sample)
    return residual_world_model(model, spec, exact_inference, separable_reward=separable_reward)


class GaussianNoise(NamedTuple):
    """Which member, ``[]``, and its standard normal noise, ``[S + 1]``."""

    member: Array
    normal: Array


@registry.register("gaussian_ensemble")
def make_gaussian_ensemble(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (512, 512, 512, 512),
    members: int = 8,
    log_var_bounds: tuple[float, float] = (-5.0, -1.0),
    separable_reward: bool = False,
) -> WorldModel:
    """An ensemble of Gaussians: t = f_m(x) + sigma_m(x) n.

    Inference draws the member from its posterior given the transition, and solves for n; it is exact.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of each member (MAGE's code: four layers of 512).
        members: M (MAGE's code: 8).
        log_var_bounds: bounds of log sigma², in units of the normalized target. The default is that of MAGE's code,
            sigma in [0.082, 0.607]: never 0, and never the spread 1 of a target that the input does not explain.
        separable_reward: see ``residual_world_model``.

    Returns:
        The world model; its own noise is a :class:`GaussianNoise`.

    Raises:
        ValueError: members is below 1, or the bounds are not in order.

    Example:
        >>> import jax
        >>> model = make_gaussian_ensemble(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8), members=5)
        >>> model.noise(jax.random.key(0)).model.normal.shape
        (4,)
    """
    low, high = log_var_bounds
    if not low < high:
        raise ValueError(f"log_var_bounds must ascend, got {log_var_bounds}")
    target_size = spec.state_size + 1
    ensemble = _make_ensemble(spec, hidden_sizes, members, 2 * target_size)

    def distributions(params: Params, x: Array) -> tuple[Array, Array]:
        """Means and deviations of all members, each ``[M, S + 1]``."""
        mean, raw = jnp.split(ensemble.outputs(params, x), 2, axis=-1)
        return mean, jnp.exp(0.5 * (low + (high - low) * jax.nn.sigmoid(raw)))

    def log_likelihoods(params: Params, x: Array, t: Array) -> Array:
        return jnp.sum(jax.scipy.stats.norm.logpdf(t, *distributions(params, x)), axis=-1)

    def loss(params: Params, key: Key, x: Array, t: Array) -> Array:
        return _bootstrapped_mean(key, -log_likelihoods(params, x, t))

    def noise(key: Key) -> GaussianNoise:
        key_member, key_normal = jax.random.split(key)
        return GaussianNoise(
            jax.random.randint(key_member, (), 0, members), jax.random.normal(key_normal, (target_size,))
        )

    def infer(params: Params, key: Key, x: Array, t: Array) -> GaussianNoise:
        member = jax.random.categorical(key, log_likelihoods(params, x, t))
        mean, std = distributions(params, x)
        return GaussianNoise(member, (t - mean[member]) / std[member])

    def sample(params: Params, x: Array, n: GaussianNoise) -> Array:
        mean, std = distributions(params, x)
        return mean[n.member] + std[n.member] * n.normal

    model = ConditionalModel(ensemble.init, loss, noise, infer, sample)
    return residual_world_model(model, spec, exact_inference=False, separable_reward=separable_reward)
