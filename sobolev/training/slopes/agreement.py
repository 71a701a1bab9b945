"""How the slopes of a critic agree with the true ones."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sobolev.agent import Agent, AgentState
from sobolev.agent.steps import simulate_as_target
from sobolev.critics import draw_noises
from sobolev.training.job import full_precision
from sobolev.training.slopes.base import TrueSlopes
from sobolev.training.statistics import bootstrap_interval
from sobolev.types import Array, Key

ActionValue = Callable[[Array, Array], Array]
"""An expected return, ``(s[S], a[A]) -> []``, differentiable by JAX in the action."""


class Agreement(NamedTuple):
    """Of estimated slopes with true ones.

    Fields:
        cosine: of the angle between the two, by state, ``[K]``; nan where one of them is 0.
        size: the length of the estimate in units of that of the truth, by state, ``[K]``.
        overall_cosine: of all states and components as one vector, ``[]``.
        regression: the coefficient of the estimate on the truth, over all states and components, ``[]``.
    """

    cosine: Array
    size: Array
    overall_cosine: Array
    regression: Array


class Summary(NamedTuple):
    """An agreement in numbers.

    Fields:
        states: those where neither slope is 0 or not finite; the next six numbers are over these.
        cosine: its mean, nan where there is no state.
        cosine_low, cosine_high: the 95% bootstrap interval over states, nan where there are fewer than two.
        size: its median.
        size_low, size_high: the interval.
        overall_cosine, regression: see :class:`Agreement`.
    """

    states: int
    cosine: float
    cosine_low: float
    cosine_high: float
    size: float
    size_low: float
    size_high: float
    overall_cosine: float
    regression: float


def audit(q: ActionValue, truth: TrueSlopes) -> Agreement:
    """Compares the action gradient of any critic, from this library or from elsewhere, with the true slopes.

    Args:
        q: ``(s[S], a[A]) -> []``, the expected return at one state, differentiable by JAX in the action.
        truth: of :func:`true_slopes`, under the policy that q is of.

    Returns:
        The agreement, by state and in all.

    Raises:
        ValueError: q does not return a number.

    Example:
        >>> from sobolev.environments import exact
        >>> from sobolev.training import true_slopes
        >>> env = exact.riccati.make_riccati()
        >>> truth = true_slopes(env, lambda s: 0.0 * s, gamma=0.5, length=4, num_states=3, horizon=2)
        >>> agreement = audit(lambda s, a: s @ a, truth)  # the slope is -s / 2
        >>> [round(float(x), 3) for x in (*agreement.cosine, *agreement.size)]
        [-1.0, -1.0, -1.0, 2.0, 2.0, 2.0]
    """
    shape = jax.eval_shape(q, truth.s[0], truth.a[0]).shape
    if shape != ():
        raise ValueError(f"audit: q must return a number for one state and action, got shape {list(shape)}")
    estimate = mean_slopes(lambda s, a, key: q(s, a), truth, jax.random.key(0), num_draws=1)
    return compare(truth.slope, estimate)


def mean_slopes(value: Callable[[Array, Array, Key], Array], at: TrueSlopes, key: Key, num_draws: int) -> Array:
    """The action gradient of a random value, averaged over its draws.

    Args:
        value: ``(s[S], a[A], key) -> []``.
        at: states and actions.
        key: of all draws, each state's own.
        num_draws: of each state.

    Returns:
        ``[K, A]``.
    """
    over_draws = jax.vmap(jax.grad(value, argnums=1), in_axes=(None, None, 0))
    keys = jax.random.split(key, (len(at.s), num_draws))
    with full_precision():
        return jax.jit(jax.vmap(over_draws))(at.s, at.a, keys).mean(axis=1)


def compare(truth: Array, estimate: Array) -> Agreement:
    """The agreement of estimated slopes with true ones, both ``[K, A]``.

    Example:
        >>> agreement = compare(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([[3.0, 0.0], [2.0, 0.0]]))
        >>> agreement.cosine.tolist(), agreement.size.tolist(), round(float(agreement.regression), 4)
        ([1.0, 0.0], [3.0, 1.0], 0.6)
    """
    products, squares = jnp.sum(truth * estimate, axis=-1), jnp.sum(truth**2, axis=-1)
    estimates = jnp.sum(estimate**2, axis=-1)
    product, square = products.sum(), squares.sum()
    return Agreement(
        cosine=products / (jnp.sqrt(squares) * jnp.sqrt(estimates)),
        size=jnp.sqrt(estimates / squares),
        overall_cosine=product / (jnp.sqrt(square) * jnp.sqrt(estimates.sum())),
        regression=product / square,
    )


def summarize(agreement: Agreement) -> Summary:
    """An agreement in numbers: means, medians and intervals over states.

    Example:
        >>> summary = summarize(compare(jnp.array([[1.0], [2.0], [0.0]]), jnp.array([[1.0], [6.0], [1.0]])))
        >>> summary.states, summary.cosine, summary.size, summary.size_low, summary.size_high
        (2, 1.0, 2.0, 1.0, 3.0)
    """
    cosine, size = np.asarray(agreement.cosine), np.asarray(agreement.size)
    defined = np.isfinite(cosine) & np.isfinite(size)
    return Summary(
        int(defined.sum()),
        *_with_interval(cosine[defined], np.mean),
        *_with_interval(size[defined], np.median),
        float(agreement.overall_cosine),
        float(agreement.regression),
    )


def _with_interval(values: np.ndarray, statistic: Callable[..., Any]) -> tuple[float, float, float]:
    if len(values) < 2:
        return (float(values[0]) if len(values) else math.nan, math.nan, math.nan)
    low, high = bootstrap_interval([values], partial(statistic, axis=0))
    return float(statistic(values)), float(low), float(high)


# Of an agent.


def critics_value(
    agent: Agent, state: AgentState, s: Array, a: Array, key: Key, num_samples: int | None = None
) -> Array:
    """What the actor ascends at a state, its own terms apart: the mean return of all critics, or the least critic's.

    Args:
        agent: the agent; its ``actor_value`` says which of the two.
        state: its state.
        s: ``[S]``.
        a: ``[A]``.
        key: of the critics' noise.
        num_samples: of each critic; None for the agent's own number.

    Returns:
        ``[]``, in the task's unit, see ``agent.reward_scale``.
    """
    config, critic = agent.parts.config, agent.parts.critic
    xi = draw_noises(critic, key, num=num_samples or config.num_samples)
    over_noises = jax.vmap(critic.value, in_axes=(None, None, None, 0))
    returns = jax.vmap(over_noises, in_axes=(0, None, None, None))(state.params.critics, s, a, xi).mean(axis=1)
    value = returns.mean() if config.actor_value == "mean" else returns.min()
    return value / state.reward_scale


def model_value(
    agent: Agent, state: AgentState, s: Array, a: Array, key: Key, steps: int, num_samples: int | None = None
) -> Array:
    """The return of imagined transitions under the policy, with the critics' value behind them.

    Args:
        agent: the agent, its world model differentiable; a transition spans ``n_step`` steps.
        state: its state.
        s: ``[S]``.
        a: ``[A]``.
        key: of the noise of model, policy and critics.
        steps: transitions.
        num_samples: of each critic, see :func:`critics_value`.

    Returns:
        ``[]``.
    """
    parts = agent.parts
    gamma, simulate = parts.config.gamma**parts.config.n_step, simulate_as_target(parts, state)
    key, *keys = jax.random.split(key, steps + 1)

    def step(carry: tuple[Array, Array, Array], key: Key) -> tuple[tuple[Array, Array, Array], Array]:
        s, a, weight = carry
        key_noise, key_act = jax.random.split(key)
        s, r, c = simulate(s, a, parts.world_model.noise(key_noise))
        return (s, agent.act(state.params.actor, key_act, s), gamma * c * weight), weight * r

    (s, a, weight), rewards = jax.lax.scan(step, (s, a, jnp.ones((), s.dtype)), jnp.stack(keys))
    return rewards.sum() / state.reward_scale + weight * critics_value(agent, state, s, a, key, num_samples)


def audit_agent(
    agent: Agent, state: AgentState, truth: TrueSlopes, unrolled: Sequence[int] = (), num_draws: int = 8, seed: int = 0
) -> dict[str, Agreement]:
    """Compares what the actor ascends, and what it could ascend through the world model, with the true slopes.

    Args:
        agent: the agent.
        state: its state.
        truth: of :func:`true_slopes`, under the agent's policy.
        unrolled: numbers of transitions of the world model; none are taken where it is not differentiable.
        num_draws: over which each slope is averaged.
        seed: of the draws.

    Returns:
        "critics", see :func:`critics_value`, and "model H" for each number H of transitions, see :func:`model_value`.

    Raises:
        ValueError: a number that is less than 1.
    """
    found = agent_slopes(agent, state, truth, unrolled, num_draws, seed)
    return {name: compare(truth.slope, estimate) for name, estimate in found.items()}


def agent_slopes(
    agent: Agent, state: AgentState, at: TrueSlopes, unrolled: Sequence[int] = (), num_draws: int = 8, seed: int = 0
) -> dict[str, Array]:
    """The slopes themselves that :func:`audit_agent` compares, at the states and actions of the true ones.

    Returns:
        By the same names, ``[K, A]``.
    """
    if min((*unrolled, num_draws)) < 1:
        raise ValueError(f"audit_agent: unrolled and num_draws must be at least 1, got {[*unrolled]} and {num_draws}")
    values: dict[str, Any] = {"critics": partial(critics_value, agent, state)}
    if agent.parts.world_model.differentiable:
        values |= {f"model {steps}": partial(model_value, agent, state, steps=steps) for steps in unrolled}
    key = jax.random.key(seed)
    return {name: mean_slopes(value, at, key, num_draws) for name, value in values.items()}
