"""The known world model: the environment's own step, where its equations are known and differentiable.

It separates the errors of a method from those of its world model: derivatives are exact, and so is inference where the
simulator's is.
"""

import jax.numpy as jnp

from sobolev.types import Array, Key, Noise, Params, Simulator, Spec, Transition, WorldModel
from sobolev.world_models.base import registry


@registry.register("known")
def make_known(spec: Spec, simulator: Simulator | None = None) -> WorldModel:
    """A simulator as world model: no parameters, loss 0.

    Args:
        spec: of the task; its simulator is used where no other is given.
        simulator: takes precedence over ``spec.simulator``.

    Returns:
        The world model; its parameters are ``()``.

    Raises:
        ValueError: there is no simulator.

    See Also:
        :func:`sobolev.environments.make_brax` with ``full_state``, :class:`sobolev.environments.PointMass` and
        :mod:`sobolev.environments.exact`, which have one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> drift = Simulator(
        ...     noise=lambda key: jnp.zeros(0),
        ...     infer=lambda key, transition: jnp.zeros(0),
        ...     simulate=lambda s, a, n: (s + a, -jnp.sum(s**2), jnp.ones(())),
        ... )
        >>> model = make_known(Spec(state_size=1, action_size=1, simulator=drift))
        >>> s_next, r, c = model.simulate((), jnp.array([2.0]), jnp.array([0.5]), model.noise(jax.random.key(0)))
        >>> float(s_next[0]), float(r)
        (2.5, -4.0)
    """
    step = spec.simulator if simulator is None else simulator
    if step is None:
        raise ValueError(
            "world model 'known' needs a simulator, and Spec.simulator is None: give simulator=, or the Spec of an "
            "environment that has a simulator (a perturbed environment has none)"
        )

    def fit_normalizer(params: Params, transitions: Transition) -> Params:
        del transitions
        return params

    def loss(params: Params, key: Key, transitions: Transition) -> Array:
        del params, key
        return jnp.zeros((), transitions.r.dtype)

    def infer(params: Params, key: Key, transition: Transition) -> Noise:
        del params
        return step.infer(key, transition)

    def simulate(params: Params, s: Array, a: Array, n: Noise) -> tuple[Array, Array, Array]:
        del params
        return step.simulate(s, a, n)

    return WorldModel(lambda key: (), fit_normalizer, loss, step.noise, infer, simulate)
