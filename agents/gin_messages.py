"""Errors of gin and Python in one short message: the place, what is wrong, the close names and what to do."""

import difflib
import inspect
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents import gin_private, gin_sources
from agents.gin_sources import ROOT, Sources, shown
from sobolev.environments import Environment
from sobolev.types import Spec

RUNTIME_ARGUMENTS: dict[str, Any] = {"spec": Spec, "env": Environment}
"""Parameters that the library gives to a factory, so that no binding can."""

PACKAGE = "sobolev"
"""The module of the two configurables that a user writes without one, ``agent`` and ``train``."""

_HINTS = (
    (re.compile(r"\btrue\b|\bfalse\b"), "booleans are True and False"),
    (re.compile(r"=\s*[A-Za-z_]\w*\s*$"), "a name needs quotes ('action') or, for a part, an at sign (@metrics.mmd())"),
    (re.compile(r"=.*\d\s*[*/+]\s*\d"), "gin does no arithmetic: write the number"),
)
_MISTAKES = (ValueError, TypeError, AttributeError)
_IN_READING = (*_MISTAKES, SyntaxError, tokenize.TokenError, OSError, ImportError, KeyError, RuntimeError)


class ConfigError(ValueError):
    """A mistake in the configuration, explained in one short message."""


@contextmanager
def explained(files: Sequence[str], bindings: Sequence[str], reading: bool = False) -> Iterator[None]:
    """Turns the errors of a configuration into a ConfigError.

    Args:
        files: gin files of the configuration.
        bindings: its further bindings.
        reading: whether gin reads it and makes what it binds, which can fail in more ways than the building of parts.
    """
    kinds = _IN_READING if reading else _MISTAKES
    try:
        yield
    except ConfigError:
        raise
    except kinds as error:
        raise ConfigError(_explain(error, files, bindings)) from error


def name_of(scope: str, selector: str, parameter: str = "") -> str:
    """The name that a user writes for a macro, a configurable or its parameter.

    Example:
        >>> name_of("critic", "optimizers.adam", "b1"), name_of("", "sobolev.agent"), name_of("widths", "gin.macro")
        ('critic/optimizers.adam.b1', 'agent', 'widths')
    """
    if selector == "gin.macro":
        return scope
    selector = selector.removeprefix(f"{PACKAGE}.")
    return (f"{scope}/" if scope else "") + selector + (f".{parameter}" if parameter else "")


def names() -> list[str]:
    """The names of all configurables, as a user writes them."""
    return [name_of("", selector) for selector in gin_private.selectors()]


def parameters_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a configurable that can be bound."""
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in RUNTIME_ARGUMENTS and parameter.kind is not parameter.VAR_KEYWORD
    }


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the known ones that are close.

    Example:
        >>> did_you_mean("acton", ["none", "action"]), did_you_mean("x", ["none", "action"])
        ('; did you mean action?', '.')
    """
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    close = close or [k for k in known if k.rsplit(".", 1)[-1] == str(name).rsplit(".", 1)[-1]][:3]
    return f"; did you mean {' or '.join(close)}?" if close else "."


def _explain(error: Exception, files: Sequence[str], bindings: Sequence[str]) -> str:
    text = str(error)
    if isinstance(error, SyntaxError):
        return _of_syntax(error, bindings)
    if isinstance(error, OSError):
        return _of_missing_file(text, files)
    sources = gin_sources.read(files, bindings)
    if sources.circular:
        return f"{', '.join(sources.circular)}: the file includes itself"
    if isinstance(error, tokenize.TokenError):
        return f"{', '.join(sources.unclosed)}: a bracket or a string is not closed"
    place = _place_in(text, bindings)
    if found := re.search(r"No module named '([\w.]+)'", text):
        return ": ".join(filter(None, (place, _of_missing_module(found.group(1)))))
    if found := re.search(r"No configurable matching(?: reference)? [`'\"]?@?([\w./]+)", text):
        name = found.group(1)
        return f"{place}: nothing is called {name}{did_you_mean(name, names())} The option --list shows all names"
    if found := re.search(r"[Cc]onfigurable [`'\"]?([\w./]+)[`'\"]? doesn't have a parameter named [`'\"](\w+)", text):
        name, parameter = found.groups()
        known = parameters_of(gin_private.registered(name))
        close = did_you_mean(parameter, known)
        return f"{place}: {name} has no parameter {parameter}{close} It has: {', '.join(known)}"
    if found := re.search(r"Ambiguous selector '([\w.]+)', matches \[(.+?)\]", text):
        return f"{place}: several parts are called {found.group(1)}: {found.group(2)}"
    if "set to `%gin.REQUIRED`" in text:
        return f"{' and '.join(_required())} must be bound: include a method's file, gin/*.gin, or bind them"
    return _of_part(text, place, sources)


def _place_in(text: str, bindings: Sequence[str]) -> str:
    """Gin ends a message with its place, `In file "gin/x.gin", line 3` or `In bindings string line 1`."""
    if found := re.search(r'In file "([^"]+)", line (\d+)', text):
        return f"{shown(Path(found.group(1)))}:{found.group(2)}"
    if found := re.search(r"In bindings string line (\d+)", text):
        return gin_sources.in_bindings(bindings, int(found.group(1)))
    return ""


def _of_syntax(error: SyntaxError, bindings: Sequence[str]) -> str:
    line = (error.text or "").strip()
    hints = [hint for pattern, hint in _HINTS if pattern.search(line)]
    if error.filename:
        place = f"{shown(Path(error.filename))}:{error.lineno}"
    else:
        place = gin_sources.in_bindings(bindings, error.lineno or 1)
    return f"{place}: cannot read {line!r}: {hints[0] if hints else error.msg}"


def _of_missing_file(text: str, files: Sequence[str]) -> str:
    found = re.search(r"Unable to open file: (\S+)\. ", text)
    name = found.group(1) if found else " ".join(files)
    known = [shown(path) for path in sorted((ROOT / "gin").rglob("*.gin"))]
    return f"no gin file {name}{did_you_mean(name, known)} There are: {', '.join(known)}"


def _of_missing_module(name: str) -> str:
    here = [path.stem for path in Path.cwd().glob("*.py")]
    return (
        f"no module {name}{did_you_mean(name, here)} Modules are looked for in the folder in which the program is "
        "started, and among the installed packages"
    )


def _required() -> list[str]:
    return [
        name_of(scope, selector, parameter)
        for (scope, selector), parameters in gin_private.bindings().items()
        for parameter, value in parameters.items()
        if getattr(value, "scoped_selector", "") == "gin.REQUIRED/gin.constant"
    ]


def _of_part(text: str, place: str, sources: Sources) -> str:
    """A part's own message, after the place of the binding that it is about, as far as that can be told."""
    message, maker = _without_calls(text), _maker(text)
    name = name_of("", maker) if maker else ""
    if found := re.search(r"missing \d+ required .*?arguments?: (.+)", message):
        missing = re.findall(r"'(\w+)'", found.group(1))
        return f"{', '.join(f'{name}.{parameter}' for parameter in missing)} must be bound: there is no default"
    mentions = [
        (where.start(), bound.place)
        for (scope, selector), parameters in gin_private.bindings().items()
        if not selector.startswith("gin.") and (selector == maker if maker else (scope, selector) in gin_private.used())
        for parameter, value in parameters.items()
        if (bound := sources.find(scope, selector, parameter))
        and (where := _mention(message, name_of(scope, selector, parameter), value, of_maker=maker is not None))
    ]
    if mentions and not place:
        place = min(mentions)[1]
    if name in ("agent", "train"):  # their messages have the full names of parameters
        name = ""
    return ": ".join(words for words in (place, name, message) if words)


def _maker(text: str) -> str | None:
    """The selector of the part whose making failed, from where gin says that it called it."""
    found = re.search(r"In call to configurable '\w+' \((.+)\)", text)
    selectors = gin_private.selectors() if found else []
    return next((s for s in selectors if found and str(gin_private.registered(s)) in found.group(1)), None)


def _mention(message: str, name: str, value: Any, of_maker: bool) -> re.Match[str] | None:
    """Where a message mentions a binding.

    A part's message has the parameter's own name or the string that it is bound to. One that comes when all parts are
    put together may mean another part's parameter: it has the full name, or the parameter's own and its value.
    """
    of_full_name = re.search(rf"\b{re.escape(name)}\b", message)
    of_name = re.search(rf"\b{re.escape(name.rsplit('.', 1)[-1])}\b", message)
    of_value = re.search(rf"(?<![\w.]){re.escape(repr(value))}(?![\w.])", message)
    if of_maker:
        return of_name or (of_value if isinstance(value, str) else None)
    return of_full_name or (of_name if of_value else None)


def _without_calls(text: str) -> str:
    """What a message says before gin adds where it was called from; four lines at most."""
    kept = []
    for line in text.strip().splitlines():
        if re.match(r"\s*(In call to|No values supplied|In file|Gin had|Caller supplied|In bindings)", line):
            break
        kept.append(line.strip())
    return "\n".join(kept[:4])
