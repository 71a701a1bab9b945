"""The deterministic policy a = squash(network(s)), which explores by Gaussian noise on its actions.

    tanh:       a = tanh(u),             da/du = 1 - a²,            about 4 exp(-2|u|) far out
    algebraic:  a = u / sqrt(1 + u²),    da/du = (1 + u²)^(-3/2),   about |u|^(-3) far out

The papers use tanh. If an untrained critic drives the policy to the bounds of the action, the policy can hardly leave
them: at u = 5 the slope is 2e-4 under tanh and 8e-3 under the algebraic squash, which is our default. An adaptive
optimizer, whose steps do not shrink with the slope, even drives it further. So each state adds, in units of the return,

    auxiliary loss = penalty · sum_i max(|u_i| - 2, 0)²,

which is 0 up to |u_i| = 2 (0.96 and 0.89 of the bound). It is small against the slope of a critic whose optimum is at
the bound, and brings the policy back when the optimum is elsewhere.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from sobolev.actors.base import registry
from sobolev.checks import check_at_least
from sobolev.networks import SkipMLP, make_state_network
from sobolev.registry import unknown_name
from sobolev.types import Actor, Array, Decision, Key, Params, Spec

# The penalty is 0 up to this |u|.
_FREE = 2.0
# First actions are near 0, where a squash is steep (as in DDPG).
_OUTPUT_SCALE = 0.01


def algebraic(u: Array) -> Array:
    """``u / sqrt(1 + u²)``, component by component.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(a), 4) for a in algebraic(jnp.array([0.75, 1e6]))]
        [0.6, 1.0]
    """
    return u * jax.lax.rsqrt(1.0 + u * u)


Squash = Literal["algebraic", "tanh"]
SQUASHES: tuple[Squash, ...] = get_args(Squash)
_SQUASHES: dict[Squash, Callable[[Array], Array]] = {"algebraic": algebraic, "tanh": jnp.tanh}


@registry.register("deterministic")
def make_deterministic(
    spec: Spec,
    hidden_sizes: tuple[int, ...] = (256, 256),
    exploration_noise: float = 0.1,
    residual: bool = True,
    squash: Squash = "algebraic",
    penalty: float = 0.01,
    skip: bool = True,
    activation: str = "swish",
) -> Actor:
    """A deterministic actor (V24 A.8: two layers of 256, Swish, input skips and residuals).

    Args:
        spec: sizes of state and action.
        hidden_sizes: widths of the hidden layers.
        exploration_noise: standard deviation of what is added to an action while exploring, in units of the action,
            whose range is [-1, 1]; the sum is clipped to it.
        residual: whether each hidden layer is added to the next.
        squash: the function that maps the network's output into (-1, 1), "algebraic" or "tanh" (V24).
        penalty: weight of the auxiliary loss; 0 for none (the papers).
        skip: whether the input is fed to every hidden layer, not to the first alone.
        activation: the nonlinearity, a name in ``sobolev.networks.ACTIVATIONS``.

    Returns:
        The actor; its policy ignores the key.

    Raises:
        ValueError: an unknown squash, or a negative penalty.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> actor = make_deterministic(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8), squash="tanh")
        >>> bool(jnp.all(jnp.abs(actor.act(actor.init(jax.random.key(0)), jax.random.key(1), jnp.ones(3))) < 1))
        True
    """
    check_at_least(0, penalty=penalty, exploration_noise=exploration_noise)
    if squash not in SQUASHES:
        raise unknown_name("squash", squash, SQUASHES)

    def forward(s: Array) -> Array:
        mlp = SkipMLP(
            hidden_sizes,
            spec.action_size,
            skip=skip,
            residual=residual,
            output_scale=_OUTPUT_SCALE,
            activation=activation,
            name="actor",
        )
        return mlp(s)

    network = make_state_network(forward, spec.state_size)

    def decide(params: Params, key: Key, s: Array) -> Decision:
        del key
        u = network.apply(params, s)
        excess = jnp.maximum(jnp.abs(u) - _FREE, 0.0)
        return Decision(_SQUASHES[squash](u), auxiliary_loss=penalty * jnp.sum(excess**2))

    def act(params: Params, key: Key, s: Array) -> Array:
        return decide(params, key, s).a

    def explore(params: Params, key: Key, s: Array) -> Array:
        noise = exploration_noise * jax.random.normal(key, (spec.action_size,))
        return jnp.clip(act(params, key, s) + noise, -1.0, 1.0)

    return Actor(network.init, network.fit_normalizer, act, explore, decide=decide)
