"""Quantile critics: the return's quantile function, whose noise is the level tau.

    implicit (IQN):      Z(s, a, tau) = h( f(s, a) * phi(tau) ),   phi_j(tau) = act(sum_i cos(pi i tau) w_ij + b_j)
    fixed (QR-DQN, TQC): Z(s, a, tau) = the atom of the K outputs whose interval [k/K, (k+1)/K) holds tau

A level drawn uniformly gives a sample of the return, and its action gradient that of the quantile, d_a q_tau(s, a):
the conditional mean of the return's pathwise gradient where the return is that quantile.

Sources: Dabney et al., "Implicit quantile networks" (ICML 2018) and "Distributional RL with quantile regression" (AAAI
2018); Kuznetsov et al., "Truncated mixture of continuous distributional quantile critics" (ICML 2020).
"""

from collections.abc import Callable

import haiku as hk
import jax
import jax.numpy as jnp

from sobolev.critics.base import registry
from sobolev.networks import SkipMLP
from sobolev.scaling import fit_scale, standardise, unit_scale
from sobolev.types import Array, Critic, Key, Params, Spec, Transition


def _level(tau: Array) -> Array:
    return tau


def _standardised_state_critic(
    spec: Spec,
    forward: Callable[[Array, Array, Array], Array],
    noise: Callable[[Key], Array],
    noises: Callable[[Key, int], Array] | None = None,
) -> Critic:
    """A critic of a network ``forward(s, a, tau) -> []``, fed with standardised states."""
    network = hk.without_apply_rng(hk.transform(forward))

    def init(key: Key) -> Params:
        weights = network.init(key, jnp.zeros(spec.state_size), jnp.zeros(spec.action_size), jnp.zeros(()))
        return {"network": weights, "state": unit_scale(spec.state_size)}

    def prepare(params: Params, transitions: Transition) -> Params:
        return {**params, "state": fit_scale(transitions.s)}

    def value(params: Params, s: Array, a: Array, tau: Array) -> Array:
        return network.apply(params["network"], standardise(params["state"], s), a, tau)

    return Critic(init, prepare, noise, value, noises, _level)


@registry.register("quantile")
def make_quantile(
    spec: Spec, hidden_sizes: tuple[int, ...] = (256, 256), embedding_size: int = 64, residual: bool = True
) -> Critic:
    """An implicit quantile critic: the level enters by a cosine embedding, times the features of state and action.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers; the features and their product with the embedding have the last one.
        embedding_size: cosines of the level (IQN: 64).
        residual: whether each hidden layer is added to the next.

    Example:
        >>> import jax
        >>> critic = make_quantile(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8), embedding_size=4)
        >>> tau = critic.noise(jax.random.key(0))
        >>> bool(0 < critic.level(tau) < 1)
        True
    """
    width = hidden_sizes[-1]

    def forward(s: Array, a: Array, tau: Array) -> Array:
        features = SkipMLP(hidden_sizes, width, residual=residual, name="features")(jnp.concatenate([s, a]))
        cosines = jnp.cos(jnp.pi * jnp.arange(1, embedding_size + 1) * tau)
        embedding = jax.nn.swish(hk.Linear(width, name="embedding")(cosines))
        return SkipMLP((width,), 1, name="quantile")(features * embedding)[0]

    return _standardised_state_critic(spec, forward, jax.random.uniform)


@registry.register("fixed_quantile")
def make_fixed_quantile(
    spec: Spec, hidden_sizes: tuple[int, ...] = (256, 256), num_quantiles: int = 25, residual: bool = True
) -> Critic:
    """A critic of K atoms, the quantiles at the levels (k + 1/2) / K.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        num_quantiles: K (TQC: 25). A set of samples must be all of them.
        residual: whether each hidden layer is added to the next.

    Raises:
        ValueError: num_quantiles is below 1; or, by ``noises``, another number of samples than K is asked for.
    """
    if num_quantiles < 1:
        raise ValueError(f"num_quantiles must be at least 1, got {num_quantiles}")

    def forward(s: Array, a: Array, tau: Array) -> Array:
        atoms = SkipMLP(hidden_sizes, num_quantiles, residual=residual, name="critic")(jnp.concatenate([s, a]))
        return atoms[jnp.clip(jnp.floor(tau * num_quantiles).astype(int), 0, num_quantiles - 1)]

    def midpoint(atom: Array) -> Array:
        return (atom + 0.5) / num_quantiles

    def noise(key: Key) -> Array:
        return midpoint(jax.random.randint(key, (), 0, num_quantiles))

    def noises(key: Key, num: int) -> Array:
        del key
        if num != num_quantiles:
            raise ValueError(
                f"a fixed-quantile critic of {num_quantiles} atoms gives {num_quantiles} samples, not {num}: "
                "make num_samples and num_quantiles equal"
            )
        return midpoint(jnp.arange(num))

    return _standardised_state_critic(spec, forward, noise, noises)
