"""No model: the recorded transition is the outcome, whatever the state and action (TD3, DDPG, IQN).

Its derivative in state and action is zero, so it is for targets without gradients; and it cannot imagine transitions.
"""

from typing import NamedTuple, NoReturn

import jax.numpy as jnp

from sobolev.types import Array, Key, Params, Spec, Transition, WorldModel
from sobolev.world_models.base import registry


class Outcome(NamedTuple):
    """The recorded outcome of a step: the next state ``[S]`` and the reward ``[]``."""

    s_next: Array
    r: Array


@registry.register("recorded")
def make_recorded(spec: Spec) -> WorldModel:
    """Recorded transitions in place of a world model; ``differentiable`` is False, c = 1.

    Its ``noise`` raises a ValueError: it can infer from recorded transitions, but not imagine.

    Args:
        spec: of the task.

    Returns:
        The world model; its parameters are ``()``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model, zero = make_recorded(Spec(state_size=1, action_size=1)), jnp.zeros(1)
        >>> step = Transition(s=zero, a=zero, r=jnp.array(3.0), discount=jnp.array(1.0), s_next=zero + 2.0)
        >>> n = model.infer((), jax.random.key(0), step)
        >>> [float(x) for x in (n.s_next[0], n.r, model.simulate((), zero + 7.0, zero, n)[1])]
        [2.0, 3.0, 3.0]
    """
    del spec

    def fit_normalizer(params: Params, transitions: Transition) -> Params:
        del transitions
        return params

    def loss(params: Params, key: Key, transitions: Transition) -> Array:
        del params, key
        return jnp.zeros((), transitions.r.dtype)

    def noise(key: Key) -> NoReturn:
        raise ValueError(
            "world model 'recorded' cannot imagine transitions: use noise_source 'inference' and a horizon of one step "
            "or of source 'replay', or another world model"
        )

    def infer(params: Params, key: Key, transition: Transition) -> Outcome:
        del params, key
        return Outcome(transition.s_next, transition.r)

    def simulate(params: Params, s: Array, a: Array, n: Outcome) -> tuple[Array, Array, Array]:
        del params, s, a
        return n.s_next, n.r, jnp.ones((), n.r.dtype)

    return WorldModel(lambda key: (), fit_normalizer, loss, noise, infer, simulate, differentiable=False)
