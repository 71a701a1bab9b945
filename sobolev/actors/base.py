"""The registry of actors, and what the agent asks of them."""

from collections.abc import Callable

from sobolev.registry import Registry
from sobolev.types import Actor, Array, Decision, Key, Params

registry: Registry[Callable[..., Actor]] = Registry("actor")


def decide(actor: Actor, params: Params, key: Key, s: Array) -> Decision:
    """An action with the entropy bonus and the auxiliary loss that belong to it.

    Args:
        actor: the actor.
        params: its parameters.
        key: for draws.
        s: state ``[S]``.

    Returns:
        ``actor.decide(params, key, s)``, or the action of ``actor.act`` alone where there is none.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from sobolev import actors
        >>> from sobolev.types import Spec
        >>> actor = actors.make_deterministic(Spec(state_size=3, action_size=2), hidden_sizes=(8, 8))
        >>> decision = decide(actor, actor.init(jax.random.key(0)), jax.random.key(1), jnp.zeros(3))
        >>> decision.entropy_bonus, float(decision.auxiliary_loss)
        (0.0, 0.0)
    """
    return Decision(actor.act(params, key, s)) if actor.decide is None else actor.decide(params, key, s)
