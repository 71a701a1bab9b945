"""Pages of results, in Markdown."""

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

VERDICTS = Path(__file__).resolve().parents[1] / "verdicts"


def command(name: str) -> str:
    """The command that runs this experiment as it was started, as code."""
    return f"`{shlex.join(['python', '-m', f'experiments.{name}', *sys.argv[1:]])}`"


def command_of_rows(name: str) -> str:
    """The first line of a page whose rows come from calls with different arguments."""
    return f"`python -m experiments.{name}`, rows below by its arguments"


def verdict(name: str) -> str:
    """What a page's numbers say, in words, from experiments/verdicts/<name>.md; empty where there is no such file."""
    path = VERDICTS / f"{name}.md"
    return path.read_text().strip() if path.exists() else ""


def page(title: str, *blocks: str) -> str:
    """A page.

    Args:
        title: its heading.
        *blocks: paragraphs and tables, in order; empty ones are left out.
    """
    return "\n\n".join((f"# {title}", *filter(None, blocks))) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table.

    Example:
        >>> print(table(("", "mean"), [("a", 1.5), ("b", "none")]))
        | | mean |
        |---|---|
        | a | 1.5 |
        | b | none |
    """
    lines = ["".join(f"| {name} " if name else "| " for name in header) + "|", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines)
