"""gin at the edge: every registry entry becomes a gin name, and what a user typed wrongly becomes one short message.

gin itself is silent about a binding that nothing reads and about a value of a wrong type; both are errors here.
"""

import dataclasses
import difflib
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import optax

import gin
from sobolev import environments
from sobolev.agent.config import AgentConfig
from sobolev.training.train import TrainConfig
from sobolev import actors, gradient_scales, critics, metrics, world_models
from sobolev.registry import Registry

ROOT = Path(__file__).resolve().parent.parent

if not hasattr(gin, "parse_config"):
    raise ImportError("the package gin-config is missing: pip install gin-config")

FAMILIES: dict[str, Registry[Any]] = {
    "metrics": metrics.registry,
    "kernels": metrics.kernels.registry,
    "world_models": world_models.registry,
    "critics": critics.registry,
    "actors": actors.registry,
    "gradient_scales": gradient_scales.registry,
    "environments": environments.registry,
    "noises": environments.noises,
}
OPTIMIZERS = {"adam": optax.adam, "radam": optax.radam, "adamw": optax.adamw, "sgd": optax.sgd}
SCHEDULES = {"cosine_decay": optax.cosine_decay_schedule, "linear": optax.linear_schedule}
_ROOTS = {"sobolev.agent.config.agent": "agent", "sobolev.training.train.train": "train"}
_RUNTIME_ARGUMENTS = {"spec", "env"}


class ConfigError(ValueError):
    """A mistake in the configuration, told in one short message."""


def _configurable(function: Callable[..., Any], name: str, module: str | None = None) -> None:
    given = [p for p in inspect.signature(function).parameters if p in _RUNTIME_ARGUMENTS]
    gin.external_configurable(function, name=name, module=module, denylist=given or None)


def _enter(family: str, name: str, factory: Callable[..., Any]) -> None:
    _configurable(factory, name, family)


@functools.cache
def register() -> None:
    """Makes every registry entry, those to come too, known to gin; then the two roots and the optimisers. Once."""
    for family, registry in FAMILIES.items():
        registry.watch(functools.partial(_enter, family))
    for name, optimizer in OPTIMIZERS.items():
        _configurable(optimizer, name, "optimizers")
    for name, schedule in SCHEDULES.items():
        _configurable(schedule, name, "schedules")
    _configurable(AgentConfig, "agent")
    _configurable(TrainConfig, "train")
    gin.add_config_file_search_path(str(ROOT))


def load(files: Sequence[str], bindings: Sequence[str]) -> TrainConfig:
    """Parses, checks and builds the configuration, in the place of any before it.

    Raises:
        ConfigError: anything wrong with it.
    """
    register()
    gin.clear_config()
    try:
        gin.parse_config_files_and_bindings(list(files), list(bindings), finalize_config=True)
    except (ValueError, SyntaxError, OSError, ImportError, AttributeError, TypeError) as error:
        raise ConfigError(_explain(error, files, bindings)) from error
    _check_types(files, bindings)
    try:
        return gin.get_configurable("train")()
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(_explain(error, files, bindings)) from error


def check_all_read(files: Sequence[str], bindings: Sequence[str]) -> None:
    """Raises a ConfigError for the first binding that nothing has read; to be called when all parts are made.

    Files that serve many methods (those that are included, and those in the folders of gin/) may set parts that this
    one does not take; and any file may set a part that it takes itself, which another binding has then replaced.
    """
    shared, taken = _shared(files), _taken(files)
    for (scope, selector), parameters in gin.config._CONFIG.items():
        read = gin.config._OPERATIVE_CONFIG.get((scope, selector), {})
        for parameter in parameters:
            if parameter not in read:
                name = _short(scope, selector) + ("" if selector == "gin.macro" else f".{parameter}")
                place = _place(name, files, bindings)
                in_file = not place.startswith("--")
                if in_file and (place.rsplit(":", 1)[0] in shared or _short("", selector) in taken):
                    continue
                used = sorted({_short("", other) for _, other in gin.config._OPERATIVE_CONFIG})
                part = (
                    "no binding uses this macro"
                    if selector == "gin.macro"
                    else f"{_short('', selector)} is not part of this run"
                )
                raise ConfigError(
                    f"{place}: nothing reads {name}: {part}.\nParts in use: {', '.join(name for name in used if name)}"
                )


def operative_config() -> str:
    """All parameters in force, as a gin file."""
    return gin.operative_config_str()


def _short(scope: str, selector: str) -> str:
    if selector == "gin.macro":
        return scope
    selector = _ROOTS.get(selector, selector)
    return f"{scope}/{selector}" if scope else selector


def _place(name: str, files: Sequence[str], bindings: Sequence[str]) -> str:
    """Where ``name`` is bound: "file:line" or "--gin_bindings"; files that are included count."""
    wanted = re.compile(rf"^\s*(?:[\w/.]*[/.])?{re.escape(name.rsplit('/', 1)[-1])}\s*=")
    short = re.compile(rf"^\s*(?:[\w/]*/)?{re.escape('.'.join(name.split('.')[-2:]))}\s*=")
    for binding in bindings:
        if wanted.match(binding) or short.match(binding):
            return f"--gin_bindings='{binding}'"
    found = "the configuration"
    for path in _with_includes(files):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if wanted.match(line) or short.match(line):
                found = f"{_relative(path)}:{number}"
    return found


def _with_includes(files: Iterable[str]) -> list[Path]:
    paths: list[Path] = []
    for file in files:
        path = next((p for p in (Path(file), ROOT / file) if p.is_file()), None)
        if path is not None:
            included = re.findall(r"^\s*include\s+['\"](.+?)['\"]", path.read_text(), re.MULTILINE)
            paths += [*_with_includes(included), path]
    return paths


def _shared(files: Iterable[str]) -> set[str]:
    given = [_with_includes([file]) for file in files]
    included = {path for paths in given for path in paths[:-1]}
    folders = {paths[-1] for paths in given if paths and paths[-1].resolve().parent.parent == ROOT / "gin"}
    return {str(_relative(path)) for path in included | folders}


def _taken(files: Iterable[str]) -> set[str]:
    """The parts that files refer to."""
    text = "\n".join(path.read_text() for path in _with_includes(files))
    return {name.rsplit("/", 1)[-1] for name in re.findall(r"^[^#\n]*?@([\w./]+)", text, re.MULTILINE)}


def _relative(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _selectors() -> list[str]:
    """The names that a user may write, the two roots by their short names."""
    selectors = (selector for selector in gin.config._REGISTRY._selector_map if not selector.startswith("gin."))
    return [_ROOTS.get(selector, selector) for selector in selectors]


def _close(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    close = close or [k for k in known if k.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]][:3]
    return f"did you mean {' or '.join(close)}? " if close else ""


_HINTS = (
    (re.compile(r"\btrue\b|\bfalse\b"), "booleans are True and False"),
    (re.compile(r"=\s*[A-Za-z_]\w*\s*$"), "a name needs quotes ('action') or, for a part, an at sign (@metrics.mmd())"),
    (re.compile(r"=.*\d\s*[*/+]\s*\d"), "gin does no arithmetic: write the number"),
)


def _explain(error: Exception, files: Sequence[str], bindings: Sequence[str]) -> str:
    """Gin's and Python's messages, shortened: what, where, and what was probably meant."""
    text = str(error)
    place = _place_in(text, bindings)
    if isinstance(error, SyntaxError):
        line = (error.text or "").strip()
        hints = [hint for pattern, hint in _HINTS if pattern.search(line)]
        where = f"{_relative(Path(error.filename))}:{error.lineno}" if error.filename else "--gin_bindings"
        return f"{where}: cannot read {line!r}" + (f": {hints[0]}" if hints else f": {error.msg}")
    if isinstance(error, OSError) or "Unable to open file" in text:
        missing = re.search(r"file: (\S+?)\.? ", text + " ")
        name = missing.group(1) if missing else str(next((f for f in files if not _with_includes([f])), files))
        known = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "gin").rglob("*.gin"))]
        return f"no gin file {name}; {_close(name, known)}There are: {', '.join(known)}"
    if found := re.search(r"No configurable matching(?: reference)? [`'\"]?@?([\w./]+)", text):
        known = _selectors()
        return f"{place}: nothing is called {found.group(1)}; {_close(found.group(1), known)}`--list` shows all names"
    if found := re.search(r"[Cc]onfigurable [`'\"]?([\w./]+)[`'\"]? doesn't have a parameter named [`'\"](\w+)", text):
        name, parameter = found.groups()
        parameters = inspect.signature(gin.config._REGISTRY.get_match(name).wrapped).parameters
        known = [p for p in parameters if p not in _RUNTIME_ARGUMENTS]
        return f"{place}: {name} has no parameter {parameter}; {_close(parameter, known)}It has: {', '.join(known)}"
    if found := re.search(r"missing \d+ required .*?arguments?: (.+)", text):
        what = found.group(1).splitlines()[0]
        return f"not bound, and without a default: {what}. The method files in gin/ bind them"
    return first_lines(text)


def first_lines(text: str) -> str:
    """What a message says before gin adds where it was called from."""
    kept = []
    for line in text.strip().splitlines():
        if re.match(r"\s*(In call to|No values supplied|In file|Gin had caller|In bindings)", line):
            break
        kept.append(line.strip())
    called = re.search(r"In call to configurable '(\w+)'", text)
    return (f"{called.group(1)}: " if called else "") + "\n".join(kept[:4])


def _place_in(text: str, bindings: Sequence[str]) -> str:
    """Gin names the place on the last line: `In file "gin/x.gin", line 3` or `In bindings string line 1`."""
    if found := re.search(r'In file "?([^",]+)"?, line (\d+)', text):
        return f"{_relative(Path(found.group(1)))}:{found.group(2)}"
    if found := re.search(r"In bindings string line (\d+)", text):
        line = "\n".join(bindings).splitlines()[int(found.group(1)) - 1]
        return f"--gin_bindings='{line.strip()}'"
    return "the configuration"


def _check_types(files: Sequence[str], bindings: Sequence[str]) -> None:
    """Raises a ConfigError for the first bound value that its parameter's annotation does not admit."""
    for (scope, selector), parameters in gin.config._CONFIG.items():
        if selector.startswith("gin."):
            continue
        function = gin.config._REGISTRY.get_match(selector).wrapped
        hints = _type_hints(function)
        for parameter, value in parameters.items():
            problem = _misfit(value, hints.get(parameter, Any))
            if problem:
                name = f"{_short(scope, selector)}.{parameter}"
                raise ConfigError(f"{_place(name, files, bindings)}: {name} {problem}")


def _type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = function if dataclasses.is_dataclass(function) or not inspect.isclass(function) else function.__init__
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):  # annotations of foreign functions may not resolve
        return {}


_PLAIN: dict[Any, Any] = {bool: bool, int: int, float: (int, float), str: str, tuple: (tuple, list), dict: dict}


def _misfit(value: Any, annotation: Any) -> str | None:
    """What is wrong with a bound value, in words, or None."""
    if isinstance(value, gin.config.ConfigurableReference):
        return _misfit_of_reference(value, annotation)
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    kinds = [typing.get_origin(option) or option for option in options]
    if any(kind is Any for kind in kinds) or (value is None and type(None) in kinds):
        return None
    if typing.Literal in kinds:
        allowed = [choice for option in options for choice in typing.get_args(option)]
        return None if value in allowed else f"must be one of {', '.join(map(repr, allowed))}, got {value!r}"
    plain = [kind for kind in kinds if kind in _PLAIN]
    if not plain:
        if isinstance(value, str):
            family = next((f for f, registry in FAMILIES.items() if value in registry.names()), None)
            example = f"@{family}.{value}" if family else "@family.name"
            return f"wants a part, not the string {value!r}: write {example}, with () unless it is a factory"
        return None if not isinstance(value, (bool, int, float)) else f"wants a part, got {value!r}"
    for kind in plain:
        if isinstance(value, _PLAIN[kind]) and (kind is bool or not isinstance(value, bool)):
            return None
    names = " or ".join(kind.__name__ for kind in plain)
    return f"must be {names}, got {value!r} ({type(value).__name__})"


def _misfit_of_reference(reference: Any, annotation: Any) -> str | None:
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    kinds = [typing.get_origin(option) or option for option in options]
    if Any in kinds or reference.selector.startswith("gin."):
        return None
    callables = [
        kind in (Callable, typing.Callable, types.FunctionType) or "Callable" in str(kind)
        for kind in kinds
        if kind is not type(None)
    ]
    if reference.evaluate and all(callables):
        return f"wants a factory: write @{reference.selector}, without ()"
    if not reference.evaluate and not any(callables):
        return f"wants the part itself: write @{reference.selector}(), with ()"
    return None


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def listing() -> str:
    """Every name that can be bound, with its parameters and defaults and the first line of its documentation."""
    families: list[tuple[str, Iterable[tuple[str, Callable[..., Any]]]]] = [
        (family, [(name, registry.get(name)) for name in registry.names()]) for family, registry in FAMILIES.items()
    ]
    lines = []
    for family, entries in [
        *families,
        ("optimizers", OPTIMIZERS.items()),
        ("schedules", SCHEDULES.items()),
        ("", [("agent", AgentConfig), ("train", TrainConfig)]),
    ]:
        for name, factory in entries:
            lines.append(f"{family}.{name}" if family else name)
            lines.append(f"    {(inspect.getdoc(factory) or '').splitlines()[0]}")
            lines += [f"    .{text}" for text in _parameters(factory)]
    return "\n".join(lines)


def _parameters(factory: Callable[..., Any]) -> list[str]:
    texts = []
    for name, parameter in inspect.signature(factory).parameters.items():
        if name not in _RUNTIME_ARGUMENTS and parameter.kind is not parameter.VAR_KEYWORD:
            default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
            texts.append(name + default)
    return texts
