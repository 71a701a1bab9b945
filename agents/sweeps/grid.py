"""Values of names as text, and all their combinations."""

import io
import itertools
import re
import tokenize
from collections.abc import Sequence
from typing import NamedTuple

from agents.gin_messages import ConfigError
from agents.sweeps.names import name_of_setting, name_of_value
from agents.sweeps.seeds import OF_SEEDS


class Axis(NamedTuple):
    """A name that is swept, and the texts of its values."""

    name: str
    values: tuple[str, ...]


def parse_grid(text: str) -> Axis:
    """The name and the values of ``name=[a, b, …]``.

    Raises:
        ConfigError: it is not of this form, or a value comes twice.

    Example:
        >>> parse_grid("agent.num_samples=[4, 8]")
        Axis(name='agent.num_samples', values=('4', '8'))
    """
    found = re.fullmatch(r"\s*([A-Za-z_][\w./]*)\s*=\s*\[(.*)\]\s*", text, re.DOTALL)
    if not found:
        raise ConfigError(f"--grid={text}: write it as --grid='agent.num_samples=[4,8,16]'")
    name = found[1]
    if name in OF_SEEDS:
        raise ConfigError(f"--grid={text}: seeds are given by --seeds=0-9, and how many at once by --seeds_at_once")
    return Axis(name, parse_values(text, f"[{found[2]}]"))


def parse_values(text: str, inside: str, option: str = "--grid") -> tuple[str, ...]:
    """The texts of the values in brackets.

    Args:
        text: of the whole option, for messages.
        inside: the brackets and what is in them.
        option: which.

    Raises:
        ConfigError: there are none, they cannot be told apart, or one comes twice.
    """
    place = f"{option}={text}"
    if not inside.endswith("]"):
        raise ConfigError(f"{place}: a bracket or a string is not closed")
    values = _elements(inside[1:-1], place)
    if not values:
        raise ConfigError(f"{place}: there is no value in the brackets")
    told = [name_of_value(value) for value in values]
    twice = next((value for i, value in enumerate(values) if told[i] in told[:i]), None)
    if twice is not None:
        raise ConfigError(f"{place}: {twice} is there twice")
    return values


def _elements(text: str, place: str) -> tuple[str, ...]:
    """The texts between the outermost commas."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(f"({text}\n)").readline))[1:]
    except (tokenize.TokenError, SyntaxError):
        tokens = []
    if not tokens or any(token.type == tokenize.ERRORTOKEN and token.string in "'\"" for token in tokens):
        raise ConfigError(f"{place}: a bracket or a string is not closed")
    depth, elements, words = 1, [], ""
    for token in tokens:
        if token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.COMMENT):
            continue
        depth += (token.string in "([{" and token.type == tokenize.OP) - (token.string in ")]}")
        if depth < 1 or (depth == 1 and token.string == ","):
            elements.append(words)
            words = ""
        else:
            joined = words and re.match(r"\w", token.string) and re.search(r"\w$", words)
            words += f" {token.string}" if joined else token.string
        if depth < 1:
            break
    if depth < 1 and token != next(x for x in reversed(tokens) if x.string == ")"):
        raise ConfigError(f"{place}: a bracket is closed that was not opened")
    if elements and not elements[-1]:  # a comma behind the last one
        elements.pop()
    if not all(elements):
        raise ConfigError(f"{place}: there is no value between two commas")
    return tuple(elements)


class Setting(NamedTuple):
    """Values of all swept names.

    Fields:
        name: of its folder.
        bindings: of these values.
    """

    name: str
    bindings: tuple[str, ...]


def settings_of(axes: Sequence[Axis], default: str) -> list[Setting]:
    """The settings of a grid, the last name changing fastest.

    Raises:
        ConfigError: a name is swept twice.
    """
    names = [axis.name for axis in axes]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ConfigError(f"--grid: {twice} is swept twice")
    return [
        setting_of(dict(zip(names, values, strict=True)), default)
        for values in itertools.product(*(axis.values for axis in axes))
    ]


def setting_of(values: dict[str, str], default: str = "") -> Setting:
    """The setting of some values by name; where there are none, the default is its folder."""
    return Setting(name_of_setting(values, default), tuple(f"{name} = {value}" for name, value in values.items()))
