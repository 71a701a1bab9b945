"""Environments: Brax's, our own, the exactly solvable ones, and the noises that wrap them."""

from agents.environments import brax_tasks, episodes, exact, noise, point_mass, simulated
from agents.environments.registry import noises, registry

__all__ = ["brax_tasks", "episodes", "exact", "noise", "noises", "point_mass", "registry", "simulated"]
