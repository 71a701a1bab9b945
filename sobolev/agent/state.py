"""``AgentState``, what training changes, and ``Parts``, what it does not."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from sobolev import joint
from sobolev.agent.config import AgentConfig
from sobolev.types import Actor, Array, Batch, Critic, Key, Params, Spec, Trajectory, Transition, WorldModel


class AgentParams(NamedTuple):
    """The learned parameters; those of the critics have a leading axis ``[num_critics]``."""

    critics: Params
    actor: Params
    world_model: Params


class OptStates(NamedTuple):
    """The optimizers' states, one for each of ``AgentParams``."""

    critics: Any
    actor: Any
    world_model: Any


class Targets(NamedTuple):
    """Parameters that follow the learned ones slowly."""

    critics: Params
    actor: Params


class AgentState(NamedTuple):
    """Everything of the agent that changes.

    Fields:
        params, targets, opt_states: see there.
        gradient_scale: the state of the rule that scales the gradient blocks.
        reward_scale: the factor of all rewards in the targets, ``[]``; critics learn returns in this unit.
        key: of the updates to come.
        step: updates made, ``[]``.
    """

    params: AgentParams
    targets: Targets
    opt_states: OptStates
    gradient_scale: Any
    reward_scale: Array
    key: Key
    step: Array

    def with_part(self, part: str, params: Params, opt_state: Any) -> "AgentState":
        """The state with new parameters and a new optimizer state of one part, a field of ``AgentParams``."""
        return self._replace(
            params=self.params._replace(**{part: params}), opt_states=self.opt_states._replace(**{part: opt_state})
        )


class Parts(NamedTuple):
    """The configuration with its factories called.

    Fields:
        config: the configuration.
        spec: what the parts know of the task.
        critic, actor, world_model: the parts with parameters.
    """

    config: AgentConfig
    spec: Spec
    critic: Critic
    actor: Actor
    world_model: WorldModel

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """Lengths of the return's and the gradients' blocks in a joint sample."""
        return joint.block_sizes(self.config.gradient, self.spec.state_size, self.spec.action_size)


def first_of(batch: Batch) -> Transition:
    """The transitions of a batch, each trajectory's first."""
    return batch.first if isinstance(batch, Trajectory) else batch


def example_batch(spec: Spec, batch_size: int, recorded_steps: int = 1) -> Batch:
    """A batch of zeros: transitions, or trajectories of ``recorded_steps`` where that is more than 1."""
    shape = (batch_size,) if recorded_steps == 1 else (batch_size, recorded_steps)
    rows = jnp.zeros(shape)
    s, a = (jnp.zeros((*shape, size)) for size in (spec.state_size, spec.action_size))
    transitions = Transition(s, a, rows, rows, s)
    return transitions if recorded_steps == 1 else Trajectory(transitions, jnp.zeros(shape, bool))
