"""World models: reparameterised models of one step, smooth in state and action at fixed noise.

An entry of the registry is a factory ``(spec, **hyperparameters) -> WorldModel`` (see :mod:`sobolev.types`).
"""

from sobolev.world_models.base import ConditionalModel, registry, residual_world_model
from sobolev.world_models.cvae import make_cvae
from sobolev.world_models.deterministic import make_deterministic
from sobolev.world_models.ensemble import make_gaussian_ensemble, make_mage
from sobolev.world_models.flow import make_flow
from sobolev.world_models.known import make_known
from sobolev.world_models.recorded import make_recorded

__all__ = [
    "ConditionalModel",
    "make_cvae",
    "make_deterministic",
    "make_flow",
    "make_gaussian_ensemble",
    "make_known",
    "make_mage",
    "make_recorded",
    "registry",
    "residual_world_model",
]
