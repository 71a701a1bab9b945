"""The perturbations of :mod:`sobolev.environments.perturbations`, for environments on the host.

Both draw from a generator of their own, which the seed of the episode seeds.
"""

from typing import Any

import gymnasium
import numpy as np


class _Perturbation(gymnasium.Wrapper):
    """Seeds ``self.random`` with each episode, by other numbers than the environment's."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.random = np.random.default_rng(None if seed is None else [seed, 1])
        return self.env.reset(seed=seed, options=options)


class ObservationFactors(_Perturbation):
    """``o = s ⊙ n``, n uniform in [low, high], drawn for each component and step.

    Args:
        env: the environment that is observed.
        low: lower bound of the factor.
        high: upper bound of the factor.
    """

    def __init__(self, env: gymnasium.Env, low: float, high: float) -> None:
        super().__init__(env)
        self._low, self._high = low, high

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = super().reset(seed=seed, options=options)
        return self._observe(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, *others = self.env.step(action)
        return self._observe(observation), *others

    def _observe(self, observation: Any) -> Any:
        return observation * self.random.uniform(self._low, self._high, np.shape(observation))


class VelocityNoise(_Perturbation):
    """Gaussian noise on MuJoCo's generalized velocities before each step: ``qvel <- qvel + scale · N(0, I)``.

    Velocities of a mechanism without an actuator get none.

    Args:
        env: an environment of MuJoCo, Gymnasium's or dm_control's.
        scale: standard deviation, in units of velocity.

    Raises:
        ValueError: an environment of something else than MuJoCo.
    """

    def __init__(self, env: gymnasium.Env, scale: float) -> None:
        super().__init__(env)
        self._model, self._data = mujoco_of(env)
        self._scale = scale * driven(self._model)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        import mujoco

        self._data.qvel[:] += self._scale * self.random.standard_normal(self._data.qvel.shape)
        mujoco.mj_step1(self._model, self._data)  # dm_control steps on from forces at the velocities before
        return self.env.step(action)


def mujoco_of(env: gymnasium.Env) -> tuple[Any, Any]:
    """MuJoCo's model and data in an environment.

    Raises:
        ValueError: there are none.
    """
    bare = env.unwrapped
    if hasattr(bare, "model") and hasattr(bare, "data"):
        return bare.model, bare.data
    physics = getattr(getattr(bare, "_env", None), "physics", None)  # Shimmy's wrapper of dm_control
    if physics is None:
        raise ValueError(f"{type(bare).__name__} has no MuJoCo model and data, whose velocities the noise enters")
    return physics.model.ptr, physics.data.ptr


def driven(model: Any) -> np.ndarray:
    """Which generalized velocities belong to a mechanism with an actuator; a mechanism is a tree of bodies and joints.

    Args:
        model: of MuJoCo.

    Returns:
        ``[QD]``, 1 for velocities of a mechanism with an actuator and 0 for the others.
    """
    import mujoco

    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    moved = data.moment_colind[: data.moment_rownnz.sum()]  # the columns of the actuators' moments that are not zero
    return np.isin(model.dof_treeid, model.dof_treeid[moved]).astype(float)
