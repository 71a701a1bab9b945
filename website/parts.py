"""The pages of parts: each registered part has a complete entry, to which the site adds how to bind it."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sobolev import actors, corrections, critics, gradient_scales, horizons, metrics, world_models
from sobolev.registry import Registry
from website.api import published
from website.pages import ROOT

FACTS = ("Formula", "Estimator", "Bias", "Gradient", "Cost", "Source", "Tests")
_ENTRY = re.compile(r"^## `(?P<name>\w+)`\n\n(?P<facts>(?:.+\n)+)", re.MULTILINE)
_LITERALS = (bool, int, float, str, tuple, type(None))


class Family(NamedTuple):
    """A kind of parts.

    Fields:
        registry: of the parts.
        slot: the parameter in gin that takes one.
        made: whether it takes a part, or the factory of one.
    """

    registry: Registry[Any]
    slot: str
    made: bool = True


# By the name of the page, which is the family's in gin.
FAMILIES = {
    "metrics": Family(metrics.registry, "agent.metric"),
    "kernels": Family(metrics.kernels.registry, "metrics.msmmd.kernel"),
    "direction_searches": Family(metrics.directions.registry, "metrics.msmmd.search"),
    "world_models": Family(world_models.registry, "agent.world_model", made=False),
    "critics": Family(critics.registry, "agent.critic", made=False),
    "actors": Family(actors.registry, "agent.actor", made=False),
    "corrections": Family(corrections.registry, "agent.overestimation"),
    "horizons": Family(horizons.registry, "agent.horizon"),
    "gradient_scales": Family(gradient_scales.registry, "agent.gradient_scale"),
}


def binding(family: str, name: str) -> str:
    """The lines of gin that choose a part, and those of its numbers with their defaults.

    Example:
        >>> print(binding("corrections", "truncate"))
        agent.overestimation = @corrections.truncate()
        corrections.truncate.drop = 1
    """
    registry, slot, made = FAMILIES[family]
    lines = [f"{slot} = @{family}.{name}{'()' if made else ''}"]
    lines += [f"{family}.{name}.{key} = {value!r}" for key, value in _defaults(registry.get(name))]
    return "\n".join(lines)


def _defaults(part: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    for parameter in inspect.signature(part).parameters.values():
        if parameter.default is not parameter.empty and isinstance(parameter.default, _LITERALS):
            yield parameter.name, parameter.default


def check(text: str, family: str) -> None:
    """Raises a ValueError unless a page has exactly the parts of its family, each with all facts and true tests."""
    place = f"docs/parts/{family}.md"
    registry = FAMILIES[family].registry
    entries = {found["name"]: found["facts"] for found in _ENTRY.finditer(text)}
    for name in registry.names():
        if registry.get(name).__module__.startswith("sobolev.") and name not in entries:
            raise ValueError(f"{place} has no entry ## `{name}`, which is registered as a {registry.kind}")
    for name, facts in entries.items():
        registry.get(name)
        found = tuple(re.findall(r"^- \*\*(\w+)\*\*: \S", facts, re.MULTILINE))
        if found != FACTS:
            raise ValueError(f"{place}, {name}: the facts must be {', '.join(FACTS)}; got {', '.join(found)}")
        tests = facts.partition("- **Tests**")[2]
        for path in re.findall(r"\[`(.+?)`\]", tests):
            _check_test(path, name, registry.get(name), place)


def _check_test(path: str, name: str, part: Any, place: str) -> None:
    if not (ROOT / path).is_file():
        raise ValueError(f"{place}, {name}: there is no {path}")
    source = (ROOT / path).read_text()
    module = part.__module__.rpartition(".")[2]
    if not any(re.search(rf"\b{word}2?\b", source) for word in (name, part.__name__, module, "registry.names")):
        raise ValueError(f"{place}, {name}: {path} names neither {name} nor {part.__name__}")


def completed(text: str, page: str) -> str:
    """A page of parts as the site shows it: each entry ends with its binding and a link to the reference.

    Raises:
        ValueError: an entry is missing or incomplete.
    """
    folder, _, family = page.removesuffix(".md").rpartition("/")
    if folder != "parts" or family not in FAMILIES:
        return text
    check(text, family)

    def replaced(found: re.Match[str]) -> str:
        part = FAMILIES[family].registry.get(found["name"])
        full = f"{part.__module__}.{part.__qualname__}"
        python = f"{published()[full]}.{part.__name__}"
        code = "".join(f"    {line}\n" for line in ["```python", *binding(family, found["name"]).splitlines(), "```"])
        return f"{found[0]}- **Reference**: [`{python}`][{full}]\n- **Bind**:\n\n{code}"

    return _ENTRY.sub(replaced, text)
