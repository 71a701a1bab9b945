"""The names of a gin configuration: every registry entry has one, ``agent`` and ``train`` too.

gin itself says nothing about a binding that nothing uses, or of a value of the wrong type: both are errors here.
"""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import gin
from agents import gin_private, gin_sources, gin_types
from agents.gin_messages import PACKAGE, RUNTIME_ARGUMENTS, ConfigError, explained, name_of, parameters_of
from agents.gin_sources import ROOT
from sobolev import (
    actors,
    corrections,
    critics,
    environments,
    gradient_scales,
    horizons,
    metrics,
    optimizers,
    schedules,
    world_models,
)
from sobolev.agent import AgentConfig
from sobolev.registry import Registry
from sobolev.training import TrainConfig

if not hasattr(gin, "parse_config"):  # the folder gin/ takes the place of a package that is missing
    raise ModuleNotFoundError("the package gin-config is missing: pip install gin-config", name="gin")

FAMILIES: dict[str, Registry[Any]] = {
    "metrics": metrics.registry,
    "kernels": metrics.kernels.registry,
    "direction_searches": metrics.directions.registry,
    "corrections": corrections.registry,
    "horizons": horizons.registry,
    "world_models": world_models.registry,
    "critics": critics.registry,
    "actors": actors.registry,
    "gradient_scales": gradient_scales.registry,
    "optimizers": optimizers.registry,
    "schedules": schedules.registry,
    "environments": environments.registry,
    "perturbations": environments.perturbations.registry,
}
ROOTS: dict[str, Callable[..., Any]] = {"agent": AgentConfig, "train": TrainConfig}


@functools.cache
def register() -> None:
    """Gives gin the registry entries, those to come too, and the two configurations; only the first call does so."""
    for family, registry in FAMILIES.items():
        registry.watch(functools.partial(_enter, family))
    for name, config in ROOTS.items():
        _enter(PACKAGE, name, config)
    gin.add_config_file_search_path(str(ROOT))


def _enter(family: str, name: str, factory: Callable[..., Any]) -> None:
    given = [parameter for parameter in inspect.signature(factory).parameters if parameter in RUNTIME_ARGUMENTS]
    with gin.unlock_config():  # a part may be registered after a configuration has been read
        gin.external_configurable(factory, name=name, module=family, denylist=given or None)


def load(files: Sequence[str], bindings: Sequence[str]) -> TrainConfig:
    """Reads, checks and makes a configuration, which takes the place of any before it.

    Args:
        files: gin files, in order; later ones win.
        bindings: further bindings, which win over files.

    Returns:
        The configuration; the factories in it have not been called yet.

    Raises:
        ConfigError: anything wrong with it.
    """
    register()
    gin.clear_config()
    with explained(files, bindings, reading=True):
        gin.parse_config_files_and_bindings(list(files), list(bindings), finalize_config=True)
    gin_types.check(files, bindings)
    with explained(files, bindings, reading=True):
        return gin.get_configurable(f"{PACKAGE}.train")()


def check_all_read(files: Sequence[str], bindings: Sequence[str]) -> None:
    """Raises a ConfigError for the first binding that nothing has used; to be called when all parts are made.

    A file that serves several methods may bind parameters of parts that this one does not have. And any file may bind
    those of a part to which it refers, although another binding has then put another part in its place.
    """
    sources, used = gin_sources.read(files, bindings), gin_private.used()
    for (scope, selector), parameters in gin_private.bindings().items():
        for parameter in parameters:
            bound = sources.find(scope, selector, parameter)
            if parameter in used.get((scope, selector), {}):
                continue
            if bound and bound.in_file and (bound.shared or sources.refers_to(selector)):
                continue
            place = f"{bound.place}: " if bound else ""
            if selector == "gin.macro":
                raise ConfigError(f"{place}nothing uses {scope}: no binding has the value %{scope}")
            parts = sorted({name_of("", other) for _, other in used if not other.startswith("gin.")})
            raise ConfigError(
                f"{place}nothing uses {name_of(scope, selector, parameter)}: "
                f"{name_of(scope, selector)} is not part of this run.\nParts in use: {', '.join(parts)}"
            )


def operative_config() -> str:
    """All parameters in force, as a gin file."""
    return gin.operative_config_str()


def listing() -> str:
    """Every name that can be bound, with its documentation's first line, and its parameters, defaults and choices."""
    register()
    lines = []
    entries = [
        (f"{family}.{name}", registry.get(name)) for family, registry in FAMILIES.items() for name in registry.names()
    ]
    for name, factory in [*entries, *ROOTS.items()]:
        lines += [name, f"    {_first_line(factory)}"]
        annotations = gin_types.hints(factory)
        for parameter in parameters_of(factory).values():
            lines.append(
                f"    .{parameter.name}{_default(parameter, factory)}{_choices(annotations.get(parameter.name))}"
            )
    return "\n".join(lines)


def _first_line(factory: Callable[..., Any]) -> str:
    """The first line of the documentation, without its markup."""
    line = (inspect.getdoc(factory) or "").split("\n", 1)[0]
    return re.sub(r":\w+:`~?([^`]+)`|``(.+?)``", r"\1\2", line)


def _default(parameter: inspect.Parameter, factory: Callable[..., Any]) -> str:
    """An equals sign and the default, where a parameter has one."""
    value = parameter.default
    if value is parameter.empty:
        return ""
    if dataclasses.is_dataclass(factory):
        (field,) = (field for field in dataclasses.fields(factory) if field.name == parameter.name)
        if field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
    return f" = {_shown(value)}"


def _shown(value: Any) -> str:
    """A default in one line: functions by their gin names, and what Python has no short text for as an ellipsis."""
    known = {gin_private.registered(selector): f"@{name_of('', selector)}" for selector in gin_private.selectors()}
    if isinstance(value, functools.partial) and value.func in known:
        return known[value.func] + "".join(f", {name}={bound!r}" for name, bound in value.keywords.items())
    if inspect.isroutine(value) or inspect.isclass(value):
        return known.get(value, "…")
    return "…" if " at 0x" in repr(value) else repr(value)


def _choices(annotation: Any) -> str:
    wants = gin_types.wanted(annotation)
    names = wants.choices or wants.names
    return f"   one of {', '.join(map(repr, names))}{', or a part' if wants.names else ''}" if names else ""
