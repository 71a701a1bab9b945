"""The names in gin: those of all registries, what --list says of them, and what of gin is private."""

import re
from collections.abc import Callable

import pytest

import gin
from agents import gin_names, gin_private
from sobolev import corrections


def listed() -> dict[str, list[str]]:
    """What --list says: the lines of each name."""
    entries = re.split(r"^(?=\S)", gin_names.listing(), flags=re.MULTILINE)
    return {lines[0]: [line.strip() for line in lines[1:]] for entry in entries if (lines := entry.splitlines())}


def test_every_entry_of_every_registry_is_listed() -> None:
    expected = {f"{family}.{name}" for family, registry in gin_names.FAMILIES.items() for name in registry.names()}
    assert set(listed()) == expected | {"agent", "train"}
    assert {"optimizers.adam", "schedules.linear", "corrections.truncate", "horizons.geometric"} <= expected
    assert "direction_searches.ascent" in expected


def test_listed_parameters_have_defaults_and_choices() -> None:
    entries = listed()
    assert ".num_samples = 8" in entries["agent"]
    assert ".world_model = @world_models.cvae, hidden_sizes=(64, 64)" in entries["agent"]
    assert ".noise = None" in entries["train"]
    assert ".learning_rate" in entries["optimizers.adam"]
    assert not {".spec", ".env"} & {line.split(" ")[0] for lines in entries.values() for line in lines}
    for name, line in {
        "agent": ".gradient = 'state_action'   one of 'none', 'action', 'state_action', 'closed_loop'",
        "metrics.mmd": ".estimator = 'u'   one of 'u', 'v'",
    }.items():
        assert line in entries[name]
    (overestimation,) = (line for line in entries["agent"] if line.startswith(".overestimation"))
    assert all(repr(name) in overestimation for name in corrections.registry.names())


def test_what_is_registered_later_has_a_name_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gin_names.load(["gin/msmmd_cvae.gin"], [])
    registry = gin_names.FAMILIES["schedules"]
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))

    @registry.register("of_this_test")
    def of_this_test(rate: float = 2.0) -> Callable[[int], float]:
        """A constant."""
        return lambda count: rate

    assert gin_private.registered("schedules.of_this_test") is of_this_test
    assert listed()["schedules.of_this_test"] == ["A constant.", ".rate = 2.0"]


def test_gin_has_the_private_names_that_we_use() -> None:
    gin_names.register()
    gin.parse_config("a = 3\nscope/metrics.huber.delta = %a")
    key = ("scope", "metrics.huber")
    assert set(gin_private.bindings()) == {("a", "gin.macro"), key}
    assert gin_private.bindings()["a", "gin.macro"] == {"value": 3}
    assert not gin_private.used()
    with gin.config_scope("scope"):
        assert gin.get_configurable("metrics.huber")().delta == 3
    assert "delta" in gin_private.used()[key]
    assert gin_private.registered("huber") is gin_private.registered("metrics.huber")
    assert {"metrics.huber", "sobolev.agent"} <= set(gin_private.selectors())


def test_private_names_of_gin_stand_in_one_module() -> None:
    modules = [path for path in (gin_names.ROOT / "agents").glob("*.py") if "config._" in path.read_text()]
    assert [path.name for path in modules] == ["gin_private.py"]


def test_runtime_arguments_cannot_be_bound() -> None:
    with pytest.raises(gin_names.ConfigError, match="spec"):
        gin_names.load(["gin/msmmd_cvae.gin"], ["critics.generative.spec = 3"])
