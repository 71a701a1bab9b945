"""Any known simulator as a Brax environment."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from sobolev.types import Array, Key, Simulator


class SimulatorEnv(Env):
    """A :class:`sobolev.types.Simulator`, stepped at noises from its law; the observation is the state.

    An episode terminates with probability 1 - c, actions are clipped to [-1, 1], and ``simulator`` stays at hand for
    whoever wants the true step.

    Args:
        simulator: the step.
        reset_law: ``(key) -> s[S]``, the law of the first state.
        action_size: A.
    """

    def __init__(self, simulator: Simulator, reset_law: Callable[[Key], Array], action_size: int) -> None:
        self.simulator = simulator
        self._reset_law, self._action_size = reset_law, action_size
        self._state_size = jax.eval_shape(reset_law, jax.random.key(0)).shape[0]

    def reset(self, rng: Array) -> State:
        key, key_start = jax.random.split(rng)
        s, zero = self._reset_law(key_start), jnp.zeros(())
        return State(s, s, zero, zero, {}, {"simulator_key": key})

    def step(self, state: State, action: Array) -> State:
        key, key_noise, key_end = jax.random.split(state.info["simulator_key"], 3)
        n = self.simulator.noise(key_noise)
        s, reward, going_on = self.simulator.simulate(state.pipeline_state, jnp.clip(action, -1.0, 1.0), n)
        done = (jax.random.uniform(key_end) >= going_on).astype(reward.dtype)
        info = {**state.info, "simulator_key": key}
        return state.replace(pipeline_state=s, obs=s, reward=reward, done=done, info=info)

    @property
    def observation_size(self) -> int:
        return self._state_size

    @property
    def action_size(self) -> int:
        return self._action_size

    @property
    def backend(self) -> str:
        return "closed form"
