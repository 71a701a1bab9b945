"""The ring against a deque."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev.training import replay
from sobolev.types import Transition

CAPACITY = 7


def numbered(numbers: list[int]) -> Transition:
    """Transitions that carry their number in every field."""
    x = jnp.array(numbers, jnp.float32)
    return Transition(s=jnp.stack([x, -x], axis=1), a=x[:, None], r=x, discount=x % 2, s_next=jnp.stack([x, x], axis=1))


def empty() -> replay.Replay:
    return replay.init(jax.tree.map(lambda x: x[0], numbered([0])), CAPACITY)


def add(buffer: replay.Replay, numbers: list[int], last: list[int] | None = None) -> replay.Replay:
    """Writes transitions with these numbers; those in ``last`` end their episode."""
    return replay.add(buffer, numbered(numbers), jnp.isin(jnp.array(numbers), jnp.array(last or [-1])))


def held(buffer: replay.Replay) -> list[int]:
    """The numbers in the buffer, the oldest first."""
    size, position = int(buffer.size), int(buffer.position)
    rows = [(position - size + i) % CAPACITY for i in range(size)]
    return [int(buffer.data.r[row]) for row in rows]


@pytest.mark.parametrize("batch", [1, 3, CAPACITY])
def test_ring_holds_what_a_deque_would(batch: int) -> None:
    none = jnp.zeros(batch, bool)
    write = jax.jit(lambda buffer, new: replay.add(buffer, new, none), donate_argnums=0)  # with a cache of its own
    buffer, model = empty(), deque[int](maxlen=CAPACITY)
    for start in range(0, 6 * batch, batch):
        numbers = list(range(start, start + batch))
        buffer = write(buffer, numbered(numbers))
        model.extend(numbers)
        assert held(buffer) == list(model)
        assert int(buffer.size) == len(model)
        assert int(buffer.position) == (start + batch) % CAPACITY
    assert write._cache_size() == 1  # type: ignore[attr-defined]


def test_batches_of_changing_size_wrap_around() -> None:
    buffer, model, start = empty(), deque[int](maxlen=CAPACITY), 0
    for batch in (5, 1, 4, 7, 2, 6):
        numbers = list(range(start, start + batch))
        buffer = add(buffer, numbers)
        model.extend(numbers)
        start += batch
        assert held(buffer) == list(model)


def test_fields_of_one_row_stay_together() -> None:
    buffer = add(add(empty(), [1, 2, 3, 4, 5]), [6, 7, 8, 9])
    batch = replay.sample(buffer, jax.random.key(0), (4, 5))
    assert batch.s.shape == (4, 5, 2)
    assert batch.r.shape == (4, 5)
    expected = numbered([int(x) for x in batch.r.ravel()])
    for got, want in zip(batch, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(got).reshape(np.shape(want)), want)


def test_number_of_bytes_counts_every_field() -> None:
    assert replay.num_bytes(empty()) == CAPACITY * ((2 + 1 + 1 + 1 + 2) * 4 + 1)
    example = Transition(jnp.zeros(3, jnp.float16), jnp.zeros(1), jnp.zeros(()), jnp.zeros((), jnp.int8), jnp.zeros(3))
    assert replay.num_bytes(replay.init(example, 10)) == 10 * (3 * 2 + 4 + 4 + 1 + 3 * 4 + 1)


@pytest.mark.parametrize("filled", [1, 4, 10])
def test_sampling_is_uniform_over_the_filled_rows(filled: int) -> None:
    buffer = empty()
    for number in range(1, filled + 1):
        buffer = add(buffer, [number])
    count = 20_000
    drawn = np.asarray(replay.sample(buffer, jax.random.key(1), (count,)).r)
    numbers, counts = np.unique(drawn, return_counts=True)
    kept = range(max(1, filled - CAPACITY + 1), filled + 1)
    assert numbers.tolist() == list(kept)
    share = 1 / len(kept)
    assert np.all(np.abs(counts / count - share) <= 5 * np.sqrt(share * (1 - share) / count))


def test_sampling_follows_the_key() -> None:
    buffer = add(empty(), [1, 2, 3, 4, 5])
    first, again, other = (replay.sample(buffer, jax.random.key(seed), (30,)).r for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(np.asarray(first) != np.asarray(other))


def test_more_than_the_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="8 transitions do not fit a buffer of 7"):
        add(empty(), list(range(8)))


def test_donated_buffer_is_written_in_place() -> None:
    buffer = empty()
    pointer = buffer.data.s.unsafe_buffer_pointer()
    added = jax.jit(replay.add, donate_argnums=0)(buffer, numbered([1, 2]), jnp.zeros(2, bool))
    assert buffer.data.s.is_deleted()
    assert added.data.s.unsafe_buffer_pointer() == pointer


# Two environments side by side, written past the capacity: environment e has the numbers of its parity, in order.
LAST = [6, 9]


def by_hand(number: int, n_step: int, gamma: float) -> tuple[float, float, float]:
    """Return, discount and last number of the window that begins with ``number``; ``numbered`` ends at even ones."""
    total, k = 0.0, 0
    while True:
        total += gamma**k * number
        if k == n_step - 1 or number in LAST:
            return total, gamma**k * (number % 2), float(number)
        number, k = number + 2, k + 1


@pytest.mark.parametrize("n_step", [1, 2, 3])
def test_windows_fold_rewards_to_the_end_of_the_episode(n_step: int) -> None:
    buffer = empty()
    for pair in ([1, 2], [3, 4], [5, 6], [7, 8], [9, 10]):
        buffer = add(buffer, pair, last=LAST)
    window = replay.Window(n_step, stride=2, gamma=0.5)
    batch = jax.jit(lambda key: replay.sample(buffer, key, (400,), window))(jax.random.key(0))
    starts = np.asarray(batch.s[:, 0]).astype(int)
    assert set(starts) == set(range(4, 11 - window.reach))  # the last seven numbers, less those without a whole window
    expected = np.array([by_hand(number, n_step, 0.5) for number in starts])
    np.testing.assert_allclose(batch.r, expected[:, 0])
    np.testing.assert_allclose(batch.discount, expected[:, 1])
    np.testing.assert_allclose(batch.s_next, np.repeat(expected[:, 2:], 2, axis=1))
    np.testing.assert_array_equal(batch.a[:, 0], starts)


@pytest.mark.parametrize("n_step", [1, 2])
def test_trajectories_are_windows_in_a_row_to_the_end_of_the_episode(n_step: int) -> None:
    """Each transition is the fold that begins where the one before ended; what is behind an end is not valid."""
    buffer = replay.enlarged(empty(), 16)
    for pair in ([1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12], [13, 14], [15, 16], [17, 18]):
        rows = numbered(pair)
        buffer = replay.add(buffer, rows, jnp.isin(rows.r, jnp.array(LAST)))
    window = replay.Window(n_step, stride=2, gamma=0.5, length=3)
    found = jax.jit(lambda key: replay.sample_trajectories(buffer, key, (200, 2), window))(jax.random.key(0))
    assert found.steps.s.shape == (200, 2, 3, 2)
    starts = np.asarray(found.first.s[..., 0]).astype(int)
    assert set(starts.ravel()) == set(range(3, 19 - window.reach))  # sixteen rows are left
    steps, flags = jax.tree.map(np.asarray, (found.steps, found.valid))
    for place in np.ndindex(starts.shape):
        number, valid = int(starts[place]), True
        for k in range(window.length):
            at = (*place, k)
            assert bool(flags[at]) is valid
            if valid:
                total, discount, last = by_hand(number, n_step, 0.5)
                assert (steps.s[at][0], steps.r[at], steps.discount[at]) == (number, total, discount)
                assert steps.s_next[at][0] == last
            covered = range(number, number + 2 * n_step, 2)
            valid, number = valid and not set(covered) & set(LAST), number + 2 * n_step


@pytest.mark.parametrize("count", [0, 2, CAPACITY - 1, CAPACITY, CAPACITY + 4])
def test_a_larger_buffer_has_the_same_rows_in_their_order_and_goes_on(count: int) -> None:
    """Empty, in part, full and wrapped; what is added next is the newest."""
    buffer, ends = empty(), [3, 6, 8]
    for number in range(count):
        buffer = add(buffer, [number], ends)
    large, kept = replay.enlarged(buffer, CAPACITY + 3), held(buffer)
    for number in (count, count + 1):
        large, kept = add(large, [number], ends), [*kept, number]
        ages = jnp.arange(len(kept))
        assert int(large.size) == len(kept)
        np.testing.assert_array_equal(replay.fold(large, ages).r, kept)
        rows = (large.position - large.size + ages) % (CAPACITY + 3)
        np.testing.assert_array_equal(large.last[rows], np.isin(kept, ends))


def test_a_buffer_is_not_made_smaller() -> None:
    with pytest.raises(ValueError, match="7 rows cannot have 5"):
        replay.enlarged(empty(), 5)
