"""The generic agent: any metric, world model, critic and actor, wired into one update of pure functions.

Example:
    >>> import jax
    >>> from sobolev.agent import AgentConfig, make_agent
    >>> from sobolev.types import Spec
    >>> agent = make_agent(AgentConfig(), Spec(state_size=3, action_size=2))
    >>> state = agent.init(jax.random.key(0))
    >>> agent.explore(state.params.actor, jax.random.key(1), jax.numpy.zeros(3)).shape
    (2,)
"""

from sobolev import extras

try:
    from sobolev.agent.agent import Agent, make_agent
    from sobolev.agent.config import AgentConfig
    from sobolev.agent.state import AgentParams, AgentState, OptStates, Parts, Targets, example_batch, first_of
except ModuleNotFoundError as error:
    raise extras.missing(error) from error

__all__ = [
    "Agent",
    "AgentConfig",
    "AgentParams",
    "AgentState",
    "OptStates",
    "Parts",
    "Targets",
    "example_batch",
    "first_of",
    "make_agent",
]
