"""One fault with its promise, and helpers that tell whether it was kept."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    """A fault or a wrong input.

    Fields:
        kind: what it belongs to.
        name: what is wrong.
        attempt: tries it in an empty folder; returns what broke the promise, or "" where it was kept.
        is_long: whether it trains or starts a process.
    """

    kind: str
    name: str
    attempt: Callable[[Path], str]
    is_long: bool = False


def refused(error: type[Exception], action: Callable[[], object], *words: str, lines: int = 4) -> str:
    """ "" where the action raises an error of this kind in a short message with these words."""
    try:
        action()
    except error as found:
        text = str(found)
        missing = [word for word in words if word not in text]
        if missing:
            return f"the message lacks {missing}: {text[:200]}"
        return "" if 0 < len(text.splitlines()) <= lines else f"a message of {len(text.splitlines())} lines"
    except BaseException as found:
        return f"{type(found).__name__}: {str(found)[:200]}"
    return "it was accepted"
