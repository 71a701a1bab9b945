"""Registries: the names under which interchangeable parts are found.

A part registers itself where it is defined. Code that needs every entry, also those that are registered later, watches
the registry.

Example:
    >>> shapes = Registry("shape")
    >>> @shapes.register("square")
    ... def make_square(side: float = 1.0) -> float:
    ...     return side * side
    >>> shapes.names()
    ('square',)
    >>> shapes.make("square", side=3.0)
    9.0
    >>> shapes.make("sqare")
    Traceback (most recent call last):
        ...
    ValueError: unknown shape 'sqare'; did you mean 'square'? Known: square
"""

import difflib
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

Factory = TypeVar("Factory", bound=Callable[..., Any])
Watcher = Callable[[str, Callable[..., Any]], None]


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among the known ones, with the close names and all names.

    Args:
        kind: what the name denotes, in the singular.
        name: the unknown name.
        known: the known names.

    Returns:
        The error, to be raised.

    Example:
        >>> str(unknown_name("shape", "sqare", ["square", "cube"]))
        "unknown shape 'sqare'; did you mean 'square'? Known: square, cube"
    """
    known = tuple(known)
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    return ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(known)}")


class Registry(Generic[Factory]):
    """Names mapped to factories of one family of parts.

    Args:
        kind: what one entry is, in the singular; error messages use it.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._factories: dict[str, Factory] = {}
        self._watchers: list[Watcher] = []

    def register(self, name: str) -> Callable[[Factory], Factory]:
        """Decorator that enters a factory under ``name`` and returns it.

        Args:
            name: under which it is found.

        Raises:
            ValueError: the name is taken by another factory.
        """

        def enter(factory: Factory) -> Factory:
            if name in self._factories:
                raise ValueError(f"{self.kind} {name!r} is registered already, as {self._factories[name]!r}")
            self._factories[name] = factory
            for watcher in self._watchers:
                watcher(name, factory)
            return factory

        return enter

    def get(self, name: str) -> Factory:
        """The factory registered under ``name``.

        Raises:
            ValueError: there is none; the message has the close names.
        """
        if name not in self._factories:
            raise unknown_name(self.kind, name, self._factories)
        return self._factories[name]

    def make(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Calls the factory registered under ``name``.

        Args:
            name: of the entry.
            *args: of the factory.
            **kwargs: of the factory.

        Returns:
            What the factory returns.

        Raises:
            ValueError: an unknown name.
        """
        return self.get(name)(*args, **kwargs)

    def names(self) -> tuple[str, ...]:
        """All registered names, in the order of their registration."""
        return tuple(self._factories)

    def watch(self, watcher: Watcher) -> None:
        """Calls ``watcher(name, factory)`` for every entry: now for those that exist, later for each that is added."""
        for name, factory in self._factories.items():
            watcher(name, factory)
        self._watchers.append(watcher)
