"""The pages of parts: each registered part has a complete entry, whose binding is right."""

from pathlib import Path

import pytest

from website import parts

ROOT = Path(__file__).resolve().parents[2]


def text_of(family: str) -> str:
    return (ROOT / "docs/parts" / f"{family}.md").read_text()


@pytest.mark.parametrize("family", parts.FAMILIES)
def test_each_part_has_a_complete_entry(family: str) -> None:
    parts.check(text_of(family), family)


@pytest.mark.parametrize("family", parts.FAMILIES)
def test_a_part_without_an_entry_is_refused(family: str) -> None:
    text = text_of(family)
    for name in parts.FAMILIES[family].registry.names():
        with pytest.raises(ValueError, match=f"docs/parts/{family}.md has no entry ## `{name}`"):
            parts.check(text.replace(f"## `{name}`", "## another"), family)


@pytest.mark.parametrize("fact", parts.FACTS)
def test_an_entry_without_a_fact_is_refused(fact: str) -> None:
    lines = text_of("actors").splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if line.startswith(f"- **{fact}**"))
    end = next(i for i in range(place + 1, len(lines)) if not lines[i].startswith("  "))
    with pytest.raises(ValueError, match="deterministic: the facts must be Formula, Estimator"):
        parts.check("".join(lines[:place] + lines[end:]), "actors")


def test_a_test_that_does_not_name_the_part_is_refused() -> None:
    text = text_of("corrections").replace("tests/theory/test_estimators.py", "tests/metrics/test_huber.py")
    with pytest.raises(ValueError, match=r"tests/metrics/test_huber.py names neither double_min nor DoubleMin"):
        parts.check(text, "corrections")
    with pytest.raises(ValueError, match=r"there is no tests/nothing.py"):
        parts.check(text.replace("tests/metrics/test_huber.py", "tests/nothing.py"), "corrections")


def test_the_site_adds_binding_and_reference() -> None:
    shown = parts.completed(text_of("horizons"), "parts/horizons.md")
    assert "- **Reference**: [`sobolev.horizons.Geometric`][sobolev.horizons.geometric.Geometric]" in shown
    assert "    agent.horizon = @horizons.geometric()\n    horizons.geometric.steps = 4\n" in shown
    assert parts.completed("# Metrics", "metrics.md") == "# Metrics"


ENTRIES = [(family, name) for family, kind in parts.FAMILIES.items() for name in kind.registry.names()]


@pytest.mark.parametrize(("family", "name"), ENTRIES)
def test_bindings_are_what_gin_takes(family: str, name: str) -> None:
    from agents import gin_names

    lines = parts.binding(family, name).splitlines()
    assert lines[0].startswith(parts.FAMILIES[family].slot)
    gin_names.load(["gin/msmmd_cvae.gin"], lines)
