"""The papers' two noise settings, as wrappers of any environment that can hold them (V26, section 5)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State, Wrapper

from sobolev.registry import Registry
from sobolev.types import Array, Simulator

registry: Registry[Callable[..., Env]] = Registry("perturbation")
"""Factories of wrappers ``(env, ...) -> env``, the noise of a task (``train.noise``)."""


class Perturbation(Wrapper):
    """What perturbations share: they hide the simulator of the environment within, which no longer holds."""

    simulator: Simulator | None = None


@registry.register("multiplicative_observation")
class MultiplicativeObservation(Perturbation):
    """``o = s ⊙ n``, n uniform in [low, high], drawn anew for each component and step; the state itself stays hidden.

    Args:
        env: what is observed.
        low, high: bounds of the factor (V26: 0.8 and 1.2).
    """

    def __init__(self, env: Env, low: float = 0.8, high: float = 1.2) -> None:
        super().__init__(env)
        if not low <= high:
            raise ValueError(f"low must not exceed high, got {low} and {high}")
        self._low, self._high = low, high

    def reset(self, rng: Array) -> State:
        key, key_env = jax.random.split(rng)
        return self._observe(self.env.reset(key_env), key)

    def step(self, state: State, action: Array) -> State:
        return self._observe(self.env.step(state, action), state.info["observation_noise_key"])

    def _observe(self, state: State, key: Array) -> State:
        key, key_factor = jax.random.split(key)
        factor = jax.random.uniform(key_factor, state.obs.shape, minval=self._low, maxval=self._high)
        return state.replace(obs=state.obs * factor, info={**state.info, "observation_noise_key": key})


def driven(env: Env) -> np.ndarray:
    """1 for each generalised velocity of a mechanism with an actuator, 0 for those of other bodies, ``[QD]``.

    A mechanism is a tree of links and joints. An environment without Brax's description of its bodies (``sys``) has
    one only: ``[1]``.
    """
    sys = getattr(env, "sys", None)
    if sys is None:
        return np.ones(1)
    roots: list[int] = []  # of each link, whose parent comes before it
    for link, parent in enumerate(sys.link_parents):
        roots.append(link if parent < 0 else roots[parent])
    roots_of_velocities = np.array(roots)[np.asarray(sys.dof_link())]
    return np.isin(roots_of_velocities, roots_of_velocities[np.asarray(sys.actuator.qd_id)]).astype(float)


@registry.register("additive_dynamics")
class AdditiveDynamics(Perturbation):
    """Gaussian noise on the generalised velocities, as each step begins: ``qd <- qd + scale · N(0, I)``.

    The noise goes through the dynamics, and what is observed is what it led to: the state stays Markov. A body that no
    actuator drives, itself or through a joint (the target of reacher, the puck of pusher), is left alone: reacher's
    target would drift away at a velocity that is not observed.

    Args:
        env: an environment with a ``pipeline_init(q, qd)``: all of Brax's, and the point mass.
        scale: standard deviation, in units of velocity.
    """

    def __init__(self, env: Env, scale: float = 0.1) -> None:
        super().__init__(env)
        if scale < 0:
            raise ValueError(f"scale must not be negative, got {scale}")
        if not hasattr(env.unwrapped, "pipeline_init"):
            raise ValueError(
                f"{type(env.unwrapped).__name__} has no pipeline_init(q, qd): its velocities are out of reach"
            )
        self._scale = jnp.asarray(scale * driven(env.unwrapped))

    def reset(self, rng: Array) -> State:
        key, key_env = jax.random.split(rng)
        state = self.env.reset(key_env)
        return state.replace(info={**state.info, "dynamics_noise_key": key})

    def step(self, state: State, action: Array) -> State:
        key, key_noise = jax.random.split(state.info["dynamics_noise_key"])
        body = state.pipeline_state
        qd = body.qd + self._scale * jax.random.normal(key_noise, body.qd.shape, dtype=jnp.result_type(body.qd))
        state = state.replace(pipeline_state=self.env.unwrapped.pipeline_init(body.q, qd))
        state = self.env.step(state, action)
        return state.replace(info={**state.info, "dynamics_noise_key": key})
