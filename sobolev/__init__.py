"""Value gradients, distributional critics and distributional metrics in JAX.

The sub-packages load on first use, so that ``from sobolev import metrics`` needs jax and numpy alone; the others need
what ``pip install 'sobolev[train]'`` installs.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_SUBMODULES = (
    "actors",
    "agent",
    "bellman",
    "checks",
    "contraction",
    "control_flow",
    "corrections",
    "critics",
    "environments",
    "extras",
    "gradient_scales",
    "horizons",
    "joint",
    "linearise",
    "metrics",
    "networks",
    "normalizer",
    "numerics",
    "optimizers",
    "registry",
    "schedules",
    "training",
    "types",
    "world_models",
)
_FUNCTIONS = {"load_policy": "sobolev.policy"}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"sobolev.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'sobolev' has no attribute {name!r}; it has {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return ["__version__", *_FUNCTIONS, *_SUBMODULES]
