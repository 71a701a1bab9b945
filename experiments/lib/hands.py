"""The hands of gymnasium-robotics, under their names: this module is imported before they are made.

    environments.gymnasium.id = 'experiments.lib.hands:HandReachDense-v3'

Needs ``pip install --no-deps gymnasium-robotics pettingzoo``. Its release 1.4.2 asks whether a joint's type, an integer
of numpy, is one of MuJoCo's enumeration, which MuJoCo 3.17 denies: here its module sees integers in their place.
"""

from types import SimpleNamespace

import gymnasium
import mujoco

try:
    import gymnasium_robotics
    from gymnasium_robotics.utils import mujoco_utils
except ModuleNotFoundError as error:
    command = "pip install --no-deps gymnasium-robotics pettingzoo"
    raise ModuleNotFoundError(f"the package {error.name} is missing: {command}", name=error.name) from error

_TYPES = {
    name: int(getattr(mujoco.mjtJoint, name)) for name in ("mjJNT_FREE", "mjJNT_BALL", "mjJNT_SLIDE", "mjJNT_HINGE")
}
mujoco_utils.mujoco = SimpleNamespace(**(vars(mujoco) | {"mjtJoint": SimpleNamespace(**_TYPES)}))
gymnasium.register_envs(gymnasium_robotics)
