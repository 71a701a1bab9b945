"""The replay buffer: a ring of transitions, as a pytree."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sobolev.types import Array, Key, Transition


class Replay(NamedTuple):
    """Transitions ``[capacity]``, the row that is written next, and how many rows hold one."""

    data: Transition
    position: Array
    size: Array


def init(example: Transition, capacity: int) -> Replay:
    """An empty buffer for transitions of the example's shapes and types."""
    data = jax.tree.map(lambda x: jnp.zeros((capacity, *jnp.shape(x)), jnp.result_type(x)), example)
    return Replay(data, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def num_bytes(replay: Replay) -> int:
    """Bytes that the buffer's rows take."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(replay.data))


def add(replay: Replay, transitions: Transition) -> Replay:
    """Writes ``transitions[n]``, over the oldest rows where the buffer is full."""
    count, capacity = transitions.r.shape[0], replay.data.r.shape[0]
    if count > capacity:
        raise ValueError(f"{count} transitions do not fit a buffer of {capacity}")
    rows = (replay.position + jnp.arange(count)) % capacity
    data = jax.tree.map(lambda ring, new: ring.at[rows].set(new), replay.data, transitions)
    return Replay(data, (replay.position + count) % capacity, jnp.minimum(replay.size + count, capacity))


def sample(replay: Replay, key: Key, shape: tuple[int, ...]) -> Transition:
    """Transitions ``[*shape]``, uniformly with replacement from the rows that hold one; there must be some."""
    rows = jax.random.randint(key, shape, 0, replay.size)
    return jax.tree.map(lambda ring: ring[rows], replay.data)
