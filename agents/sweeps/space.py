"""The ranges of a search as text, ``agent.polyak=log(1e-4,1e-2)``."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from agents.gin_messages import ConfigError, did_you_mean
from agents.sweeps.grid import Setting, parse_values, setting_of
from agents.sweeps.seeds import OF_SEEDS

DIGITS = 4
"""Of a number that is not whole; further ones make long names and no difference."""
FORMS = ("uniform", "log", "int", "logint")


class Range(NamedTuple):
    """A name that is searched.

    Fields:
        name: of a parameter.
        form: of :data:`FORMS`, or "choice".
        low, high: its ends, both of which are in it; of a choice, 0.
        values: the texts of a choice.
    """

    name: str
    form: str
    low: float
    high: float
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        inside = f"[{','.join(self.values)}]" if self.values else f"{self.form}({self.low:g},{self.high:g})"
        return f"{self.name}={inside}"

    def suggest(self, trial: Any) -> None:
        """Has Optuna draw the value for a trial."""
        if self.form == "choice":
            trial.suggest_categorical(self.name, self.values)
        elif "int" in self.form:
            trial.suggest_int(self.name, int(self.low), int(self.high), log=self.form == "logint")
        else:
            trial.suggest_float(self.name, self.low, self.high, log=self.form == "log")

    def text(self, value: Any) -> str:
        """What gin reads, of a value that Optuna has drawn.

        Example:
            >>> Range("x", "log", 1e-4, 1e-2).text(0.00123456789)
            '0.001235'
        """
        if self.form == "choice":
            return str(value)
        if "int" in self.form:
            return str(int(value))
        return repr(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))

    @property
    def middle(self) -> str:
        """The text of a value in the middle."""
        if self.form == "choice":
            return self.values[len(self.values) // 2]
        if "log" in self.form:
            return self.text(math.sqrt(self.low * self.high))
        return self.text((self.low + self.high) / 2)


def parse_ranges(texts: Sequence[str]) -> tuple[Range, ...]:
    """The ranges of a search.

    Raises:
        ConfigError: one is not of the form, or a name comes twice.

    Example:
        >>> [str(each) for each in parse_ranges(["x=log(1e-4, 1e-2)", "y=int(1,9)", "z=['a', 'b']"])]
        ['x=log(0.0001,0.01)', 'y=int(1,9)', "z=['a','b']"]
    """
    found = tuple(map(_parse, texts))
    names = [each.name for each in found]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ConfigError(f"--space: {twice} is there twice")
    return found


def _parse(text: str) -> Range:
    parts = re.fullmatch(r"\s*([A-Za-z_][\w./]*)\s*=\s*(.*?)\s*", text, re.DOTALL)
    if not parts:
        raise ConfigError(f"--space={text}: write it as --space='agent.polyak=log(1e-4,1e-2)'")
    name, inside = parts.groups()
    if name in OF_SEEDS:
        raise ConfigError(f"--space={text}: seeds are given by --seeds=0-9, and how many at once by --seeds_at_once")
    if inside.startswith("["):
        return Range(name, "choice", 0.0, 0.0, parse_values(text, inside, option="--space"))
    call = re.fullmatch(r"(\w+)\s*\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)", inside)
    if not call:
        raise ConfigError(f"--space={text}: a range is one of {', '.join(f'{f}(low,high)' for f in FORMS)}, [a,b,…]")
    form, ends = call[1], call.groups()[1:]
    if form not in FORMS:
        raise ConfigError(f"--space={text}: no range {form}{did_you_mean(form, FORMS)} There are: {', '.join(FORMS)}")
    read: Callable[[str], float] = int if "int" in form else float
    try:
        low, high = map(read, ends)
    except ValueError as error:
        kind = "whole numbers" if "int" in form else "numbers"
        raise ConfigError(f"--space={text}: the ends of {form} are {kind}") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"--space={text}: the first end must be below the second")
    if "log" in form and low <= 0:
        raise ConfigError(f"--space={text}: the ends of {form} must be positive")
    return Range(name, form, low, high)


def setting_at(ranges: Sequence[Range], params: dict[str, Any]) -> Setting:
    """The setting of values that Optuna has drawn."""
    return setting_of({each.name: each.text(params[each.name]) for each in ranges})


def middle_of(ranges: Sequence[Range]) -> Setting:
    """A setting in the middle of all ranges."""
    return setting_of({each.name: each.middle for each in ranges})
