"""The registry of actors, what the agent asks of them, and the trust region of their actions."""

from collections.abc import Callable

import jax.numpy as jnp

from sobolev.numerics import safe_norm
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


def nearest_within(a: Array, center: Array, radius: float) -> Array:
    """The action nearest to ``a`` whose distance from another is at most a radius.

        center + min(1, radius / d) (a - center),   d = |a - center| / sqrt(A)

    Its derivative in ``a`` is the identity within the radius; beyond it nothing moves the result further out.

    Args:
        a: ``[A]``.
        center: ``[A]``.
        radius: in units of the action, positive: the root mean square of a component's difference.

    Returns:
        ``[A]``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> nearest_within(jnp.array([0.9, 0.5]), jnp.array([0.5, 0.5]), radius=0.2**0.5 / 2).tolist()  # d = 0.08**0.5
        [0.8162277936935425, 0.5]
    """
    offset = a - center
    distance = safe_norm(offset) / jnp.sqrt(float(a.shape[-1]))
    beyond = distance > radius
    return jnp.where(beyond, center + radius / jnp.where(beyond, distance, 1.0) * offset, a)
