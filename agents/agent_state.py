"""What of the agent changes, and what does not."""

from typing import Any, NamedTuple

from agents.agent_config import AgentConfig
from sobolev import joint
from sobolev.types import Actor, Array, Critic, Key, Params, Spec, WorldModel

Scalars = dict[str, Array]


class Learned(NamedTuple):
    """Parameters of the three parts, or their optimisers' states."""

    critics: Params
    actor: Params
    world_model: Params


class Targets(NamedTuple):
    """Slowly following parameters."""

    critics: Params
    actor: Params


class AgentState(NamedTuple):
    """Everything of the agent that changes; the critics' parameters have a leading axis ``[num_critics]``."""

    params: Learned
    targets: Targets
    optimisers: Learned
    gradient_scale: Any
    key: Key
    step: Array


class Parts(NamedTuple):
    """The configuration with its factories called."""

    config: AgentConfig
    spec: Spec
    critic: Critic
    actor: Actor
    world_model: WorldModel

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """Lengths of the return's and the gradients' blocks in a joint sample."""
        return joint.block_sizes(self.config.gradient, self.spec.state_size, self.spec.action_size)
