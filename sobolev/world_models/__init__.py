"""World models: reparameterized models of one step, smooth in state and action at fixed noise.

An entry of the registry is a factory ``(spec, **hyperparameters) -> WorldModel`` (see :mod:`sobolev.types`). To add a
density of one's own, give a :class:`ConditionalModel` to :func:`residual_world_model`, which adds the normalizers, the
continuation and exact inference.

Example:
    >>> import jax, jax.numpy as jnp
    >>> from sobolev import world_models
    >>> from sobolev.types import Spec
    >>> model = world_models.registry.make("cvae", Spec(state_size=3, action_size=2), hidden_sizes=(8, 8))
    >>> params, n = model.init(jax.random.key(0)), model.noise(jax.random.key(1))
    >>> s_next, r, c = model.simulate(params, jnp.zeros(3), jnp.zeros(2), n)
    >>> s_next.shape, r.shape, float(c)
    ((3,), (), 1.0)
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
