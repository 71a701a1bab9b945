"""Environments: Brax's, our own, and the noises that wrap them."""

from agents.environments import brax_tasks, episodes, noise, point_mass
from agents.environments.registry import noises, registry

__all__ = ["brax_tasks", "episodes", "noise", "noises", "point_mass", "registry"]
