"""What the theory asks of a task while an agent learns it: how far a Sobolev backup can expand, and the closed loop.

    diagnostics/gamma_kappa                the complete backup's, at recorded transitions; below 1 it contracts
    diagnostics/gamma_kappa_closed_loop    gamma sup |M|, M = d_s [s'(s, pi(s))]; below 1 the gradient along pi does
    diagnostics/lyapunov_exponent          of the closed loop along imagined rollouts, in nats per transition

All in the learned world model, with its continuation and the target policy as the targets take them; suprema are over
the points given.
"""

import math

import jax

from sobolev import contraction
from sobolev.agent.state import AgentState, Parts
from sobolev.agent.steps import simulate_as_target
from sobolev.types import Array, Key, Scalars, Transition

POINTS = 32
_ITERATIONS = 4
_ROLLOUT = 32


def diagnose(parts: Parts, state: AgentState, key: Key, batch: Transition) -> Scalars:
    """The scalars above, at the transitions ``batch[B]``; none for a world model without derivatives."""
    if not parts.world_model.differentiable:
        return {}
    key_infer, key_policy, key_rollout = jax.random.split(key, 3)
    params, count = state.params.world_model, batch.r.shape[0]
    simulate = simulate_as_target(parts, state)

    def policy(s: Array) -> Array:
        return parts.actor.act(state.targets.actor, key_policy, s)

    n = jax.vmap(parts.world_model.infer, in_axes=(None, 0, 0))(params, jax.random.split(key_infer, count), batch)
    imagine = jax.vmap(jax.vmap(parts.world_model.noise))
    rollouts = imagine(jax.random.split(key_rollout, (count, _ROLLOUT)))
    exponents = jax.vmap(lambda s, n: contraction.lyapunov_exponent(simulate, policy, s, n))(batch.s, rollouts)
    gamma = math.pow(parts.config.gamma, parts.config.n_step)
    return {
        "gamma_kappa": gamma * contraction.kappa(simulate, policy, batch.s, batch.a, n, _ITERATIONS),
        "gamma_kappa_closed_loop": gamma * contraction.closed_loop_kappa(simulate, policy, batch.s, n),
        "lyapunov_exponent": exponents.mean(),
    }
