"""The action gradient of the environment's own return."""

import math
from collections.abc import Sequence
from functools import partial

import jax
from brax.envs.base import State

from sobolev.environments import Environment, HostEnv
from sobolev.training.job import full_precision
from sobolev.training.slopes.base import BatchPolicy, Plan, TrueSlopes
from sobolev.training.slopes.on_device import from_states, on_device
from sobolev.training.slopes.on_host import Visit, from_visits, on_host

DRAWS = 16
NEGLIGIBLE = 1e-3


def true_slopes(
    env: Environment,
    policy: BatchPolicy,
    gamma: float,
    *,
    length: int,
    num_states: int = 16,
    horizon: int | None = None,
    step: float = 0.05,
    num_draws: int | None = None,
    seed: int = 0,
) -> TrueSlopes:
    """The action gradient of the discounted return, by central differences in the environment itself.

    State k is that after k length / K steps at a place of its own, where an episode of the policy follows another that
    terminates. A termination ends the sum. The time limit ``length`` does not; one that an environment on the host has
    of its own does, since there is no step beyond it. On the device a state's hidden part is kept and its random keys
    are drawn anew; on the host each side repeats the episode from its seed and actions, and its noise goes on.

    Args:
        env: on the device or on the host, its noise included.
        policy: ``(s[E, S]) -> a[E, A]`` of many states at once, without randomness: a policy of
            :func:`sobolev.load_policy`, say. On the device it must be traceable by JAX.
        gamma: discount, in [0, 1].
        length: of an episode, in steps.
        num_states: K.
        horizon: the number T of rewards in a sum; None for the first T with gamma^T below 1e-3.
        step: h of the module's text, in (0, 1). Where half of it gives other slopes, the return is too rough for it:
            contacts and unstable motions make differences grow as the step shrinks.
        num_draws: continuations of each state over whose noise the slope is averaged, since noise in the truth lowers
            the cosine; None for 16 on the device. On the host there is 1.
        seed: of the episodes.

    Returns:
        States, actions, slopes and their standard errors. For an environment on the device the function can be traced.

    Raises:
        ValueError: a number out of its range, or an environment on the host that does not repeat an episode.

    See Also:
        :func:`audit`, which compares a critic with them.

    Example:
        >>> import jax.numpy as jnp
        >>> from sobolev.environments import exact
        >>> truth = true_slopes(
        ...     exact.riccati.make_riccati(), lambda s: 0.0 * s, gamma=0.5, length=4, num_states=3, horizon=2
        ... )  # -s² - 0.5 (s + 0.5 a)² - 2.5 a² at a = 0
        >>> bool(jnp.allclose(truth.slope, -0.5 * truth.s, atol=1e-4))
        True
    """
    plan = _plan(env, gamma, length, num_states, horizon, step, num_draws)
    with full_precision():
        if isinstance(env, HostEnv):
            return on_host(env, policy, plan, seed)
        return jax.jit(partial(on_device, env, policy, plan))(jax.random.key(seed))


def slopes_at(
    env: Environment,
    policy: BatchPolicy,
    gamma: float,
    places: State | Sequence[Visit],
    *,
    horizon: int | None = None,
    step: float = 0.05,
    num_draws: int | None = None,
) -> TrueSlopes:
    """As :func:`true_slopes`, at given states.

    Args:
        env, policy, gamma, horizon, step, num_draws: as there.
        places: environment states ``[K]`` on the device; on the host, visits.

    Returns:
        As there, at the states of the places.

    Raises:
        ValueError: as there.
    """
    count = len(places) if isinstance(places, Sequence) else places.reward.shape[0]
    plan = _plan(env, gamma, 1, count, horizon, step, num_draws)
    with full_precision():
        if isinstance(env, HostEnv):
            return from_visits(env, policy, plan, places)
        return jax.jit(partial(from_states, env, policy, plan))(places)


def _plan(
    env: Environment,
    gamma: float,
    length: int,
    num_states: int,
    horizon: int | None,
    step: float,
    num_draws: int | None,
) -> Plan:
    horizon = horizon_of(gamma) if horizon is None else horizon
    draws = (1 if isinstance(env, HostEnv) else DRAWS) if num_draws is None else num_draws
    plan = Plan(gamma, length, num_states, horizon, step, draws)
    _check(plan)
    return plan


def horizon_of(gamma: float) -> int:
    """The first T with gamma^T below 1e-3, the default number of rewards in a sum."""
    if not 0 <= gamma < 1:
        raise ValueError(f"true_slopes: gamma must be in [0, 1), or in [0, 1] with a horizon, got {gamma}")
    return 1 if gamma == 0 else math.floor(math.log(NEGLIGIBLE) / math.log(gamma)) + 1


def _check(plan: Plan) -> None:
    for name in ("length", "num_states", "horizon", "num_draws"):
        if getattr(plan, name) < 1:
            raise ValueError(f"true_slopes: {name} must be at least 1, got {getattr(plan, name)}")
    if not 0 <= plan.gamma <= 1:
        raise ValueError(f"true_slopes: gamma must be in [0, 1], got {plan.gamma}")
    if not 0 < plan.step < 1:
        raise ValueError(f"true_slopes: step must be in (0, 1), got {plan.step}")
