"""The slope audit: the action gradient of a critic against that of the environment's own return.

    slope_i = [R(s, a + h e_i) - R(s, a - h e_i)] / (2 h),   R(s, a) = r_0 + gamma r_1 + ... + gamma^(T-1) r_(T-1)

at states of the policy's own episodes. The first action is the one given, the policy takes all others, and both sides
see the same noise. An actor ascends its critics' slope; where that has another direction, it does not improve.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State

from sobolev.agent import Agent, AgentState
from sobolev.agent.updates import simulate_as_target
from sobolev.critics import draw_noises
from sobolev.environments import Environment, HostEnv
from sobolev.environments import episodes as episodes_of
from sobolev.environments.host import Instance, seed_of
from sobolev.training.job import full_precision
from sobolev.training.statistics import bootstrap_interval
from sobolev.types import Array, Key

BatchPolicy = Callable[[Any], Any]
"""The actions for many states, ``(s[E, S]) -> a[E, A]``, without randomness; see :func:`sobolev.load_policy`."""
ActionValue = Callable[[Array, Array], Array]
"""An expected return, ``(s[S], a[A]) -> []``, differentiable by JAX in the action."""

DRAWS = 16
NEGLIGIBLE = 1e-3


class TrueSlopes(NamedTuple):
    """Action gradients of the environment's discounted return.

    Fields:
        s: the observed states, ``[K, S]``.
        a: the policy's actions there, moved inside by the step of the differences where they are nearer to a bound of
            [-1, 1], ``[K, A]``.
        slope: in units of return per unit of action, ``[K, A]``.
        error: its standard error over draws of the noise, ``[K, A]``; 0 where the environment draws nothing, nan where
            there is one draw.
    """

    s: Array
    a: Array
    slope: Array
    error: Array

    @property
    def relative_error(self) -> float:
        """The root of the mean square of the standard errors, in units of that of the slopes."""
        return float(np.sqrt(np.sum(np.square(self.error)) / np.sum(np.square(self.slope))))


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


class _Plan(NamedTuple):
    """The numbers of :func:`true_slopes`."""

    gamma: float
    length: int
    num_states: int
    horizon: int
    step: float
    num_draws: int

    @property
    def times(self) -> np.ndarray:
        """The steps that are taken before each state."""
        return np.arange(self.num_states) * self.length // self.num_states


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
        >>> from sobolev.environments import exact
        >>> truth = true_slopes(
        ...     exact.riccati.make_riccati(), lambda s: 0.0 * s, gamma=0.5, length=4, num_states=3, horizon=2
        ... )  # -s² - 0.5 (s + 0.5 a)² - 2.5 a² at a = 0
        >>> bool(jnp.allclose(truth.slope, -0.5 * truth.s, atol=1e-4))
        True
    """
    horizon = _horizon(gamma) if horizon is None else horizon
    on_host = isinstance(env, HostEnv)
    draws = (1 if on_host else DRAWS) if num_draws is None else num_draws
    plan = _Plan(gamma, length, num_states, horizon, step, draws)
    _check(plan, on_host)
    with full_precision():
        if isinstance(env, HostEnv):
            return _on_host(env, policy, plan, seed)
        return jax.jit(partial(_on_device, env, policy, plan))(jax.random.key(seed))


def _horizon(gamma: float) -> int:
    if not 0 <= gamma < 1:
        raise ValueError(f"true_slopes: gamma must be in [0, 1), or in [0, 1] with a horizon, got {gamma}")
    return 1 if gamma == 0 else math.floor(math.log(NEGLIGIBLE) / math.log(gamma)) + 1


def _check(plan: _Plan, on_host: bool) -> None:
    for name in ("length", "num_states", "horizon", "num_draws"):
        if getattr(plan, name) < 1:
            raise ValueError(f"true_slopes: {name} must be at least 1, got {getattr(plan, name)}")
    if not 0 <= plan.gamma <= 1:
        raise ValueError(f"true_slopes: gamma must be in [0, 1], got {plan.gamma}")
    if not 0 < plan.step < 1:
        raise ValueError(f"true_slopes: step must be in (0, 1), got {plan.step}")
    if on_host and plan.num_draws > 1:
        raise ValueError(
            f"true_slopes: num_draws must be 1 for an environment on the host, whose noise the seed of an episode "
            f"decides, got {plan.num_draws}: take more states"
        )


# On the device.


def _on_device(env: Env, policy: BatchPolicy, plan: _Plan, key: Key) -> TrueSlopes:
    states = _visited(env, policy, plan, key)
    drawn = any(_is_key(leaf) for leaf in jax.tree.leaves(states))
    plan = plan if drawn else plan._replace(num_draws=1)
    a = jnp.clip(policy(states.obs), plan.step - 1.0, 1.0 - plan.step)
    slopes = _slopes_of_draws(env, policy, plan, states, a)
    if plan.num_draws > 1:
        error = slopes.std(axis=0, ddof=1) / math.sqrt(plan.num_draws)
    else:
        error = jnp.full_like(slopes[0], jnp.nan if drawn else 0.0)
    return TrueSlopes(states.obs, a, slopes.mean(axis=0), error)


def _is_key(leaf: Array) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _visited(env: Env, policy: BatchPolicy, plan: _Plan, key: Key) -> State:
    """The states ``[K]`` at which the slopes are taken."""
    times = jnp.asarray(plan.times)

    def step(carry: tuple, t: Array) -> tuple[tuple, None]:
        episodes, kept = carry
        choose = jax.vmap(lambda now, x, y: jax.tree.map(partial(jnp.where, now), x, y))
        kept = choose(t == times, episodes.state, kept)
        episodes, _, _ = episodes_of.step(env, episodes, policy(episodes.state.obs), plan.length)
        return (episodes, kept), None

    start = episodes_of.start(env, key, plan.num_states)
    (_, kept), _ = jax.lax.scan(step, (start, start.state), jnp.arange(plan.times[-1] + 1))
    return kept


def _slopes_of_draws(env: Env, policy: BatchPolicy, plan: _Plan, states: State, a: Array) -> Array:
    """The slopes ``[draws, K, A]``; rows of the environment are ``[2, A, draws, K]``, the side first."""
    size, weights = a.shape[-1], jnp.asarray(plan.gamma ** np.arange(plan.horizon), states.reward.dtype)
    shape = (2, size, plan.num_draws, plan.num_states)
    redrawn = jax.vmap(partial(_redraw, states))(jnp.arange(plan.num_draws))
    rows = jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *x.shape[2:])).reshape(-1, *x.shape[2:]), redrawn)
    sides = plan.step * jnp.stack([jnp.eye(size), -jnp.eye(size)])
    first = jnp.broadcast_to(a + sides[:, :, None, None].astype(a.dtype), (*shape, size)).reshape(-1, size)

    def step(carry: tuple, weight: Array) -> tuple[tuple, None]:
        rows, a, going_on, total = carry
        rows = jax.vmap(env.step)(rows, a)
        # Differences are added up, which are smaller than returns and lose less to rounding.
        above, below = jnp.where(going_on, rows.reward, 0.0).reshape(shape)
        going_on &= ~(rows.done > 0)
        return (rows, policy(rows.obs), going_on, total + weight * (above - below)), None

    total = jnp.zeros(shape[1:], states.reward.dtype)
    (_, _, _, total), _ = jax.lax.scan(step, (rows, first, jnp.ones(len(first), bool), total), weights)
    return jnp.moveaxis(total, 0, -1) / (2.0 * plan.step)


def _redraw(states: State, draw: Array) -> State:
    """The states ``[K]`` with the same past and other noise to come, which their random keys decide."""

    def of_leaf(leaf: Array) -> Array:
        if not _is_key(leaf):
            return leaf
        return jax.vmap(lambda key: jax.random.fold_in(key, draw))(leaf.reshape(-1)).reshape(leaf.shape)

    return jax.tree.map(of_leaf, states)


# On the host.


class _Visit(NamedTuple):
    """A state of an episode on the host: the seed and the actions that lead to it, and what is observed there."""

    seed: int
    actions: list[np.ndarray]
    observation: np.ndarray


def _on_host(env: HostEnv, policy: BatchPolicy, plan: _Plan, seed: int) -> TrueSlopes:
    walker, sides = env.instance(), [env.instance() for _ in range(2 * env.action_size)]
    points = []
    try:
        for place, steps in enumerate(plan.times):
            visit = _visit(walker, policy, [seed, place], int(steps))
            a = np.clip(_actions(policy, visit.observation[None])[0], plan.step - 1.0, 1.0 - plan.step)
            for side in sides:
                _repeat(env, side, visit)
            points.append((visit.observation, a, _slope(sides, policy, plan, a)))
    finally:
        for instance in (walker, *sides):
            instance.close()
    s, a, slope = (np.stack(rows).astype(np.float32) for rows in zip(*points, strict=True))
    return TrueSlopes(*map(jnp.asarray, (s, a, slope, np.full_like(slope, np.nan))))


def _actions(policy: BatchPolicy, observations: np.ndarray) -> np.ndarray:
    return np.asarray(policy(observations), np.float32)


def _visit(instance: Instance, policy: BatchPolicy, entropy: list[int], steps: int) -> _Visit:
    """The state after so many steps; where an episode ends before, another one follows."""
    count = 0

    def start() -> _Visit:
        seed = seed_of(*entropy, count)
        return _Visit(seed, [], instance.reset(seed))

    visit = start()
    for _ in range(steps):
        a = _actions(policy, visit.observation[None])[0]
        observation, _, terminated, truncated = instance.step(a)
        if terminated or truncated:
            count += 1
            visit = start()
        else:
            visit.actions.append(a)
            visit = visit._replace(observation=observation)
    return visit


def _repeat(env: HostEnv, instance: Instance, visit: _Visit) -> None:
    """Brings an environment to a state."""
    observation = instance.reset(visit.seed)
    for a in visit.actions:
        observation, *_ = instance.step(a)
    if not np.array_equal(observation, visit.observation):
        raise ValueError(
            f"{env.name} does not repeat an episode from its seed and actions (seed {visit.seed}, {len(visit.actions)} "
            "steps), and differences need two sides that begin alike: let reset(seed=...) seed all that it draws"
        )


def _slope(sides: Sequence[Instance], policy: BatchPolicy, plan: _Plan, a: np.ndarray) -> np.ndarray:
    """The slope ``[A]`` at the state in which all sides are, ``[2 A]`` of them."""
    shifts = plan.step * np.eye(len(a))
    actions, going_on = np.concatenate([a + shifts, a - shifts]), list(range(len(sides)))
    returns, observations = np.zeros(len(sides)), [np.zeros(0)] * len(sides)
    for t in range(plan.horizon):
        for side in list(going_on):
            observations[side], reward, terminated, truncated = sides[side].step(actions[side])
            returns[side] += plan.gamma**t * reward
            if terminated or truncated:
                going_on.remove(side)
        if not going_on:
            break
        actions = _actions(policy, np.stack(observations))
    above, below = returns.reshape(2, -1)
    return (above - below) / (2.0 * plan.step)


# The audit.


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
        ``[]``.
    """
    config, critic = agent.parts.config, agent.parts.critic
    xi = draw_noises(critic, key, num=num_samples or config.num_samples)
    over_noises = jax.vmap(critic.value, in_axes=(None, None, None, 0))
    returns = jax.vmap(over_noises, in_axes=(0, None, None, None))(state.params.critics, s, a, xi).mean(axis=1)
    return returns.mean() if config.actor_value == "mean" else returns.min()


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
    gamma, simulate = parts.config.gamma**parts.config.n_step, simulate_as_target(parts, state.params.world_model)
    key, *keys = jax.random.split(key, steps + 1)

    def step(carry: tuple[Array, Array, Array], key: Key) -> tuple[tuple[Array, Array, Array], Array]:
        s, a, weight = carry
        key_noise, key_act = jax.random.split(key)
        s, r, c = simulate(s, a, parts.world_model.noise(key_noise))
        return (s, agent.act(state.params.actor, key_act, s), gamma * c * weight), weight * r

    (s, a, weight), rewards = jax.lax.scan(step, (s, a, jnp.ones((), s.dtype)), jnp.stack(keys))
    return rewards.sum() + weight * critics_value(agent, state, s, a, key, num_samples)


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
    if min((*unrolled, num_draws)) < 1:
        raise ValueError(f"audit_agent: unrolled and num_draws must be at least 1, got {[*unrolled]} and {num_draws}")
    values: dict[str, Any] = {"critics": partial(critics_value, agent, state)}
    if agent.parts.world_model.differentiable:
        values |= {f"model {steps}": partial(model_value, agent, state, steps=steps) for steps in unrolled}
    key = jax.random.key(seed)
    return {name: compare(truth.slope, mean_slopes(value, truth, key, num_draws)) for name, value in values.items()}
