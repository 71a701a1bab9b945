"""A Brax environment as one of Gymnasium, for the libraries that others have written."""

from typing import Any

import jax
import numpy as np
from brax.envs.base import Env


def as_gymnasium(env: Env, episode_length: int) -> Any:
    """The environment with Gymnasium's interface; its steps are compiled one by one.

    Args:
        env: with actions in [-1, 1].
        episode_length: environment steps, after which an episode is truncated.
    """
    import gymnasium  # type: ignore[import-not-found, unused-ignore]

    reset, step = jax.jit(env.reset), jax.jit(env.step)

    class AsGymnasium(gymnasium.Env):  # type: ignore[misc, unused-ignore]
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (env.observation_size,), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (env.action_size,), np.float32)

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
            super().reset(seed=seed)
            self.steps, self.state = 0, reset(jax.random.key(int(self.np_random.integers(2**31))))
            return np.asarray(self.state.obs), {}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
            self.steps, self.state = self.steps + 1, step(self.state, action)
            over = self.steps >= episode_length
            return np.asarray(self.state.obs), float(self.state.reward), bool(self.state.done), over, {}

    return AsGymnasium()
