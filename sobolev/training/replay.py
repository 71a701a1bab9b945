"""The replay buffer: a ring of transitions, as a pytree; several steps are folded into one as they are sampled, and
several transitions in a row are sampled as a trajectory.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev.types import Array, Key, Trajectory, Transition


class Replay(NamedTuple):
    """Transitions ``[capacity]``, whether each was its episode's last, the row written next, and the rows in use."""

    data: Transition
    last: Array
    position: Array
    size: Array


class Window(NamedTuple):
    """How many steps are folded into one transition, and how many transitions in a row make a trajectory.

    Fields:
        n_step: steps, at the most: a window ends with its episode.
        stride: rows from a transition to the one that followed it, the number of environments side by side.
        gamma: discount per step.
        length: transitions of a trajectory.
    """

    n_step: int = 1
    stride: int = 1
    gamma: float = 1.0
    length: int = 1

    @property
    def reach(self) -> int:
        """Rows from the first transition of a whole window to its last."""
        return (self.n_step * self.length - 1) * self.stride


SINGLE = Window()


def init(example: Transition, capacity: int) -> Replay:
    """An empty buffer for transitions of the example's shapes and types."""
    data = jax.tree.map(lambda x: jnp.zeros((capacity, *jnp.shape(x)), jnp.result_type(x)), example)
    return Replay(data, jnp.zeros(capacity, bool), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def num_bytes(replay: Replay) -> int:
    """Bytes that the buffer's rows take."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves((replay.data, replay.last)))


def add(replay: Replay, transitions: Transition, last: Array) -> Replay:
    """Writes ``transitions[n]``, over the oldest rows where the buffer is full; ``last[n]`` marks ends of episodes."""
    count, capacity = transitions.r.shape[0], replay.data.r.shape[0]
    if count > capacity:
        raise ValueError(f"{count} transitions do not fit a buffer of {capacity}")
    rows = (replay.position + jnp.arange(count)) % capacity
    data, last = jax.tree.map(lambda ring, new: ring.at[rows].set(new), (replay.data, replay.last), (transitions, last))
    return Replay(data, last, (replay.position + count) % capacity, jnp.minimum(replay.size + count, capacity))


def enlarged(replay: Replay, capacity: int) -> Replay:
    """The buffer with room for more rows: those in use come first, oldest first."""
    old = replay.last.shape[0]
    if capacity < old:
        raise ValueError(f"a buffer of {old} rows cannot have {capacity}")
    rows = (replay.position - replay.size + jnp.arange(old)) % old

    def of_ring(ring: Array) -> Array:
        return jnp.zeros((capacity, *ring.shape[1:]), ring.dtype).at[:old].set(ring[rows])

    data, last = jax.tree.map(of_ring, (replay.data, replay.last))
    return Replay(data, last, replay.size % capacity, replay.size)


def fold(replay: Replay, ages: Array, window: Window = SINGLE) -> Transition:
    """The transitions ``[*ages.shape]`` that begin with the ``ages``-th oldest rows, folded over a window.

        r = sum_k gamma^k r_k,   discount = gamma^(K-1) discount_K,   s' that of step K

    with K = n_step, or less where the episode ends before. All the rows of a window must be in use.
    """
    return _fold(replay, ages, window)[0]


def trajectories(replay: Replay, ages: Array, window: Window) -> Trajectory:
    """The trajectories ``[*ages.shape, length]`` that begin with the ``ages``-th oldest rows, each transition folded.

    They are valid to the end of the episode: of the rows after it, nothing may be used.
    """
    starts = ages[..., None] + jnp.arange(window.length) * window.n_step * window.stride
    steps, over = _fold(replay, starts, window)
    ended = jnp.cumsum(over, axis=-1) > 0
    return Trajectory(steps, jnp.concatenate([jnp.ones_like(over[..., :1]), ~ended[..., :-1]], axis=-1))


def _fold(replay: Replay, ages: Array, window: Window) -> tuple[Transition, Array]:
    """The folded transitions, and whether the episode ended within each."""
    capacity = replay.last.shape[0]
    oldest = replay.position - replay.size

    def at(step: int) -> tuple[Transition, Array]:
        rows = (oldest + ages + step * window.stride) % capacity
        return jax.tree.map(lambda ring: ring[rows], (replay.data, replay.last))

    folded, over = at(0)
    for step in range(1, window.n_step):
        following, last = at(step)
        factor = window.gamma**step
        onwards = Transition(
            folded.s, folded.a, folded.r + factor * following.r, factor * following.discount, following.s_next
        )
        folded = jax.tree.map(
            lambda old, new, over=over: jnp.where(over.reshape(over.shape + (1,) * (old.ndim - over.ndim)), old, new),
            folded,
            onwards,
        )
        over = over | last
    return folded, over


def sample(replay: Replay, key: Key, shape: tuple[int, ...], window: Window = SINGLE) -> Transition:
    """Transitions ``[*shape]``, uniformly with replacement from those that begin a whole window; there must be some."""
    return fold(replay, _ages(replay, key, shape, window), window)


def sample_trajectories(replay: Replay, key: Key, shape: tuple[int, ...], window: Window) -> Trajectory:
    """As ``sample``, trajectories ``[*shape, length]``."""
    return trajectories(replay, _ages(replay, key, shape, window), window)


def _ages(replay: Replay, key: Key, shape: tuple[int, ...], window: Window) -> Array:
    return jax.random.randint(key, shape, 0, replay.size - window.reach)
