"""Tables of text."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lines with columns below each other.

    Example:
        >>> print(table([("task", "state"), ("a/seed0", "done")]))
        task     state
        a/seed0  done
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
