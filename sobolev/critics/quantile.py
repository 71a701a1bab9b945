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

from sobolev.checks import check_at_least
from sobolev.critics.base import registry
from sobolev.networks import SkipMLP, check_hidden_sizes, make_state_network
from sobolev.types import Array, Critic, Key, Spec


def _level(tau: Array) -> Array:
    return tau


def _quantile_critic(
    spec: Spec,
    forward: Callable[[Array, Array, Array], Array],
    noise: Callable[[Key], Array],
    noises: Callable[[Key, int], Array] | None = None,
) -> Critic:
    """The critic of a Haiku function ``forward(s, a, tau) -> []`` of a normalized state, whose noise is the level."""
    network = make_state_network(forward, spec.state_size, (spec.action_size,), ())
    return Critic(network.init, network.fit_normalizer, noise, network.apply, noises, _level)


@registry.register("quantile")
def make_quantile(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (256, 256),
    embedding_size: int = 64,
    residual: bool = True,
    layer_norm: bool = False,
    quadratic: bool = False,
    skip: bool = True,
    activation: str = "swish",
) -> Critic:
    """An implicit quantile critic: the level enters by a cosine embedding, times the features of state and action.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers; the features and their product with the embedding have the last one.
        embedding_size: cosines of the level (IQN: 64).
        residual: whether each hidden layer is added to the next.
        layer_norm: whether each hidden layer of the features is normalized, see :class:`sobolev.networks.SkipMLP`.
        quadratic: whether a quadratic function of state and action is added to each feature.
        skip: whether the input is fed to every hidden layer, not to the first alone.
        activation: the nonlinearity, a name in ``sobolev.networks.ACTIVATIONS``.

    Returns:
        The critic; its noise is the level, uniform in (0, 1).

    Example:
        >>> import jax
        >>> critic = make_quantile(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8), embedding_size=4)
        >>> tau = critic.noise(jax.random.key(0))
        >>> bool(0 < critic.level(tau) < 1)
        True
    """
    check_hidden_sizes(hidden_sizes)
    check_at_least(1, embedding_size=embedding_size)
    width = hidden_sizes[-1]

    def forward(s: Array, a: Array, tau: Array) -> Array:
        mlp = SkipMLP(
            hidden_sizes,
            width,
            skip=skip,
            residual=residual,
            layer_norm=layer_norm,
            quadratic=quadratic,
            activation=activation,
            name="features",
        )
        features = mlp(jnp.concatenate([s, a]))
        cosines = jnp.cos(jnp.pi * jnp.arange(1, embedding_size + 1) * tau)
        embedding = jax.nn.swish(hk.Linear(width, name="embedding")(cosines))
        return SkipMLP((width,), 1, name="quantile")(features * embedding)[0]

    return _quantile_critic(spec, forward, jax.random.uniform)


@registry.register("fixed_quantile")
def make_fixed_quantile(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (256, 256),
    num_quantiles: int = 25,
    residual: bool = True,
    layer_norm: bool = False,
    quadratic: bool = False,
    skip: bool = True,
    activation: str = "swish",
) -> Critic:
    """A critic of K atoms, the quantiles at the levels (k + 1/2) / K.

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        num_quantiles: K (TQC: 25); a set of samples has exactly K.
        residual: whether each hidden layer is added to the next.
        layer_norm: whether each hidden layer is normalized, see :class:`sobolev.networks.SkipMLP`.
        quadratic: whether a quadratic function of state and action is added to each atom.
        skip: whether the input is fed to every hidden layer, not to the first alone.
        activation: the nonlinearity, a name in ``sobolev.networks.ACTIVATIONS``.

    Returns:
        The critic; its noise is a level, uniform among the K.

    Raises:
        ValueError: num_quantiles is below 1; or, by ``noises``, a number of samples other than K.

    Example:
        >>> import jax
        >>> critic = make_fixed_quantile(Spec(state_size=3, action_size=2), hidden_sizes=(8,), num_quantiles=2)
        >>> critic.noises(jax.random.key(0), 2).tolist()
        [0.25, 0.75]
    """
    check_at_least(1, num_quantiles=num_quantiles)

    def forward(s: Array, a: Array, tau: Array) -> Array:
        mlp = SkipMLP(
            hidden_sizes,
            num_quantiles,
            skip=skip,
            residual=residual,
            layer_norm=layer_norm,
            quadratic=quadratic,
            activation=activation,
            name="critic",
        )
        atoms = mlp(jnp.concatenate([s, a]))
        atom = jnp.clip(jnp.floor(tau * num_quantiles), 0, num_quantiles - 1)
        # Not by an index, whose derivative a CPU writes one number at a time.
        return jnp.sum(jnp.where(jnp.arange(num_quantiles) == atom, atoms, 0.0))

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

    return _quantile_critic(spec, forward, noise, noises)
