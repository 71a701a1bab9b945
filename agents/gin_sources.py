"""Where each parameter is bound: the files and bindings of a command line, in the order in which gin reads them."""

import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gin import config_parser

ROOT = Path(__file__).resolve().parent.parent
"""The clone: files that are not found from the working directory are looked for here."""


class Bound(NamedTuple):
    """One binding, as it is written.

    Fields:
        scope, selector, parameter: of what it binds; the selector may be the end of a complete one. A macro has its
            name as the scope, and the selector and the parameter that gin gives it.
        place: "file:line", or the flag and its value.
        in_file: whether it stands in a file.
        shared: whether that file serves several methods: another file includes it, or it is in a folder of gin/.
    """

    scope: str
    selector: str
    parameter: str
    place: str
    in_file: bool
    shared: bool


@dataclass(frozen=True)
class Sources:
    """What a command line says, read without the modules that it imports.

    Args:
        bound: all bindings; of several for one parameter, the last one counts.
        references: the parts to which files refer by an at sign, as they are written and without scopes.
        unclosed: the files or bindings that end within a bracket or a string.
        circular: the files that include themselves, one way or another.
    """

    bound: tuple[Bound, ...]
    references: frozenset[str]
    unclosed: tuple[str, ...]
    circular: tuple[str, ...]

    def find(self, scope: str, selector: str, parameter: str) -> Bound | None:
        """The binding that counts; the selector is a complete one."""
        for bound in reversed(self.bound):
            if (bound.scope, bound.parameter) == (scope, parameter) and is_end_of(bound.selector, selector):
                return bound
        return None

    def refers_to(self, selector: str) -> bool:
        """Whether a file refers to the part with this complete selector."""
        return any(is_end_of(reference, selector) for reference in self.references)


def is_end_of(name: str, selector: str) -> bool:
    """Whether a complete selector may be written as ``name``.

    Example:
        >>> is_end_of("mmd", "metrics.mmd"), is_end_of("md", "metrics.mmd")
        (True, False)
    """
    return f".{selector}".endswith(f".{name}")


def path_of(file: str) -> Path | None:
    """The file that gin reads under this name; None where there is none."""
    return next((path for path in (Path(file), ROOT / file) if path.is_file()), None)


def shown(path: Path) -> str:
    """The path as a message shows it: from the clone on where it is within."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def in_bindings(bindings: Sequence[str], line: int) -> str:
    """The place of a line, counted from 1, of all bindings together."""
    return f"--gin_bindings='{chr(10).join(bindings).splitlines()[line - 1].strip()}'"


def read(files: Iterable[str], bindings: Sequence[str]) -> Sources:
    """Reads what a command line says, as far as it can be read.

    Args:
        files: gin files, in order.
        bindings: further bindings, which come after all files.
    """
    parser = _Parser()
    for file in files:
        parser.read_file(file, included=False)
    references = frozenset(parser.references)
    for statement in parser.statements("\n".join(bindings), "--gin_bindings"):
        if isinstance(statement, config_parser.BindingStatement):
            parser.add(statement, in_bindings(bindings, statement.location.line_num), in_file=False, shared=False)
    return Sources(tuple(parser.bound), references, tuple(parser.unclosed), tuple(parser.circular))


class _Parser(config_parser.ParserDelegate):
    """Collects bindings; gin's parser tells it of the references and macros that it finds in their values."""

    def __init__(self) -> None:
        self.bound: list[Bound] = []
        self.references: set[str] = set()
        self.unclosed: list[str] = []
        self.circular: list[str] = []
        self._open: list[Path] = []

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> None:
        del evaluate
        self.references.add(scoped_configurable_name.rsplit("/", 1)[-1])

    def macro(self, macro_name: str) -> None:
        del macro_name

    def statements(self, text: str, place: str) -> Iterator[object]:
        """The statements up to the first that gin cannot read, which it reports itself."""
        try:
            yield from config_parser.ConfigParser(text, self)
        except tokenize.TokenError:
            self.unclosed.append(place)
        except (SyntaxError, ValueError):
            return

    def add(self, statement: config_parser.BindingStatement, place: str, in_file: bool, shared: bool) -> None:
        scope, selector, parameter = statement.scope, statement.selector, statement.arg_name
        if not parameter:
            scope, selector, parameter = f"{scope}/{selector}" if scope else selector, "gin.macro", "value"
        self.bound.append(Bound(scope, selector, parameter, place, in_file, shared))

    def read_file(self, file: str, included: bool) -> None:
        path = path_of(file)
        if path is None:
            return
        if path.resolve() in self._open:
            self.circular.append(shown(path))
            return
        self._open.append(path.resolve())
        shared = included or path.resolve().parent.parent == ROOT / "gin"
        for statement in self.statements(path.read_text(errors="replace"), shown(path)):
            if isinstance(statement, config_parser.IncludeStatement):
                self.read_file(statement.filename, included=True)
            elif isinstance(statement, config_parser.BindingStatement):
                place = f"{shown(path)}:{statement.location.line_num}"
                self.add(statement, place, in_file=True, shared=shared)
        self._open.pop()
