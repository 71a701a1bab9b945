"""The robots of gymnasium-robotics, under their names: this module is imported before they are made.

    environments.gymnasium.id = 'experiments.lib.robotics:HandReachDense-v3'
    environments.gymnasium.id = 'experiments.lib.robotics:CoupledHalfCheetah-v0'

Needs ``pip install --no-deps gymnasium-robotics pettingzoo``. Its release 1.4.2 does not know MuJoCo 3.17 in two
ways. It asks whether a joint's type, an integer of numpy, is one of MuJoCo's enumeration, which is now denied: here
its module gets integers instead. And it reads the Jacobian of a tendon as a matrix, which is now sparse.
"""

from types import SimpleNamespace

import gymnasium
import mujoco
import numpy as np

try:
    import gymnasium_robotics
    from gymnasium_robotics.envs.multiagent_mujoco.coupled_half_cheetah import CoupledHalfCheetahEnv
    from gymnasium_robotics.utils import mujoco_utils
except ModuleNotFoundError as error:
    command = "pip install --no-deps gymnasium-robotics pettingzoo"
    raise ModuleNotFoundError(f"the package {error.name} is missing: {command}", name=error.name) from error

_TYPES = {
    name: int(getattr(mujoco.mjtJoint, name)) for name in ("mjJNT_FREE", "mjJNT_BALL", "mjJNT_SLIDE", "mjJNT_HINGE")
}
mujoco_utils.mujoco = SimpleNamespace(**(vars(mujoco) | {"mjtJoint": SimpleNamespace(**_TYPES)}))


class CoupledHalfCheetah(CoupledHalfCheetahEnv):
    """Two half cheetahs on one elastic tendon, with their 12 actions as one; the reward is the mean of theirs."""

    def _get_obs(self) -> np.ndarray:
        jacobian = np.zeros(self.model.nv)
        jacobian[self.model.ten_J_colind] = self.data.ten_J  # of the only tendon
        x_and_z_of_each = jacobian[[0, 1, 9, 10]]
        positions, length_and_speed = self.data.qpos, (self.data.ten_length, self.data.ten_velocity)
        return np.concatenate([positions[1:9], positions[10:], self.data.qvel, x_and_z_of_each, *length_and_speed])


gymnasium.register_envs(gymnasium_robotics)
gymnasium.register("CoupledHalfCheetah-v0", entry_point=CoupledHalfCheetah, max_episode_steps=1_000)
