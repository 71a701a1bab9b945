"""The squashed Gaussian policy of soft actor-critic, with a learned temperature.

    a = tanh(u),   u = mu(s) + sigma(s) n,   n ~ N(0, I)
    log pi(a | s) = sum_i [ log N(u_i; mu_i, sigma_i²) - log(1 - tanh(u_i)²) ]

The objective adds -alpha log pi(a | s) to the return; alpha is learned so that the entropy stays at a target.

Source: Haarnoja et al., "Soft actor-critic algorithms and applications" (2018), sections 5 and 6.
"""

import jax
import jax.numpy as jnp

from sobolev.actors.base import registry
from sobolev.checks import check_finite, check_positive
from sobolev.networks import SkipMLP, make_state_network
from sobolev.types import Actor, Array, Decision, Key, Params, Spec

# SAC's bounds of log sigma; tanh approaches them smoothly.
_LOG_STD = (-5.0, 2.0)


def log_density(n: Array, log_std: Array, u: Array) -> Array:
    """``log pi(tanh(u))`` for ``u = mu + exp(log_std) n``.

    log(1 - tanh(u)²) is computed as 2 (log 2 - u - softplus(-2u)), which is exact for large |u| too.

    Args:
        n: standard normal ``[A]``.
        log_std: logarithm of sigma, ``[A]``.
        u: the action before tanh, ``[A]``.

    Returns:
        A scalar, in nats.

    Example:
        >>> import jax.numpy as jnp
        >>> zero = jnp.zeros(1)
        >>> round(float(log_density(zero, zero, zero)), 4)  # -log sqrt(2 pi), as tanh has slope 1 at 0
        -0.9189
    """
    gaussian = -0.5 * (n**2 + jnp.log(2.0 * jnp.pi)) - log_std
    jacobian = 2.0 * (jnp.log(2.0) - u - jax.nn.softplus(-2.0 * u))
    return jnp.sum(gaussian - jacobian)


@registry.register("squashed_gaussian")
def make_squashed_gaussian(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (256, 256),
    initial_temperature: float = 1.0,
    target_entropy: float | None = None,
    residual: bool = True,
    skip: bool = True,
    activation: str = "swish",
) -> Actor:
    """A stochastic actor; it acts, explores and learns by samples, and is evaluated at tanh(mu).

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        initial_temperature: alpha before learning, positive.
        target_entropy: the entropy at which alpha settles, in nats; -A by default (SAC).
        residual: whether each hidden layer is added to the next.
        skip: whether the input is fed to every hidden layer, not to the first alone.
        activation: the nonlinearity, a name in ``sobolev.networks.ACTIVATIONS``.

    Returns:
        The actor; its auxiliary loss is that of alpha.

    Raises:
        ValueError: initial_temperature is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> actor = make_squashed_gaussian(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8))
        >>> actor.decide(actor.init(jax.random.key(0)), jax.random.key(1), jnp.ones(3)).entropy_bonus.shape
        ()
    """
    check_positive(initial_temperature=initial_temperature)
    if target_entropy is not None:
        check_finite(target_entropy=target_entropy)
    entropy = -float(spec.action_size) if target_entropy is None else target_entropy

    def forward(s: Array) -> tuple[Array, Array]:
        mlp = SkipMLP(
            hidden_sizes, 2 * spec.action_size, skip=skip, residual=residual, activation=activation, name="actor"
        )
        mean, raw = jnp.split(mlp(s), 2)
        low, high = _LOG_STD
        return mean, low + 0.5 * (high - low) * (1.0 + jnp.tanh(raw))

    network = make_state_network(forward, spec.state_size)

    def init(key: Key) -> Params:
        return {**network.init(key), "log_temperature": jnp.log(jnp.asarray(initial_temperature))}

    def decide(params: Params, key: Key, s: Array) -> Decision:
        mean, log_std = network.apply(params, s)
        n = jax.random.normal(key, mean.shape)
        u = mean + jnp.exp(log_std) * n
        log_prob = log_density(n, log_std, u)
        alpha = jax.lax.stop_gradient(jnp.exp(params["log_temperature"]))
        missing = jax.lax.stop_gradient(log_prob + entropy)
        return Decision(jnp.tanh(u), -alpha * log_prob, -params["log_temperature"] * missing)

    def act(params: Params, key: Key, s: Array) -> Array:
        return decide(params, key, s).a

    def mode(params: Params, key: Key, s: Array) -> Array:
        del key
        return jnp.tanh(network.apply(params, s)[0])

    return Actor(init, network.fit_normalizer, act, act, mode, decide)
