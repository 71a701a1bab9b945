"""The API reference: which modules it has, their public names, and a page for each module."""

import importlib
import inspect
from functools import cache
from types import ModuleType

# Modules of the reference, in the order of the navigation.
MODULES = (
    "sobolev",
    "sobolev.policy",
    "sobolev.metrics",
    "sobolev.metrics.kernels",
    "sobolev.metrics.directions",
    "sobolev.world_models",
    "sobolev.critics",
    "sobolev.actors",
    "sobolev.corrections",
    "sobolev.horizons",
    "sobolev.gradient_scales",
    "sobolev.joint",
    "sobolev.bellman",
    "sobolev.contraction",
    "sobolev.agent",
    "sobolev.environments",
    "sobolev.environments.exact",
    "sobolev.environments.perturbations",
    "sobolev.training",
    "sobolev.types",
    "sobolev.registry",
    "sobolev.networks",
    "sobolev.normalizer",
    "sobolev.numerics",
)


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: its ``__all__``, or the classes and functions that it defines, without modules and data.

    Example:
        >>> from sobolev import bellman
        >>> "sobolev_target" in public_names(bellman)
        True
    """
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__
    ]
    return [name for name in names if not name.startswith("_") and _is_documented(getattr(module, name))]


def _is_documented(value: object) -> bool:
    return inspect.isclass(value) or inspect.isfunction(value)


@cache
def published() -> dict[str, str]:
    """The module whose page documents each public class and function, by the full name of its definition.

    Example:
        >>> published()["sobolev.metrics.mmd.MMD"]
        'sobolev.metrics'
    """
    found: dict[str, str] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for public in public_names(module):
            value = getattr(module, public)
            if value.__module__.startswith("sobolev"):
                found.setdefault(f"{value.__module__}.{value.__qualname__}", name)
    return found


def page(name: str) -> str:
    """The page of a module: what it is for, then each public class and function that no page before it has."""
    lines = [f"# {name}", "", f"::: {name}", *_options(members="false", show_root_heading="false")]
    if name == "sobolev":
        lines += ["", "| module | |", "|---|---|", *(_row(module) for module in MODULES[1:])]
        lines += ["", "`sobolev.load_policy` is [`sobolev.policy.load_policy`][]."]
    for full, module in published().items():
        if module == name:
            lines += ["", f"::: {full}"]
    return "\n".join(lines) + "\n"


def _row(name: str) -> str:
    summary = (inspect.getdoc(importlib.import_module(name)) or "").partition("\n")[0]
    return f"| [`{name}`]({name}.md) | {summary} |"


def _options(**options: str) -> list[str]:
    return ["    options:", *(f"      {name}: {value}" for name, value in options.items())]
