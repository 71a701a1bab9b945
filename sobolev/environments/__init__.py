"""Environments: Brax's and Gymnasium's tasks, a point mass, masses on springs, solvable tasks, and perturbations."""

from sobolev import extras

try:
    from sobolev.environments import exact, perturbations
    from sobolev.environments.as_gymnasium import as_gymnasium
    from sobolev.environments.base import Environment, registry
    from sobolev.environments.bodies import Motion, MotionRecorder, motion_of_states
    from sobolev.environments.brax_tasks import make_brax
    from sobolev.environments.check import check_environment
    from sobolev.environments.gymnasium_tasks import make_gymnasium
    from sobolev.environments.host import HostEnv
    from sobolev.environments.lqr import LQR
    from sobolev.environments.perturbations import (
        AdditiveDynamics,
        MultiplicativeObservation,
        RewardLottery,
        additive_dynamics,
        multiplicative_observation,
        reward_lottery,
    )
    from sobolev.environments.point_mass import PointMass
    from sobolev.environments.simulated import SimulatorEnv
except ModuleNotFoundError as error:
    raise extras.missing(error) from error

__all__ = [
    "LQR",
    "AdditiveDynamics",
    "Environment",
    "HostEnv",
    "Motion",
    "MotionRecorder",
    "MultiplicativeObservation",
    "PointMass",
    "RewardLottery",
    "SimulatorEnv",
    "additive_dynamics",
    "as_gymnasium",
    "check_environment",
    "exact",
    "make_brax",
    "make_gymnasium",
    "motion_of_states",
    "multiplicative_observation",
    "perturbations",
    "registry",
    "reward_lottery",
]
