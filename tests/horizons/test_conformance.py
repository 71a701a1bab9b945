"""What every horizon of the registry promises, with a stranger's; and the closed form of each."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import horizons
from sobolev.horizons import Fixed, Geometric, Horizon, OneStep

DRAWS = 20_000


@dataclasses.dataclass(frozen=True)
class Either(Horizon):
    """A stranger's: one transition or three."""

    share: float = 0.25
    steps = 3

    @property
    def weights(self) -> tuple[float, ...]:
        return (1.0 - self.share, 0.0, self.share)


WEIGHTS: dict[str, tuple[float, ...]] = {
    "one_step": (1.0,),
    "fixed": (0.0, 0.0, 0.0, 1.0),
    "geometric": (0.2, 0.16, 0.128, 0.512),
    "stranger": (0.75, 0.0, 0.25),
}


@pytest.fixture(params=[*horizons.registry.names(), "stranger"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def horizon(name: str) -> Horizon:
    return Either() if name == "stranger" else horizons.registry.make(name)


def drawn(horizon: Horizon, traces: Any = 1.0) -> np.ndarray:
    """``[DRAWS, H - 1]``"""
    keys = jax.random.split(jax.random.key(0), DRAWS)
    return np.asarray(jax.jit(jax.vmap(lambda key: horizon.draw(key, traces)))(keys))


def assert_frequencies(found: np.ndarray, weights: Any) -> None:
    """Those of the numbers of transitions, within five standard errors."""
    counts = np.bincount(1 + found.sum(axis=1), minlength=len(weights) + 1)[1:] / DRAWS
    expected = np.asarray(weights)
    assert np.all(np.abs(counts - expected) <= 5 * np.sqrt(expected * (1 - expected) / DRAWS))


def test_weights_are_probabilities(name: str, horizon: Horizon) -> None:
    assert len(horizon.weights) == horizon.steps
    np.testing.assert_allclose(horizon.weights, WEIGHTS[name], rtol=1e-12)
    assert sum(horizon.weights) == pytest.approx(1.0, abs=1e-12)


def test_each_number_of_transitions_is_drawn_with_its_probability(name: str, horizon: Horizon) -> None:
    found = drawn(horizon)
    assert found.shape == (DRAWS, horizon.steps - 1)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, np.logical_and.accumulate(found, axis=1))  # True, then False
    assert_frequencies(found, WEIGHTS[name])


def test_traces_multiply_the_probability_of_going_on(name: str, horizon: Horizon) -> None:
    """P(h > k) times the first k traces; behind a trace of 0 nothing is looked at."""
    traces = np.array([0.5, 1.0, 0.0])[: horizon.steps - 1]
    beyond = np.array([sum(WEIGHTS[name][k:]) for k in range(1, horizon.steps)]) * np.cumprod(traces)
    assert_frequencies(drawn(horizon, jnp.asarray(traces)), -np.diff([1.0, *beyond, 0.0]))


def test_draws_follow_the_key_and_compiling_changes_none(horizon: Horizon) -> None:
    found = drawn(horizon)
    np.testing.assert_array_equal(found, drawn(horizon))
    keys = jax.random.split(jax.random.key(0), DRAWS)[:8]
    np.testing.assert_array_equal(found[:8], [horizon.draw(key) for key in keys])


def test_it_owns_its_numbers(name: str, horizon: Horizon) -> None:
    """A frozen dataclass: equal numbers are equal, so that a compiled program is found again."""
    again = Either() if name == "stranger" else horizons.registry.make(name)
    assert dataclasses.is_dataclass(horizon)
    assert again == horizon
    assert hash(again) == hash(horizon)
    fields = dataclasses.fields(horizon)
    if fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(horizon, fields[0].name, 0)


def test_by_default_nothing_recorded_is_looked_at(horizon: Horizon) -> None:
    assert horizon.source == "imagination"
    assert horizon.recorded_steps == 1


@pytest.mark.parametrize("source", ["inference", "replay"])
@pytest.mark.parametrize("make", [Fixed, Geometric])
def test_other_sources_need_trajectories(make: Any, source: str) -> None:
    assert make(steps=3, source=source).recorded_steps == 3


@pytest.mark.parametrize(
    ("horizon", "expected"),
    [
        (Fixed(steps=1), (1.0,)),
        (Geometric(steps=1, decay=0.3), (1.0,)),
        (Geometric(steps=3, decay=0.0), (1.0, 0.0, 0.0)),
        (Geometric(steps=3, decay=1.0), (0.0, 0.0, 1.0)),
        (Geometric(steps=3, decay=0.5), (0.5, 0.25, 0.25)),
    ],
    ids=repr,
)
def test_closed_forms(horizon: Horizon, expected: tuple[float, ...]) -> None:
    assert horizon.weights == expected


def test_a_trace_falls_with_the_distance_of_the_action() -> None:
    """exp(-|e|² / 2 c²): |e|² = 0.25 and c = 0.5."""
    offset = jnp.array([0.3, -0.4])
    assert float(Fixed(source="replay", cut=0.5).trace(offset)) == pytest.approx(np.exp(-0.5), rel=1e-6)
    assert float(Geometric(source="replay").trace(offset)) == 1.0
    assert float(OneStep().trace(offset)) == 1.0


@pytest.mark.parametrize("make", [Fixed, Geometric])
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"steps": 0}, ["steps", "at least 1", "0"]),
        ({"steps": 2**31}, ["steps", "2^31"]),
        ({"source": "replayed"}, ["source", "'replayed'", "'replay'"]),
        ({"cut": 0.0, "source": "replay"}, ["cut", "positive", "0.0"]),
        ({"cut": float("nan"), "source": "replay"}, ["cut", "nan"]),
        ({"cut": 1.0}, ["cut", "'replay'", "'imagination'"]),
    ],
)
def test_wrong_values_are_refused(make: Any, wrong: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        make(**wrong)
    assert [word for word in named if word not in str(caught.value)] == []


@pytest.mark.parametrize("decay", [-0.1, 1.5, float("nan")])
def test_a_decay_is_a_probability(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"decay.*{decay}"):
        Geometric(decay=decay)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"horizon.*'geometrical'.*'geometric'"):
        horizons.registry.make("geometrical")
