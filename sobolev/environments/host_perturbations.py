"""The perturbations of :mod:`sobolev.environments.perturbations`, for environments on the host.

Each draws from a generator of its own, which the seed of the episode seeds.
"""

from typing import Any, NamedTuple

import gymnasium
import numpy as np


class _Perturbation(gymnasium.Wrapper):
    """Seeds ``self.random`` with each episode, by other numbers than the environment and the perturbations in it."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self._depth = 1
        while isinstance(env, gymnasium.Wrapper):
            self._depth += isinstance(env, _Perturbation)
            env = env.env

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.random = np.random.default_rng(None if seed is None else [seed, self._depth])
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
        self._scale = scale
        self._take(mujoco_of(env))

    def _take(self, physics: "Physics") -> None:
        self._physics, self._scales = physics, self._scale * driven(physics.model)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        first = super().reset(seed=seed, options=options)
        physics = mujoco_of(self.env)
        if physics.model is not self._physics.model:  # some tasks of dm_control compile a model for each episode
            self._take(physics)
        return first

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        import mujoco

        model, data, ahead = self._physics
        data.qvel[:] += self._scales * self.random.standard_normal(data.qvel.shape)
        if ahead:
            mujoco.mj_step1(model, data)
        return self.env.step(action)


class Physics(NamedTuple):
    """MuJoCo's part in an environment.

    Fields:
        model: what does not change during an episode.
        data: what does.
        ahead: whether each step leaves what the next begins with, what follows from positions and velocities alone.
    """

    model: Any
    data: Any
    ahead: bool


def mujoco_of(env: gymnasium.Env) -> Physics:
    """MuJoCo's part in an environment.

    Raises:
        ValueError: there is none.
    """
    import mujoco

    bare = env.unwrapped
    model, data = getattr(bare, "model", None), getattr(bare, "data", None)
    if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
        return Physics(model, data, ahead=False)
    physics = getattr(getattr(bare, "_env", None), "physics", None)  # Shimmy's wrapper of dm_control
    if physics is None:
        name = bare.spec.id if bare.spec else type(bare).__name__
        raise ValueError(
            f"{name}: has no MuJoCo model and data, whose velocities the noise would enter: take an environment of "
            "MuJoCo, or another noise"
        )
    return Physics(physics.model.ptr, physics.data.ptr, ahead=physics.legacy_step)


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
