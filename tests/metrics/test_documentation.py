"""Every public function and part says what its arguments are and what it returns, and has an example."""

import dataclasses
import importlib
import inspect
import pkgutil
from typing import Any

import pytest

from sobolev import metrics

MODULES = [importlib.import_module(f"sobolev.metrics.{found.name}") for found in pkgutil.iter_modules(metrics.__path__)]
PUBLIC = [
    value
    for module in MODULES
    for name, value in vars(module).items()
    if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    if inspect.isfunction(value) or dataclasses.is_dataclass(value)
]


def test_they_are_found() -> None:
    assert {metrics.mmd2, metrics.MSMMD, metrics.DirectionSearch, metrics.kernels.gram} <= set(PUBLIC)


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.__qualname__)
def test_docstring(public: Any) -> None:
    text = inspect.getdoc(public) or ""
    assert "\nExample:\n    >>> " in text
    signature = inspect.signature(public)
    arguments = text.split("\nArgs:\n")[1].split("\n\n")[0].splitlines()
    names = [line.split(":")[0].strip() for line in arguments if not line.startswith(" " * 8)]
    assert names == list(signature.parameters)
    if inspect.isfunction(public) and signature.return_annotation is not None:
        assert "\nReturns:\n" in text
