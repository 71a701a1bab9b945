from collections.abc import Callable
from typing import Any

import pytest

from sobolev.registry import Registry, unknown_name


@pytest.fixture
def shapes() -> Registry[Callable[..., Any]]:
    registry: Registry[Callable[..., Any]] = Registry("shape")
    registry.register("square")(lambda side, times=1: side * side * times)
    registry.register("cube")(lambda side: side**3)
    return registry


def test_makes_what_is_registered(shapes: Registry) -> None:
    assert shapes.names() == ("square", "cube")
    assert shapes.make("square", 3, times=2) == 18
    assert shapes.get("cube")(2) == 8


def test_register_returns_the_factory(shapes: Registry) -> None:
    @shapes.register("point")
    def make_point() -> int:
        return 0

    assert make_point() == 0
    assert shapes.get("point") is make_point


def test_a_name_is_taken_once(shapes: Registry) -> None:
    before = shapes.get("cube")
    with pytest.raises(ValueError, match="shape 'cube' is registered already"):
        shapes.register("cube")(lambda: 1)
    assert shapes.get("cube") is before


def test_unknown_names_are_met_with_the_close_ones(shapes: Registry) -> None:
    for call in (shapes.get, shapes.make):
        with pytest.raises(ValueError, match=r"unknown shape 'sqare'; did you mean 'square'\? Known: square, cube"):
            call("sqare")
    with pytest.raises(ValueError, match=r"unknown shape 'zzz'\. Known: square, cube"):
        shapes.get("zzz")


def test_unknown_name_of_several_close_ones() -> None:
    error = unknown_name("gradient", "state_acton", ("state_action", "state", "action"))
    assert "did you mean 'state_action'" in str(error)
    assert " or " in str(error)


def test_watchers_hear_of_past_and_future_entries(shapes: Registry) -> None:
    heard: list[str] = []
    shapes.watch(lambda name, factory: heard.append(f"{name} {factory(2)}"))
    assert heard == ["square 4", "cube 8"]
    shapes.register("double")(lambda side: 2 * side)
    assert heard[-1] == "double 4"


def test_registries_are_apart(shapes: Registry) -> None:
    other: Registry[Callable[..., Any]] = Registry("shape")
    assert other.names() == ()
