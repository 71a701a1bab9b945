"""Environments: Brax's tasks, a point mass, exactly solvable tasks, and perturbations that wrap any of them."""

from sobolev.environments import exact, perturbations
from sobolev.environments.base import registry
from sobolev.environments.brax_tasks import make_brax
from sobolev.environments.perturbations import AdditiveDynamics, MultiplicativeObservation
from sobolev.environments.point_mass import PointMass
from sobolev.environments.simulated import SimulatorEnv

__all__ = [
    "AdditiveDynamics",
    "MultiplicativeObservation",
    "PointMass",
    "SimulatorEnv",
    "exact",
    "make_brax",
    "perturbations",
    "registry",
]
