"""``check_environment``: every environment of the registry passes, and what is wrong is named with its place."""

from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import pytest
from brax.envs.base import Env, State, Wrapper

from sobolev import environments
from sobolev.environments import HostEnv, PointMass, SimulatorEnv, check_environment
from sobolev.training import TrainConfig, build
from sobolev.types import Simulator
from tests.environments.test_conformance import ARGUMENTS, ON_HOST, Stranger


@pytest.mark.parametrize("name", sorted(set(environments.registry.names()) - ON_HOST))
def test_the_registry_passes(name: str) -> None:
    check_environment(environments.registry.make(name, **ARGUMENTS.get(name, {})), steps=20)


def test_a_stranger_and_perturbed_environments_pass() -> None:
    check_environment(Stranger(), steps=20)
    for name in environments.perturbations.registry.names():
        check_environment(environments.perturbations.registry.make(name, PointMass()), steps=20)


def test_an_environment_on_the_host_takes_steps() -> None:
    check_environment(HostEnv(lambda: gymnasium.make("Pendulum-v1")), steps=5)


Change = Callable[[State], State]


class Odd(PointMass):
    """A point mass of which one thing is wrong."""

    def __init__(self, start: Change = lambda state: state, after: Change = lambda state: state) -> None:
        super().__init__()
        self.start, self.after = start, after

    def reset(self, rng: jax.Array) -> State:
        return self.start(super().reset(rng))

    def step(self, state: State, action: jax.Array) -> State:
        return self.after(super().step(state, action))


def both(**changes: Callable[[State], Any]) -> Odd:
    def change(state: State) -> State:
        return state.replace(**{name: function(state) for name, function in changes.items()})

    return Odd(change, change)


def after(**changes: Callable[[State], Any]) -> Odd:
    return Odd(after=lambda state: state.replace(**{name: function(state) for name, function in changes.items()}))


class NoActions(PointMass):
    @property
    def action_size(self) -> int:
        return 0


def fails(state: State) -> State:
    raise RuntimeError("the simulator has no licence\nand more lines")


def branches(state: State) -> State:
    return state if float(state.reward) > 0 else state.replace(reward=jnp.zeros(()))


TRACED: dict[str, tuple[Any, str]] = {
    "no environment": (object(), r"object: wanted a brax.envs.base.Env, or a HostEnv"),
    "gymnasium's own": (gymnasium.make("Pendulum-v1"), r"HostEnv\(lambda: gymnasium.make"),
    "no actions": (NoActions(), "NoActions, action_size: got 0"),
    "an image": (both(obs=lambda state: jnp.zeros((4, 4, 3))), r"Odd, reset: the observation is float32\[4,4,3\]"),
    "a dictionary": (both(obs=lambda state: {"state": state.obs}), r"dictionary of \['state'\]: concatenate"),
    "integers": (both(obs=lambda state: jnp.zeros(4, int)), r"the observation is int32\[4\], wanted float32"),
    "half precision": (both(obs=lambda state: state.obs.astype(jnp.float16)), "float16.*wanted float32: convert"),
    "nothing to see": (both(obs=lambda state: jnp.zeros(0)), r"float32\[0\]"),
    "a vector of rewards": (both(reward=lambda state: jnp.zeros(3)), r"reset: reward is float32\[3\], wanted one"),
    "a boolean end": (both(done=lambda state: jnp.array(False)), r"reset: done is bool\[\]"),
    "a changed shape": (
        after(obs=lambda state: jnp.zeros(7)),
        r"step must keep .* obs is float32\[4\] .*\[7\]",
    ),
    "a new entry": (after(metrics=lambda state: {"x": state.reward}), r"metrics\['x'\] is only in what step returns"),
    "an error in reset": (
        Odd(start=fails),
        r"^Odd, reset: RuntimeError: the simulator has no licence \(test_check",
    ),
    "an error in step": (Odd(after=fails), r"^Odd, step: RuntimeError: the simulator has no licence \(test_check"),
    "Python's if": (Odd(after=branches), r"^Odd, step: TracerBoolConversionError|^Odd, step: ConcretizationTypeError"),
    "another state": (Odd(start=lambda state: (state.obs, {})), "Odd, reset: returns tuple, wanted a brax"),
}


@pytest.mark.parametrize("wrong", TRACED)
def test_what_tracing_finds(wrong: str) -> None:
    env, message = TRACED[wrong]
    with pytest.raises(ValueError, match=message) as caught:
        check_environment(env, steps=0)
    assert len(str(caught.value).splitlines()) == 1


NUMBERS: dict[str, tuple[Env, str]] = {
    "nan in an observation": (
        after(obs=lambda state: state.obs.at[2].set(jnp.where(state.obs[0] > -9.0, jnp.nan, 0.0))),
        r"Odd, step 1: entry 2 of the observation is nan",
    ),
    "inf at the start": (Odd(lambda state: state.replace(obs=state.obs / 0.0)), r"Odd, reset: entry \d of the obs"),
    "an infinite reward": (
        after(reward=lambda state: jnp.full((), jnp.inf)),
        "Odd, step 1: entry 0 of the reward",
    ),
    "an end of a half": (after(done=lambda state: jnp.full((), 0.5)), "Odd, step: done is 0.5, wanted 0 or 1"),
    "over at the start": (Odd(lambda state: state.replace(done=jnp.ones(()))), "Odd, reset: done is not 0"),
}


@pytest.mark.parametrize("wrong", NUMBERS)
def test_what_steps_find(wrong: str) -> None:
    env, message = NUMBERS[wrong]
    check_environment(env, steps=0)
    with pytest.raises(ValueError, match=message):
        check_environment(env, steps=4)


DRIFT = Simulator(  # s' = s + a + n
    noise=lambda key: jax.random.normal(key, (3,)),
    infer=lambda key, transition: transition.s_next - transition.s - transition.a,
    simulate=lambda s, a, n: (s + a + n, -jnp.sum(s**2), jnp.ones(())),
)


class Drifting(Wrapper):
    """An environment that steps as DRIFT does, and shows another simulator."""

    def __init__(self, **wrong: Any) -> None:
        super().__init__(SimulatorEnv(DRIFT, lambda key: jax.random.normal(key, (3,)), action_size=3))
        self.simulator = DRIFT._replace(**wrong)


def test_a_simulator_must_explain_the_steps() -> None:
    check_environment(Drifting(), steps=5)
    with pytest.raises(ValueError, match=r"simulator: noise returns float32\[3\], and infer float32\[2\]"):
        check_environment(Drifting(infer=lambda key, transition: transition.s[:2]), steps=0)
    with pytest.raises(ValueError, match=r"simulator.simulate: r is float32\[3\], wanted float32\[\]"):
        check_environment(Drifting(simulate=lambda s, a, n: (s, s, jnp.ones(()))), steps=0)
    with pytest.raises(ValueError, match=r"simulator: at the noise that it infers from step 1, entry \d of s'"):
        check_environment(Drifting(infer=lambda key, transition: transition.s_next), steps=5)


def test_training_begins_with_it() -> None:
    with pytest.raises(ValueError, match=r"Odd, reset: the observation is float32\[4,4,3\]"):
        build(TrainConfig(environment=TRACED["an image"][0]))
