"""Any known simulator as a Brax environment."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from sobolev.types import Array, Key, Simulator


class SimulatorEnv(Env):
    """A :class:`sobolev.types.Simulator`, stepped at noises drawn from it; the observation is the state.

    An episode terminates with probability 1 - c, and actions are clipped to [-1, 1]. The attribute ``simulator`` is the
    true step.

    Args:
        simulator: the step.
        reset_distribution: ``(key) -> s[S]`` draws the first state.
        action_size: A.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> simulator = Simulator(
        ...     noise=lambda key: jnp.zeros(0),
        ...     infer=lambda key, transition: jnp.zeros(0),
        ...     simulate=lambda s, a, n: (s + a, -jnp.sum(s**2), jnp.ones(())),
        ... )
        >>> env = SimulatorEnv(simulator, lambda key: jnp.array([2.0]), action_size=1)
        >>> state = env.step(env.reset(jax.random.key(0)), jnp.array([0.5]))
        >>> state.obs.tolist(), float(state.reward), float(state.done)
        ([2.5], -4.0, 0.0)
    """

    def __init__(self, simulator: Simulator, reset_distribution: Callable[[Key], Array], action_size: int) -> None:
        self.simulator = simulator
        self._reset_distribution, self._action_size = reset_distribution, action_size
        self._state_size = jax.eval_shape(reset_distribution, jax.random.key(0)).shape[0]

    def reset(self, rng: Array) -> State:
        key, key_start = jax.random.split(rng)
        s, zero = self._reset_distribution(key_start), jnp.zeros(())
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
