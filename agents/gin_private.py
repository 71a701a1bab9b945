"""What gin offers no public way to read; the only module that uses gin's private names."""

from collections.abc import Callable, Mapping
from typing import Any

import gin

Key = tuple[str, str]
"""Scope and selector. A macro has its name as the scope, the selector "gin.macro" and the parameter "value"."""


def bindings() -> Mapping[Key, Mapping[str, Any]]:
    """The values that are bound, by configurable and parameter."""
    return gin.config._CONFIG


def used() -> Mapping[Key, Mapping[str, Any]]:
    """The configurables that have been called, and the parameters that gin gave them or left at their defaults."""
    return gin.config._OPERATIVE_CONFIG


def selectors() -> list[str]:
    """The complete names of everything that is registered with gin, except gin's own."""
    return [selector for selector, _ in gin.config._REGISTRY.items() if not selector.startswith("gin.")]


def registered(name: str) -> Callable[..., Any]:
    """The function or class that was registered under a complete name, or under the end of one.

    Raises:
        KeyError: there is none, or more than one.
    """
    return gin.config._REGISTRY.get_match(name).wrapped
