"""Numbers that no part can mean: every number of every registry entry is refused where it is not finite."""

import inspect
import math
from collections.abc import Iterator
from typing import Any

import jax
import pytest

from agents import gin_names
from sobolev.agent import AgentConfig
from sobolev.environments import PointMass
from sobolev.training import TrainConfig
from sobolev.types import Spec

GIVEN = {"spec": Spec(3, 2), "env": PointMass()}


def numbers() -> Iterator[Any]:
    """Each entry's parameters that are numbers by default, or a learning rate."""
    for family, registry in gin_names.FAMILIES.items():
        for name in registry.names():
            for parameter in inspect.signature(registry.get(name)).parameters.values():
                default = parameter.default
                if isinstance(default, int | float) and not isinstance(default, bool):
                    yield pytest.param(family, name, parameter.name, id=f"{family}.{name}.{parameter.name}")


def required(factory: Any, without: str) -> dict[str, Any]:
    """Arguments for what has no default."""
    return {
        name: GIVEN.get(name, 1)
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD and name != without
    }


@pytest.mark.parametrize(("family", "name", "parameter"), list(numbers()))
def test_numbers_that_are_not_finite_are_refused_by_name(family: str, name: str, parameter: str) -> None:
    factory = gin_names.FAMILIES[family].get(name)
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match=parameter):
            factory(**required(factory, parameter), **{parameter: value})


@pytest.mark.parametrize("name", gin_names.FAMILIES["optimizers"].names())
@pytest.mark.parametrize("value", [math.nan, math.inf, -1e-3])
def test_learning_rates_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match="learning_rate"):
        gin_names.FAMILIES["optimizers"].make(name, learning_rate=value)


def counts(config: type) -> list[str]:
    return [name for name, value in vars(config()).items() if isinstance(value, int) and not isinstance(value, bool)]


@pytest.mark.parametrize("name", counts(AgentConfig))
def test_counts_of_the_agent_are_32_bit_integers(name: str) -> None:
    for value in (-1, 2**31):
        with pytest.raises(ValueError, match=rf"agent\.{name}"):
            AgentConfig(**{name: value})


@pytest.mark.parametrize("name", counts(TrainConfig))
def test_counts_of_a_run_are_32_bit_integers(name: str) -> None:
    for value in (-1, 2**40):
        with pytest.raises(ValueError, match=rf"train\.{name}"):
            TrainConfig(**{name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_noise_of_targets_is_finite_and_not_negative(value: float) -> None:
    with pytest.raises(ValueError, match=r"agent\.target_noise"):
        AgentConfig(target_noise=value)
    with pytest.raises(ValueError, match=r"train\.updates_per_step"):
        TrainConfig(updates_per_step=value)


@pytest.mark.parametrize("sizes", [16, (), (0, 4), (4, -1), (4.5,), "44", None])
@pytest.mark.parametrize("name", ["generative", "quantile", "deterministic", "fixed_quantile"])
def test_widths_of_layers_are_positive_whole_numbers(name: str, sizes: Any) -> None:
    with pytest.raises(ValueError, match=r"hidden_sizes must be widths of layers"):
        gin_names.FAMILIES["critics"].make(name, Spec(3, 2), hidden_sizes=sizes).init(jax.random.key(0))
