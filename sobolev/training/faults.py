"""What a run does about numbers that are not finite: they are counted on the device, and end the run or are skipped.

An update with a number that is not finite leaves the agent as it was. Under ``"halt"`` no other follows: the agent
stays at the state before that update, which is kept with its batch, and the run ends at the next look at the device.
Under ``"skip"`` the next update has another batch and another key.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from sobolev.agent import AgentState
from sobolev.agent import faults as places
from sobolev.training import checkpoint
from sobolev.types import Array, Batch, Scalars, Transition

NonFinite = Literal["halt", "skip"]


class DivergedError(RuntimeError):
    """A run has met a number that is not finite.

    Args:
        message: what, where and when.
        update: the folder of the update, from which it can be repeated; None where it was none.

    Attributes:
        update: the same.
    """

    def __init__(self, message: str, update: Path | None = None) -> None:
        super().__init__(message)
        self.update = update


Update = Callable[[AgentState, Batch], tuple[AgentState, Scalars]]


class Fault(NamedTuple):
    """The first thing that was not finite, and how many there were.

    Fields:
        total: updates, and environment steps, that were not finite, ``[]``.
        place: of the first, a number of :data:`sobolev.agent.faults.PLACES` from 1; 0 is none.
        env_steps: before it.
        updates: before it.
        in_update: whether it was an update, and not an environment step.
        batch: of the first such update.
    """

    total: Array
    place: Array
    env_steps: Array
    updates: Array
    in_update: Array
    batch: Batch


def none(batch: Batch) -> Fault:
    """Nothing yet, for batches of these shapes."""
    zero = jnp.zeros((), jnp.int32)
    return Fault(zero, zero, zero, zero, jnp.array(False), batch)


def _with(fault: Fault, place: Array, found: Fault) -> Fault:
    """The fault after one more look, which found what is at ``place``, or nothing."""
    is_first = (place > 0) & (fault.total == 0)
    kept = jax.tree.map(lambda new, old: jnp.where(is_first, new, old), found, fault)
    return kept._replace(total=fault.total + (place > 0))


def seen_in_transitions(fault: Fault, transitions: Transition, env_steps: Array, updates: Array) -> Fault:
    """The fault after environment steps ``[E]``."""
    place = places.first(places.of_transitions(transitions))
    found = fault._replace(place=place, env_steps=env_steps, updates=updates, in_update=jnp.array(False))
    return _with(fault, place, found)


def guarded(update: Update, non_finite: NonFinite, env_steps: Array) -> Callable[..., tuple[Any, Scalars]]:
    """An update that leaves the agent as it was where something is not finite.

    Args:
        update: an agent's.
        non_finite: what follows.
        env_steps: so far.

    Returns:
        ``((agent_state, fault), batch) -> ((agent_state, fault), scalars)``; the scalars are nan where the update did
        not take place.
    """

    def guarded_update(carry: tuple[AgentState, Fault], batch: Batch) -> tuple[tuple[AgentState, Fault], Scalars]:
        before, fault = carry
        after, scalars = update(before, batch)
        place = jnp.where(fault.total > 0, 0, scalars["fault"]) if non_finite == "halt" else scalars["fault"]
        found = Fault(fault.total, place, env_steps, before.step, jnp.array(True), batch)
        fault = _with(fault, place, found)
        if non_finite == "halt":
            stays, kept = fault.total > 0, before
        else:
            stays, kept = place > 0, before._replace(key=after.key, step=after.step)
        state = jax.tree.map(lambda old, new: jnp.where(stays, old, new), kept, after)
        scalars = {name: jnp.where(stays, jnp.nan, x) for name, x in scalars.items() if name != "fault"}
        return (state, fault), scalars

    return guarded_update


def folder_of(run_dir: Path, seed: int) -> Path:
    """Where the update of a seed is that was not finite."""
    return run_dir / "faults" / f"seed{seed}"


def write(run_dir: Path, seed: int, fault: Fault, agent: AgentState) -> Path:
    """Writes the state before an update that was not finite, and its batch, as a checkpoint.

    Args:
        run_dir: of the run.
        seed: the number.
        fault: of that seed, an update.
        agent: the state before it.

    Returns:
        The folder.
    """
    folder = folder_of(run_dir, seed)
    checkpoint.save(folder, int(fault.updates), {"agent": agent, "batch": fault.batch}, keep=1)
    return folder


def told(seed: int, fault: Fault) -> str:
    """What, where and when, and what to do.

    Args:
        seed: the number.
        fault: of that seed, not none.
    """
    where, name = f"seed {seed}, environment step {int(fault.env_steps)}", places.PLACES[int(fault.place) - 1]
    if not fault.in_update:
        return f"{where}: the environment's {name} is not finite: mend it, or go on with train.non_finite = 'skip'."
    return (
        f"{where}, update {int(fault.updates)}: the {name} is not finite. Lower the learning rates or the scale of the "
        "rewards, or go on with train.non_finite = 'skip'."
    )
