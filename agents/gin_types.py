"""Whether a bound value fits the annotation of its parameter: gin itself passes on whatever is bound."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import gin
from agents import gin_private, gin_sources
from agents.gin_messages import RUNTIME_ARGUMENTS, ConfigError, did_you_mean, name_of

_PLAIN: dict[Any, Any] = {
    bool: bool,
    int: int,
    float: (int, float),
    str: str,
    tuple: (tuple, list),
    list: (tuple, list),
    dict: dict,
}


class Wanted(NamedTuple):
    """What an annotation admits.

    Fields:
        anything: whether it admits every value.
        none: whether it admits None.
        choices: the values of its literals.
        plain: numbers, strings and containers, as the annotation has them.
        parts: classes of objects, which a binding makes by ``@name()``.
        factories: callables ``(arguments, product)``, which a binding gives by ``@name``.
    """

    anything: bool
    none: bool
    choices: tuple[Any, ...]
    plain: tuple[Any, ...]
    parts: tuple[Any, ...]
    factories: tuple[tuple[Any, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The strings that stand for a part: the registered names, where a part or a string is wanted."""
        return tuple(_last(selector) for selector in _suppliers_of_parts(self)) if str in self.plain else ()


def wanted(annotation: Any) -> Wanted:
    """What an annotation admits; one that cannot be understood admits everything.

    Example:
        >>> wanted(int | None).plain, wanted(typing.Literal["u", "v"]).choices
        ((<class 'int'>,), ('u', 'v'))
    """
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    choices: list[Any] = []
    plain: list[Any] = []
    parts: list[Any] = []
    factories: list[tuple[Any, Any]] = []
    anything = none = False
    for option in typing.get_args(annotation) if is_union else (annotation,):
        kind = typing.get_origin(option) or option
        if kind is type(None):
            none = True
        elif kind is typing.Literal:
            choices += typing.get_args(option)
        elif kind in _PLAIN:
            plain.append(option)
        elif kind is Callable:
            factories.append(typing.get_args(option) or (..., Any))
        elif inspect.isclass(kind) and kind is not Any:
            parts.append(kind)
        else:
            anything = True
    return Wanted(anything, none, tuple(choices), tuple(plain), tuple(parts), tuple(factories))


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a configurable's parameters, and of what it returns; none where they do not resolve."""
    target: Any = function
    if inspect.isclass(function) and not dataclasses.is_dataclass(function):
        target = function.__init__
    try:
        return typing.get_type_hints(target)
    except (NameError, TypeError):  # foreign functions have such annotations
        return {}


def check(files: Sequence[str], bindings: Sequence[str]) -> None:
    """Raises a ConfigError for the first bound value that does not fit; to be called when gin has read all of them."""
    sources = gin_sources.read(files, bindings)
    for (scope, selector), parameters in gin_private.bindings().items():
        if selector.startswith("gin."):
            continue
        annotations = hints(gin_private.registered(selector))
        for parameter, bound_to in parameters.items():
            value, macro = _value_of(bound_to)
            problem = misfit(value, annotations.get(parameter, Any))
            if problem:
                bound = sources.find(macro, "gin.macro", "value") if macro else sources.find(scope, selector, parameter)
                name = name_of(scope, selector, parameter) + (f" = %{macro}" if macro else "")
                raise ConfigError(": ".join(([bound.place] if bound else []) + [f"{name} {problem}"]))


def _value_of(bound_to: Any) -> tuple[Any, str]:
    """The value behind macros, and the name of the last of them."""
    macros: list[str] = []
    while isinstance(bound_to, gin.config.ConfigurableReference) and bound_to.selector == "gin.macro":
        macro = "/".join(bound_to.scopes)
        if macro in macros:
            raise ConfigError(f"the macro {macro} refers to itself: {' = %'.join([*macros, macro])}")
        macros.append(macro)
        bound_to = gin_private.bindings()[macro, "gin.macro"]["value"]
    return bound_to, macros[-1] if macros else ""


def misfit(value: Any, annotation: Any) -> str | None:
    """What is wrong with a bound value.

    Args:
        value: as gin has read it.
        annotation: of the parameter.

    Returns:
        A phrase that follows the parameter's name; None where nothing is wrong.

    Example:
        >>> misfit(2.5, int), misfit("acton", typing.Literal["none", "action"])
        ('must be int, got 2.5 (float)', "must be one of 'none', 'action', got 'acton'; did you mean action?")
    """
    wants = wanted(annotation)
    if wants.anything or (value is None and wants.none):
        return None
    if isinstance(value, gin.config.ConfigurableReference):
        return _misfit_of_reference(value, wants)
    if any(type(value) is type(choice) and value == choice for choice in wants.choices):
        return None
    strings = wants.names or wants.choices
    if strings and isinstance(value, str):
        close = did_you_mean(value, strings).removesuffix(".")
        return None if value in strings else f"must be one of {', '.join(map(repr, strings))}, got {value!r}{close}"
    if any(_is_plain(value, option) for option in wants.plain) or any(_is_a(type(value), part) for part in wants.parts):
        return None
    if wants.plain or wants.choices:
        listed = [f"one of {', '.join(map(repr, strings))}"] if strings else []
        options = listed + [_text(option) for option in wants.plain if not (strings and option is str)]
        part = " or a part" if wants.parts and strings else ""
        return f"must be {' or '.join(options)}{part}, got {value!r} ({type(value).__name__})"
    return _misfit_of_plain(value, wants)


def _misfit_of_plain(value: Any, wants: Wanted) -> str:
    known = _references(wants)
    if not isinstance(value, str):
        return f"wants a part, got {value!r}{_take_one_of(known)}"
    called = [reference for reference in known if _last(reference.removesuffix("()")) == value]
    if not known:  # a protocol does not say what fits it; what is in its family comes first
        call, own = "()" if wants.parts else "", {name for part in wants.parts for name in part.__module__.split(".")}
        called = [f"@{selector}{call}" for selector in gin_private.selectors() if _last(selector) == value]
        called.sort(key=lambda reference: not own.intersection(reference.removeprefix("@").split(".")))
    return f"wants a part, not the string {value!r}" + (f": write {called[0]}" if called else _take_one_of(known))


def _misfit_of_reference(reference: Any, wants: Wanted) -> str | None:
    if reference.selector.startswith("gin."):
        return None
    function, written = reference.configurable.wrapped, f"@{reference.scoped_selector}"
    if reference.evaluate and wants.factories and not (wants.parts or wants.plain or wants.choices):
        return f"wants a factory: write {written}, without ()"
    if not reference.evaluate and wants.parts and not wants.factories:
        return f"wants the part itself: write {written}(), with ()"
    if reference.evaluate:
        fits = not _given(function) and any(_may_be(_product(function), option) for option in wants.parts + wants.plain)
        # A call may return a function.
        fits = fits or any(not inspect.isclass(_product(function)) for _ in wants.factories)
    else:
        fits = any(
            _may_be(_product(function), made) and (not _needed(arguments) or _takes_arguments(function))
            for arguments, made in wants.factories
        )
    if fits:
        return None
    options = [_text(option) for option in wants.parts + wants.plain]
    options += [f"a factory of {_text(made)}" for _, made in wants.factories]
    call = "()" if reference.evaluate else ""
    return f"wants {' or '.join(options) or 'no part'}, got {written}{call}{_take_one_of(_references(wants))}"


def _references(wants: Wanted) -> list[str]:
    """The references to registered parts that fit, as a binding has them."""
    parts = [f"@{name_of('', selector)}()" for selector in _suppliers_of_parts(wants)]
    return parts + [
        f"@{selector}"
        for selector in gin_private.selectors()
        for function in [gin_private.registered(selector)]
        if any(_is_a(_product(function), made) and _given(function) == _needed(args) for args, made in wants.factories)
    ]


def _suppliers_of_parts(wants: Wanted) -> list[str]:
    """The selectors of the configurables that make one of the wanted parts by a call without arguments."""
    functions = {selector: gin_private.registered(selector) for selector in gin_private.selectors()}
    return [
        selector
        for selector, function in functions.items()
        if not _given(function) and any(_is_a(_product(function), part) for part in wants.parts)
    ]


def _product(function: Callable[..., Any]) -> Any:
    """What a configurable makes: an instance of itself if it is a class, or what it is annotated to return."""
    return function if inspect.isclass(function) else hints(function).get("return", Any)


def _given(function: Callable[..., Any]) -> set[str]:
    """The parameters of a factory that the library gives."""
    return set(inspect.signature(function).parameters) & set(RUNTIME_ARGUMENTS)


def _needed(arguments: Any) -> set[str]:
    """The parameters that a wanted callable is given, by their types."""
    return {name for name, kind in RUNTIME_ARGUMENTS.items() if arguments is not ... and kind in arguments}


def _takes_arguments(function: Callable[..., Any]) -> bool:
    """Whether a function has a parameter that must be given."""
    return any(p.default is p.empty for p in inspect.signature(function).parameters.values())


def _is_plain(value: Any, option: Any) -> bool:
    kind, arguments = typing.get_origin(option) or option, typing.get_args(option)
    if not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and kind is not bool):
        return False
    has_one_kind = kind is list or (kind is tuple and arguments[1:] == (...,))
    return not (has_one_kind and arguments) or all(misfit(element, arguments[0]) is None for element in value)


def _is_a(made: Any, contract: Any) -> bool:
    try:
        return made == contract or issubclass(made, contract)
    except TypeError:  # one of them is no class, or a protocol
        return False


def _may_be(made: Any, contract: Any) -> bool:
    """Whether something annotated as ``made`` can be what the contract asks for."""
    try:
        return Any in (made, contract) or issubclass(made, contract) or issubclass(contract, made)
    except TypeError:  # one of them is no class, or a protocol
        return True


def _last(selector: str) -> str:
    return selector.rsplit(".", 1)[-1]


def _take_one_of(references: Iterable[str]) -> str:
    references = list(references)
    return f": take one of {', '.join(references)}" if references else ""


def _text(option: Any) -> str:
    is_plain_class = inspect.isclass(option) and not typing.get_args(option)
    return option.__name__ if is_plain_class else str(option).replace("typing.", "")
