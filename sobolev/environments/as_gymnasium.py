"""An environment that is stepped on the device, as one of Gymnasium: for the libraries that others have written."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from brax.envs.base import Env, State

from sobolev.checks import check_count

if TYPE_CHECKING:
    import gymnasium


def as_gymnasium(env: Env, episode_length: int) -> "gymnasium.Env":
    """The environment with Gymnasium's interface.

    A step is one call of a compiled function, so that an agent on the host pays for the way to the device and back at
    every step: this is for comparisons and other libraries' agents, not for speed.

    Args:
        env: with actions in [-1, 1], its noise included.
        episode_length: environment steps, after which an episode is truncated.

    Returns:
        An environment that passes ``gymnasium.utils.env_checker.check_env``. Its episodes are a function of the seed
        that ``reset`` is given and of the actions; without one, of the seeds before.

    Raises:
        ValueError: an episode length below 1.

    See Also:
        :class:`sobolev.environments.HostEnv`, the other way round; examples/sbx_on_point_mass.py.

    Example:
        >>> from sobolev.environments import PointMass
        >>> env = as_gymnasium(PointMass(), episode_length=2)
        >>> observation, _ = env.reset(seed=0)
        >>> steps = [env.step(np.zeros(2, np.float32)) for _ in range(2)]
        >>> observation.shape, [truncated for _, _, _, truncated, _ in steps]
        ((4,), [False, True])
    """
    import gymnasium

    check_count(1, episode_length=episode_length)
    reset, step = jax.jit(env.reset), jax.jit(env.step)

    def observed(state: State) -> np.ndarray:
        return np.array(state.obs, np.float32)

    class AsGymnasium(gymnasium.Env):
        """The environment; ``unwrapped.env`` is the one on the device."""

        metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # as Gymnasium has it
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (env.observation_size,), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (env.action_size,), np.float32)

        def __init__(self) -> None:
            self.env, self.steps = env, 0
            self.state: State | None = None  # before the first reset

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
            super().reset(seed=seed)
            self.steps, self.state = 0, reset(jax.random.key(int(self.np_random.integers(2**31))))
            return observed(self.state), {}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
            state = step(self.state, np.asarray(action, np.float32))
            self.steps, self.state = self.steps + 1, state
            ended, over = bool(state.done), self.steps >= episode_length
            return observed(state), float(state.reward), ended, over and not ended, {}

    return AsGymnasium()
