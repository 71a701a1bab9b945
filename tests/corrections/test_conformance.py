"""What every correction of the registry promises, with a stranger's; and the closed form of each."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import corrections
from sobolev.corrections import Correction, DoubleMin, Min, Pool, Truncate, TruncateEach

K, N, D = 3, 4, 2


@dataclasses.dataclass(frozen=True)
class Best(Correction):
    """A stranger's: the samples of the critic with the highest mean return, and as many of them as wanted."""

    count: int = 2

    def __call__(self, samples: jax.Array) -> jax.Array:
        best = samples[jnp.argmax(jnp.mean(samples[:, :, 0], axis=1))]
        return best[jnp.argsort(best[:, 0])[: self.count]]


# Of K N = 12 samples: how many remain.
SIZES: dict[str, int] = {"none": 12, "min": 4, "double_min": 4, "truncate": 11, "truncate_each": 9, "stranger": 2}
# Here the set of the result depends on which samples are in which half.
SPLIT = {"double_min"}


@pytest.fixture(params=[*corrections.registry.names(), "stranger"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def correction(name: str) -> Correction:
    return Best() if name == "stranger" else corrections.registry.make(name)


@pytest.fixture
def samples() -> np.ndarray:
    """``[K, N, D]`` on different scales."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(K, N, D)) * [1.0, 100.0] + rng.normal(size=(K, 1, 1))).astype(np.float32)


def rows(samples: Any) -> list[tuple[float, ...]]:
    """All samples in one order of their own, as a list with repetitions."""
    return sorted(map(tuple, np.asarray(samples).reshape(-1, np.shape(samples)[-1]).tolist()))


def test_the_number_of_samples(name: str, correction: Correction, samples: np.ndarray) -> None:
    assert correction(jnp.asarray(samples)).shape == (SIZES[name], D)
    assert jax.eval_shape(correction, jnp.zeros((2, 5, 7))).shape[1] == 7


def test_each_return_keeps_its_gradient(correction: Correction, samples: np.ndarray) -> None:
    """Every row of the result is one of the samples, and none is used twice."""
    kept = rows(correction(jnp.asarray(samples)))
    assert len(set(kept)) == len(kept)
    assert set(kept) <= set(rows(samples))


def test_gradients_do_not_decide(correction: Correction, samples: np.ndarray) -> None:
    """Other gradients, the same returns."""
    other = np.array(samples)
    other[:, :, 1:] = np.random.default_rng(1).normal(size=(K, N, D - 1))
    kept, again = (np.asarray(correction(jnp.asarray(x))) for x in (samples, other))
    np.testing.assert_array_equal(kept[:, 0], again[:, 0])


def test_the_order_of_critics_does_not_matter(correction: Correction, samples: np.ndarray) -> None:
    expected = rows(correction(jnp.asarray(samples)))
    for order in ([1, 2, 0], [2, 1, 0]):
        assert rows(correction(jnp.asarray(samples[order]))) == expected


def test_the_order_of_samples_does_not_matter(name: str, correction: Correction, samples: np.ndarray) -> None:
    """Each critic's own; where a half is held out, within the halves."""
    shuffled = np.array(samples)
    for k, order in enumerate(([1, 0, 3, 2], [0, 1, 3, 2], [1, 0, 2, 3])):
        shuffled[k] = samples[k, order if name in SPLIT else [order[i] for i in (2, 0, 3, 1)]]
    assert rows(correction(jnp.asarray(shuffled))) == rows(correction(jnp.asarray(samples)))


def test_a_shift_of_all_returns_shifts_the_result(correction: Correction, samples: np.ndarray) -> None:
    kept, moved = (np.asarray(correction(jnp.asarray(samples) + jnp.array([shift, 0.0]))) for shift in (0.0, 8.0))
    np.testing.assert_allclose(moved, kept + np.array([8.0, 0.0]), rtol=1e-5, atol=1e-5)


def test_compiled_and_mapped_is_one_by_one(correction: Correction, samples: np.ndarray) -> None:
    batch = jnp.stack([jnp.asarray(samples), jnp.asarray(samples[::-1] ** 3)])
    mapped = jax.jit(jax.vmap(correction))(batch)
    for one, alone in zip(batch, mapped, strict=True):
        np.testing.assert_array_equal(correction(one), alone)


def test_it_owns_its_numbers(name: str, correction: Correction) -> None:
    """A frozen dataclass: equal numbers are equal, so that a compiled program is found again."""
    again = Best() if name == "stranger" else corrections.registry.make(name)
    assert dataclasses.is_dataclass(correction)
    assert again == correction
    assert hash(again) == hash(correction)
    fields = dataclasses.fields(correction)
    if fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(correction, fields[0].name, 0)


RETURNS = jnp.array([[1.0, 9.0, 3.0, 4.0], [4.0, 2.0, 5.0, 1.5], [6.0, 5.0, 0.5, 7.0]])


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        (Pool(), [1.0, 9.0, 3.0, 4.0, 4.0, 2.0, 5.0, 1.5, 6.0, 5.0, 0.5, 7.0]),
        (Min(), [4.0, 2.0, 5.0, 1.5]),  # means 17/4, 12.5/4, 18.5/4
        # Means of the second halves 3.5, 3.25, 3.75: the second critic's first half; of the first halves 5, 3, 5.5:
        # the second critic's second half.
        (DoubleMin(), [4.0, 2.0, 5.0, 1.5]),
        (Truncate(drop=5), [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 4.0]),
        (TruncateEach(drop=2), [1.0, 3.0, 1.5, 2.0, 0.5, 5.0]),
        (Truncate(drop=0), sorted(RETURNS.ravel().tolist())),
        (TruncateEach(drop=0), [1.0, 3.0, 4.0, 9.0, 1.5, 2.0, 4.0, 5.0, 0.5, 5.0, 6.0, 7.0]),
    ],
    ids=repr,
)
def test_closed_forms(correction: Correction, expected: list[float]) -> None:
    assert correction(RETURNS[:, :, None]).ravel().tolist() == expected


def test_halves_may_come_from_different_critics() -> None:
    """First halves (0, 8) and second halves (9, 1): each half is taken where the other one is lower."""
    samples = jnp.array([[[0.0], [9.0]], [[8.0], [1.0]]])
    assert DoubleMin()(samples).ravel().tolist() == [8.0, 9.0]


def test_an_odd_number_is_split_all_the_same() -> None:
    """5 = 2 + 3: of the first critic two (its last three are lower), of the second three (its first two are)."""
    one, other = jnp.array([7.0, 8.0, 0.0, 1.0, 2.0]), jnp.array([3.0, 4.0, 5.0, 6.0, 9.0])
    assert DoubleMin()(jnp.stack([one, other])[:, :, None]).ravel().tolist() == [7.0, 8.0, 5.0, 6.0, 9.0]


@pytest.mark.parametrize("make", [Truncate, TruncateEach])
def test_a_negative_number_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"drop.*-1"):
        make(drop=-1)


@pytest.mark.parametrize(
    ("make", "drop", "of"), [(Truncate, K * N, K * N), (TruncateEach, N, N), (Truncate, 99, K * N)]
)
def test_at_least_one_sample_remains(make: Any, drop: int, of: int) -> None:
    with pytest.raises(ValueError, match=rf"drop.* 0 .* {of - 1} .*{of} .*{drop}"):
        make(drop=drop)(RETURNS[:, :, None])


def test_one_sample_has_no_other_half() -> None:
    with pytest.raises(ValueError, match=r"'double_min'.* 2 .* 1\b.*'min'"):
        DoubleMin()(RETURNS[:, :1, None])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"correction.*'truncated'.*'truncate'"):
        corrections.registry.make("truncated")
