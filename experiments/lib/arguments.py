"""The command line of an experiment."""

import argparse


def base_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser without arguments.

    Args:
        name: of the experiment's module.
        description: the experiment's docstring.
    """
    return argparse.ArgumentParser(
        prog=f"python -m experiments.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_seeds(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Adds ``--seeds``, which must be given where there is no default."""
    text = "such as 0-4,7" if default is None else f"such as 0-4,7; default: {default}"
    parser.add_argument("--seeds", type=seeds_of, default=default, required=default is None, help=text)


def add_seeds_at_once(parser: argparse.ArgumentParser) -> None:
    """Adds ``--seeds_at_once``."""
    parser.add_argument("--seeds_at_once", type=int, help="how many seeds share a program; default: all of them")


def seeds_of(text: str) -> list[int]:
    """The seeds of a list of numbers and ranges, in ascending order.

    Raises:
        argparse.ArgumentTypeError: the text is no such list.

    Example:
        >>> seeds_of("7,0-2")
        [0, 1, 2, 7]
    """
    seeds: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            numbers = range(int(first), int(last if dash else first) + 1)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"seeds are numbers and ranges such as 0-4,7, got {text!r}") from error
        if not numbers:
            raise argparse.ArgumentTypeError(f"the range {part!r} is empty")
        seeds.update(numbers)
    return sorted(seeds)
