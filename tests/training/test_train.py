"""How a run's programs are traced and compiled."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from brax.envs.base import Env, State, Wrapper

import gin
from agents import gin_names, train
from sobolev.environments.point_mass import PointMass


class Counting(Wrapper):
    """Counts how often Python runs through the environment, which is how often it is traced."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.traced: Counter[str] = Counter()

    def reset(self, rng: jax.Array) -> State:
        self.traced["reset"] += 1
        return self.env.reset(rng)

    def step(self, state: State, action: jax.Array) -> State:
        self.traced["step"] += 1
        return self.env.step(state, action)


@pytest.fixture
def parser() -> Iterator[None]:
    """gin, which forgets afterwards."""
    yield
    gin.clear_config()


@pytest.mark.usefixtures("parser")
def test_physics_is_traced_once_for_all_programs() -> None:
    env = Counting(PointMass())
    config = gin_names.load(["gin/mmd_cvae.gin"], ["widths = (4,)", "model_widths = (4,)"])
    config = replace(config, environment=env, noise=None)
    assert len(dict(train.trace(config, *train.build(config)))) == 4
    assert env.traced == {"reset": 1, "step": 1}


@pytest.mark.usefixtures("parser")
def test_compiler_options_are_checked_and_reach_the_program_that_learns() -> None:
    config = gin_names.load(["gin/mmd_cvae.gin"], ["widths = (4,)", "model_widths = (4,)"])
    config = replace(config, environment=PointMass(), noise=None)
    wrong = replace(config, cpu_compiler_options={"xla_no_such_option": 1})
    with pytest.raises(ValueError, match=r"train\.cpu_compiler_options: .*'xla_no_such_option'"):
        train.build(wrong)
    lowered = dict(train.trace(wrong, *train.build(config)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="'xla_no_such_option'"):
        lowered["advance"].compile()


def test_a_program_is_waited_for_where_it_is_called() -> None:
    begin = threading.Event()

    class Slow:
        out_info = "shapes"

        def compile(self) -> Any:
            begin.wait(timeout=60)
            return lambda x: x + 1

    with ThreadPoolExecutor(1) as pool:
        program = train.Compiling(Slow(), pool)  # type: ignore[arg-type]
        assert program.out_info == "shapes"
        threading.Timer(0.05, begin.set).start()
        assert program(jnp.float32(1)) == 2
        assert begin.is_set()
