"""What tests of several folders share: ``from tests import helpers``."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sobolev import actors, corrections, critics, metrics, world_models
from sobolev.agent import AgentConfig

QUICK_COMPILATION = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""For programs that run once: to compile fast matters more than to run fast."""


def is_key(leaf: Any) -> bool:
    """Whether an array is of typed random keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def host(tree: Any) -> list[tuple[str, np.ndarray]]:
    """Paths and values of a tree's leaves; random keys as their data."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    plain = [(path, jax.random.key_data(x) if is_key(x) else x) for path, x in leaves]
    return [(jax.tree_util.keystr(path), np.asarray(x)) for path, x in plain]


def assert_same(x: Any, y: Any) -> None:
    """Bit for bit."""
    for (path, a), (other, b) in zip(host(x), host(y), strict=True):
        assert path == other
        np.testing.assert_array_equal(a, b, err_msg=path)


def assert_close(x: Any, y: Any, rtol: float, atol: float) -> None:
    """To float tolerance, leaf by leaf."""
    for (path, a), (other, b) in zip(host(x), host(y), strict=True):
        assert path == other
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=path)


def changed(before: Any, after: Any) -> dict[str, bool]:
    """Which leaves differ anywhere, by path."""
    return {path: bool(np.any(x != y)) for (path, x), (_, y) in zip(host(before), host(after), strict=True)}


def tiny_agent(**changes: Any) -> AgentConfig:
    """A configuration of networks that compile fast; the actor waits for update 2 and then takes every third."""
    numbers: dict[str, Any] = {
        "metric": metrics.MMD(),
        "world_model": partial(world_models.make_cvae, hidden_sizes=(4,), latent_size=2),
        "critic": partial(critics.make_generative, hidden_sizes=(4,), noise_size=2),
        "actor": partial(actors.make_deterministic, hidden_sizes=(4,)),
        "gradient": "action",
        "overestimation": corrections.Truncate(drop=1),
        "num_samples": 3,
        "batch_size": 6,
        "gamma": 0.9,
        "polyak": 0.1,
        "actor_polyak": 0.1,
        "policy_delay": 3,
        "actor_start": 2,
        "critic_optimizer": optax.sgd(1e-2),
        "actor_optimizer": optax.sgd(1e-2),
        "world_model_optimizer": optax.sgd(1e-2),
    }
    return AgentConfig(**{**numbers, **changes})
