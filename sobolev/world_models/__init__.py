"""World models: reparameterised models of one step, smooth in state and action at fixed noise.

An entry of the registry is a factory ``(spec, **hyperparameters) -> WorldModel`` (see :mod:`sobolev.types`).
"""

from sobolev.world_models.base import ConditionalModel, registry, residual_world_model
from sobolev.world_models.cvae import make_cvae

__all__ = ["ConditionalModel", "make_cvae", "registry", "residual_world_model"]
