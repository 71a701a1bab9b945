from collections.abc import Callable
from typing import Any

import pytest

from sobolev.registry import Registry, unknown_name

Shapes = Registry[Callable[..., Any]]


@pytest.fixture
def shapes() -> Shapes:
    registry: Shapes = Registry("shape")
    registry.register("square")(lambda side, times=1: side * side * times)
    registry.register("cube")(lambda side: side**3)
    return registry


def test_makes_what_is_registered(shapes: Shapes) -> None:
    assert shapes.names() == ("square", "cube")
    assert shapes.make("square", 3, times=2) == 18
    assert shapes.get("cube")(2) == 8


def test_register_returns_the_factory(shapes: Shapes) -> None:
    @shapes.register("point")
    def make_point() -> int:
        return 0

    assert make_point() == 0
    assert shapes.get("point") is make_point


def test_a_name_is_taken_once(shapes: Shapes) -> None:
    before = shapes.get("cube")
    with pytest.raises(ValueError, match="shape 'cube'"):
        shapes.register("cube")(lambda: 1)
    assert shapes.get("cube") is before


def test_unknown_names_are_met_with_the_close_ones(shapes: Shapes) -> None:
    for call in (shapes.get, shapes.make):
        with pytest.raises(ValueError, match=r"shape 'sqare'.*'square'.*square, cube"):
            call("sqare")
    with pytest.raises(ValueError, match=r"shape 'zzz'.*square, cube") as error:
        shapes.get("zzz")
    assert "did you mean" not in str(error.value)


def test_unknown_name_of_several_close_ones() -> None:
    message = str(unknown_name("gradient", "state_acton", ("state_action", "state", "action")))
    assert message.index("'state_action'") < message.index("'action'") < message.index("state_action, state, action")


def test_watchers_hear_of_past_and_future_entries(shapes: Shapes) -> None:
    heard: list[str] = []
    shapes.watch(lambda name, factory: heard.append(f"{name} {factory(2)}"))
    assert heard == ["square 4", "cube 8"]
    shapes.register("double")(lambda side: 2 * side)
    assert heard[-1] == "double 4"


def test_registries_are_apart(shapes: Shapes) -> None:
    other: Shapes = Registry("shape")
    assert other.names() == ()
