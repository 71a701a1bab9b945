"""Value gradients, distributional critics and distributional metrics in JAX.

The sub-packages load on first use, so that ``from sobolev import metrics`` needs jax and numpy alone.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = (
    "actors",
    "balance",
    "bellman",
    "contraction",
    "critics",
    "joint",
    "metrics",
    "networks",
    "numerics",
    "registry",
    "scaling",
    "types",
    "world_models",
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"sobolev.{name}")
    raise AttributeError(f"module 'sobolev' has no attribute {name!r}; it has {', '.join(_SUBMODULES)}")


def __dir__() -> list[str]:
    return ["__version__", *_SUBMODULES]
