"""Docstrings as the site reads them: cross-references as links, sections by the names that Griffe knows."""

import importlib
import re
from typing import Any

import griffe

from website.api import MODULES, published

# Griffe runs no Markdown over examples under their plural alone, and gives fields the types of their annotations.
_SECTIONS = {"\nExample:\n": "\nExamples:\n", "\nFields:\n": "\nAttributes:\n"}
_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`(~?)([\w.]+)`")


def with_links(text: str, module: str) -> str:
    """A docstring's text with links to what the reference documents, and plain names otherwise.

    Example:
        >>> with_links(":func:`mmd2`, :class:`sobolev.metrics.MMD` and :mod:`os`", "sobolev.metrics.mmd")
        '[`mmd2`][sobolev.metrics.mmd.mmd2], [`sobolev.metrics.MMD`][sobolev.metrics.mmd.MMD] and `os`'
    """

    def replaced(found: re.Match[str]) -> str:
        target = _definition(found[2], module)
        return f"[`{found[2]}`][{target}]" if target else f"`{found[2]}`"

    return _ROLE.sub(replaced, text)


def _definition(name: str, module: str) -> str | None:
    """The full name under which the reference has what a docstring of ``module`` calls ``name``."""
    for full in (f"{module}.{name}", name):
        if full in published() or full in MODULES:
            return full
    room, _, last = name.rpartition(".")
    if room in MODULES:
        value = getattr(importlib.import_module(room), last, None)
        full = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
        return full if full in published() else None
    return None


def with_known_sections(text: str) -> str:
    """A docstring's text with the names of sections that Griffe knows."""
    for ours, known in _SECTIONS.items():
        text = text.replace(ours, known)
    return text


class Docstrings(griffe.Extension):
    """Changes all docstrings."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Is called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = with_known_sections(with_links(obj.docstring.value, obj.module.path))
