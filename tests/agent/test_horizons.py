"""Targets that look ahead, against a loop in numpy: values, all gradients, ends, time limits, entropy and draws."""

import dataclasses
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sobolev import critics, metrics, world_models
from sobolev.agent import Agent, AgentConfig, make_agent, steps, updates
from sobolev.horizons import Fixed, Geometric, Horizon, OneStep
from sobolev.joint import GRADIENTS
from sobolev.types import Actor, Array, Critic, Decision, Key, Params, Simulator, Spec, Trajectory, Transition
from tests.helpers import QUICK_COMPILATION, assert_same, host, tiny_agent

S, A, B, H, GAMMA = 3, 2, 5, 3, 0.9
RNG = np.random.default_rng(0)
F, G, K, V = (RNG.normal(size=shape) / 2 for shape in ((S, S), (S, A), (A, S), S + A))
ALPHA, DRIFT = 0.3, 0.2
B_CRITICS = np.array([0.0, 1.0])


# s' = sin(F s) + G a + n, r = cos(s_0) - |a|² + s'_1, c = sigmoid(s'_2); pi = tanh(K s); Z_k = b_k + cos(V·[s; a]).
def simulate(s: Any, a: Any, n: Any, xp: Any = jnp) -> tuple[Any, Any, Any]:
    s_next = xp.sin(F @ s) + G @ a + n
    return s_next, xp.cos(s[0]) - xp.sum(a**2) + s_next[1], 1 / (1 + xp.exp(-s_next[2]))


def infer(s: Any, a: Any, s_next: Any, xp: Any = jnp) -> Any:
    return s_next - xp.sin(F @ s) - G @ a


def policy(s: Any, xp: Any = jnp) -> Any:
    return xp.tanh(K @ s)


def critic(s: Any, a: Any, xp: Any = jnp) -> Any:
    return xp.cos(V @ xp.concatenate([s, a]))


def bonus(s: Any, a: Any, xp: Any = jnp) -> Any:
    return ALPHA * (xp.sin(s[0]) - xp.sum(a))


SPEC = Spec(S, A)
SIMULATOR = Simulator(
    noise=lambda key: jnp.full(S, DRIFT),  # so that a loop by hand knows what was imagined
    infer=lambda key, transition: infer(transition.s, transition.a, transition.s_next),
    simulate=simulate,
)


def make_critic(spec: Spec) -> Critic:
    def value(params: Params, s: Array, a: Array, xi: Array) -> Array:
        return params["b"] + critic(s, a)

    def init(key: Key) -> Params:
        return {"b": jnp.zeros(())}

    return Critic(init, lambda params, transitions: params, lambda key: jnp.zeros(0), value)


def make_actor(spec: Spec) -> Actor:
    def act(params: Params, key: Key, s: Array) -> Array:
        return policy(s) + 0.0 * params

    def decide(params: Params, key: Key, s: Array) -> Decision:
        a = act(params, key, s)
        return Decision(a, bonus(s, a))

    return Actor(lambda key: jnp.zeros(()), lambda params, transitions: params, act, act, decide=decide)


def config(horizon: Horizon, **changes: Any) -> AgentConfig:
    numbers: dict[str, Any] = {
        "metric": metrics.Huber(),
        "world_model": partial(world_models.make_known, simulator=SIMULATOR),
        "critic": make_critic,
        "actor": make_actor,
        "overestimation": "none",
        "gradient": "closed_loop",
        "gamma": GAMMA,
        "num_samples": 1,
        "batch_size": B,
        "horizon": horizon,
    }
    return tiny_agent(**{**numbers, **changes})


def targets(config: AgentConfig, batch: Any, seed: int = 1) -> np.ndarray:
    """``[B, K, N, D]``"""
    agent = make_agent(config, SPEC)
    state = agent.init(jax.random.key(0))
    critics_of_state = {"b": jnp.asarray(B_CRITICS)}
    state = state._replace(targets=state.targets._replace(critics=critics_of_state))
    y = jax.jit(partial(updates.target_samples, agent.parts))(state, jax.random.key(seed), batch)
    return np.asarray(y).reshape(len(y), len(B_CRITICS), -1, y.shape[-1])


def recorded() -> Trajectory:
    """Trajectories of off-policy actions: whole; ended by the first, second, third; at a time limit by the second."""
    rng = np.random.default_rng(1)
    s, s_next, a = rng.normal(size=(B, H, S)), np.zeros((B, H, S)), rng.uniform(-1, 1, size=(B, H, A))
    r, discount, valid = np.zeros((B, H)), np.ones((B, H)), np.ones((B, H), bool)
    for b, t, is_end in ((1, 0, True), (2, 1, True), (3, 2, True), (4, 1, False)):
        discount[b, t], valid[b, t + 1 :] = 0.0 if is_end else 1.0, False
    for b in range(B):
        for t in range(H):
            if t and valid[b, t]:
                s[b, t] = s_next[b, t - 1]
            s_next[b, t], r[b, t], _ = simulate(s[b, t], a[b, t], 0.3 * rng.normal(size=S), np)
    transitions = Transition(*map(jnp.asarray, (s, a, r, discount, s_next)))
    return Trajectory(transitions, jnp.asarray(valid))


def each(batch: Trajectory) -> list[Trajectory]:
    return [jax.tree.map(lambda x, b=b: np.asarray(x[b]), batch) for b in range(B)]


def by_hand(
    s: np.ndarray, a: np.ndarray, b: float, one: Trajectory, h: int, source: str, continuation: str = "data"
) -> float:
    """The return of a target that looks h transitions ahead; noises and offsets are those of the trajectory."""
    recorded, valid = one
    total: Any = 0.0
    weight: Any = 1.0
    for t in range(h):
        if t and source != "imagination" and not valid[t]:
            break
        n = infer(recorded.s[t], recorded.a[t], recorded.s_next[t], np)
        discount: Any = recorded.discount[t]
        if t:
            a = policy(s, np)
            total += weight * bonus(s, a, np)
            if source == "replay":
                a = a + recorded.a[t] - policy(recorded.s[t], np)
            if source == "imagination":
                n, discount = np.full(S, DRIFT), np.float64(1.0)
        s, r, c = simulate(s, a, n, np)
        total += weight * r
        weight *= GAMMA * (c if continuation == "model" else discount)
    a = policy(s, np)
    return total + weight * (b + critic(s, a, np) + bonus(s, a, np))


def expected(one: Trajectory, gradient: str, differences: Any, f: Callable[..., float]) -> np.ndarray:
    """The joint sample of ``f(s, a)`` at the trajectory's first state and action, by central differences."""
    s, a = one.steps.s[0], one.steps.a[0]
    offset = a - policy(s, np)
    d_a, d_s = differences(lambda a: f(s, a), a), differences(lambda s: f(s, a), s)
    along = differences(lambda s: f(s, policy(s, np) + offset), s)
    blocks = {"none": [], "action": [d_a], "state_action": [d_a, d_s], "closed_loop": [d_a, along]}[gradient]
    return np.concatenate([[f(s, a)], *blocks])


@pytest.mark.parametrize("continuation", ["data", "model"])
@pytest.mark.parametrize("source", ["imagination", "inference", "replay"])
def test_values_and_gradients_are_those_of_the_path(
    source: Any, continuation: Any, x64: None, differences: Callable[..., np.ndarray]
) -> None:
    """To the end of an episode and over it, at a time limit, along recorded and along imagined transitions."""
    trajectories = recorded()
    batch = trajectories.first if source == "imagination" else trajectories
    for gradient in GRADIENTS:
        y = targets(config(Fixed(H, source), gradient=gradient, continuation=continuation), batch)
        for one, of_critics in zip(each(trajectories), y[:, :, 0], strict=True):
            for b, found in zip(B_CRITICS, of_critics, strict=True):
                f = partial(by_hand, b=b, one=one, h=H, source=source, continuation=continuation)
                np.testing.assert_allclose(found, expected(one, gradient, differences, f), atol=2e-8)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_trajectory_ends_with_its_episode(scale: float, x64: None) -> None:
    """After an end nothing counts; at a time limit the critic's value of the state does; rewards are scaled."""
    trajectories = recorded()
    chosen = config(Fixed(H, "replay"), gradient="none", actor=plain_actor, reward_scale=scale)
    y = targets(chosen, trajectories)[:, :, 0, 0]
    r, s_next = np.asarray(trajectories.steps.r), np.asarray(trajectories.steps.s_next)
    tails = {0: (3, 1.0), 1: (1, 0.0), 2: (2, 0.0), 3: (3, 0.0), 4: (2, 1.0)}
    for b, (count, goes_on) in tails.items():
        s = s_next[b, count - 1]
        rewards = scale * sum(GAMMA**t * r[b, t] for t in range(count))
        tail = goes_on * GAMMA**count * (B_CRITICS + critic(s, policy(s, np), np))
        np.testing.assert_allclose(y[b], rewards + tail, rtol=1e-12)


def test_recorded_ends_multiply_what_is_imagined_behind_them(x64: None) -> None:
    trajectories = recorded()
    y = targets(config(Fixed(H), gradient="none"), trajectories.first)[:, :, 0, 0]
    np.testing.assert_allclose(y[1], float(trajectories.steps.r[1, 0]), rtol=1e-12)
    assert np.all(y[2:, 1] - y[2:, 0] == pytest.approx(GAMMA**H))  # later ends are not known


def test_the_first_noise_is_drawn_or_inferred(x64: None) -> None:
    trajectories = recorded()
    changes: dict[str, Any] = {"gradient": "none", "noise_source": "imagination"}
    y = targets(config(Fixed(H), **changes), trajectories.first)[0, 0, 0, 0]
    one = each(trajectories)[0]
    s, a = one.steps.s[0], one.steps.a[0]
    s_next = np.tile(simulate(s, a, np.full(S, DRIFT), np)[0], (H, 1))
    drifting = one._replace(steps=one.steps._replace(s_next=s_next))
    assert y == pytest.approx(by_hand(s, a, 0.0, drifting, H, "imagination"), rel=1e-12)


def test_on_policy_the_recorded_sources_agree_with_what_happened(x64: None) -> None:
    """Actions of the policy have no offset: disturbances and states are the same path, with the same derivatives."""
    s, n = jnp.asarray(RNG.normal(size=S)), 0.3 * jnp.asarray(RNG.normal(size=(H, S)))
    path = []
    for t in range(H):
        s_next, r, _ = simulate(s, policy(s), n[t])
        path.append(Transition(s, policy(s), r, jnp.ones(()), s_next))
        s = s_next
    batch = jax.tree.map(lambda *x: jnp.stack(x)[None], *path)
    trajectories = Trajectory(batch, jnp.ones((1, H), bool))
    inference, replay, cut = (
        targets(config(horizon), trajectories)
        for horizon in (Fixed(H, "inference"), Fixed(H, "replay"), Fixed(H, "replay", cut=0.01))
    )
    np.testing.assert_allclose(inference, replay, rtol=1e-12)
    np.testing.assert_allclose(cut, replay, rtol=1e-12)


def plain_actor(spec: Spec) -> Actor:
    """The policy without an entropy bonus."""
    return make_actor(spec)._replace(decide=None)


def assert_mixture(y: np.ndarray, values: list[float], weights: Any) -> None:
    """Each of ``y[N]`` is one of the values, with its frequency."""
    gaps = np.abs(y[:, None] - np.array(values))
    np.testing.assert_allclose(gaps.min(axis=1), 0.0, atol=1e-9)
    counts, probabilities = np.bincount(gaps.argmin(axis=1), minlength=len(values)) / len(y), np.asarray(weights)
    assert np.all(np.abs(counts - probabilities) <= 5 * np.sqrt(probabilities * (1 - probabilities) / len(y)))


def test_each_sample_draws_its_own_horizon_and_critics_share_it(x64: None) -> None:
    trajectories, horizon, count = recorded(), Geometric(H, decay=0.6), 4_000
    y = targets(config(horizon, num_samples=count, gradient="none"), trajectories.first)[..., 0]
    for one, of_critics in zip(each(trajectories), y, strict=True):
        s, a = one.steps.s[0], one.steps.a[0]
        values = [[by_hand(s, a, b, one, h, "imagination") for h in range(1, H + 1)] for b in B_CRITICS]
        if one.steps.discount[0] == 0:
            np.testing.assert_allclose(of_critics, values[0][0], rtol=1e-12)
            continue
        found = [
            np.abs(of[:, None] - np.array(value)).argmin(axis=1) for of, value in zip(of_critics, values, strict=True)
        ]
        np.testing.assert_array_equal(*found)
        assert_mixture(of_critics[0], values[0], horizon.weights)


def test_traces_are_cut_by_the_distance_of_the_recorded_action(x64: None) -> None:
    trajectories, horizon, count = recorded(), Fixed(H, "replay", cut=0.8), 4_000
    y = targets(config(horizon, num_samples=count, gradient="none"), trajectories)[0, 0, :, 0]
    one = each(trajectories)[0]
    s, a = one.steps.s[0], one.steps.a[0]
    values = [by_hand(s, a, 0.0, one, h, "replay") for h in range(1, H + 1)]
    squared = [np.sum((one.steps.a[t] - policy(one.steps.s[t], np)) ** 2) for t in range(1, H)]
    beyond = np.cumprod(np.exp(-np.array(squared) / (2 * 0.8**2)))
    assert 0.1 < beyond[0] < 0.9
    assert_mixture(y, values, -np.diff([1.0, *beyond, 0.0]))


@pytest.mark.parametrize("horizon", [Fixed(1), Geometric(1), Fixed(1, "replay")], ids=repr)
def test_one_transition_is_one_step_bit_for_bit(horizon: Horizon) -> None:
    batch = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), recorded().first)
    agents = [make_agent(tiny_agent(horizon=each), SPEC) for each in (OneStep(), horizon)]
    key = jax.random.key(1)
    samples = [updates.target_samples(agent.parts, agent.init(key), key, batch) for agent in agents]
    assert_same(*samples)


SETS = partial(critics.make_fixed_quantile, hidden_sizes=(4,), num_quantiles=8)


@pytest.mark.parametrize("is_set", [False, True], ids=["samples", "a set"])
def test_one_jacobian_for_many_samples_changes_nothing(
    is_set: bool, x64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first step, shared under inference, and of the whole path where a set of atoms shares it."""
    changes: dict[str, Any] = {"num_samples": 8, "critic": SETS if is_set else make_critic}
    chosen = config(Geometric(H, source="replay"), **changes)
    agent, key = make_agent(chosen, SPEC), jax.random.key(1)
    state, batch = agent.init(key), recorded()
    samples = []
    for is_cheaper in (True, False):
        monkeypatch.setattr(updates, "_is_cheaper_once", lambda *_, is_cheaper=is_cheaper: is_cheaper)
        samples.append(updates.target_samples(agent.parts, state, key, batch))
    np.testing.assert_allclose(*samples, rtol=1e-9, atol=1e-10)


def test_a_set_of_atoms_has_one_path(x64: None) -> None:
    """Atoms of an untrained critic of quantiles differ from each other by the network's last biases alone."""
    chosen = config(Geometric(H, decay=0.5), critic=SETS, num_samples=8, gradient="none", target_noise=0.3)
    agent, key = make_agent(chosen, SPEC), jax.random.key(1)
    state, batch = agent.init(key), recorded().first
    flat = jax.tree.map(jnp.zeros_like, state.targets.critics["network"])
    state = state._replace(targets=state.targets._replace(critics={**state.targets.critics, "network": flat}))
    y = np.asarray(updates.target_samples(agent.parts, state, key, batch))
    np.testing.assert_allclose(y, np.broadcast_to(y[:, :1], y.shape), rtol=1e-12)


@cache
def learning(horizon: Horizon) -> tuple[Agent, Any]:
    agent = make_agent(tiny_agent(horizon=horizon, target_noise=0.2, actor_start=0, policy_delay=1), SPEC)
    return agent, jax.jit(agent.update, compiler_options=QUICK_COMPILATION)


@pytest.mark.parametrize("source", ["imagination", "inference", "replay"])
def test_updates_along_every_source_are_finite_and_learn(source: Any) -> None:
    agent, update = learning(Geometric(H, source=source))
    trajectories = jax.tree.map(
        lambda x: x.astype(jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x, recorded()
    )
    state = agent.init(jax.random.key(0))
    after, scalars = update(state, trajectories.first if source == "imagination" else trajectories)
    for path, x in host((after, scalars)):
        assert np.all(np.isfinite(x)), path
    assert int(scalars["fault"]) == 0
    assert any(np.any(x != y) for (_, x), (_, y) in zip(host(state.params), host(after.params), strict=True))


def test_a_fault_behind_the_first_transition_is_told() -> None:
    agent, update = learning(Geometric(H, source="replay"))
    trajectories = jax.tree.map(
        lambda x: x.astype(jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x, recorded()
    )
    steps_of = trajectories.steps._replace(r=trajectories.steps.r.at[0, 2].set(jnp.nan))
    _, scalars = update(agent.init(jax.random.key(0)), trajectories._replace(steps=steps_of))
    assert int(scalars["fault"]) == 3  # a reward


def test_transitions_without_those_that_follow_are_refused() -> None:
    agent = make_agent(config(Fixed(H, "replay")), SPEC)
    state, trajectories = agent.init(jax.random.key(0)), recorded()
    short = jax.tree.map(lambda x: x[:, :2], trajectories)
    for batch, found in ((trajectories.first, "of one"), (short, "of 2")):
        with pytest.raises(ValueError, match=rf"agent.horizon.*'replay'.*{H} transitions.*{found}"):
            agent.update(state, batch)


@pytest.mark.parametrize("source", ["inference", "replay"])
def test_what_follows_the_record_begins_with_it(source: Any) -> None:
    with pytest.raises(ValueError, match=rf"agent.horizon.*{source}.*agent.noise_source.*'imagination'"):
        config(Fixed(H, source), noise_source="imagination")


def test_what_was_recorded_needs_no_model_without_gradients(x64: None) -> None:
    """The n-step return of TD3 and the like; without a world model nothing can be imagined."""
    trajectories = recorded()
    changes: dict[str, Any] = {"world_model": world_models.make_recorded, "gradient": "none", "actor": plain_actor}
    y = targets(config(Fixed(H, "replay"), **changes), trajectories)
    known = targets(
        config(Fixed(H, "replay"), **{**changes, "world_model": config(OneStep()).world_model}), trajectories
    )
    np.testing.assert_allclose(y, known, rtol=1e-9)
    with pytest.raises(ValueError, match=r"cannot imagine.*'replay'"):
        make_agent(config(Fixed(H), **changes), SPEC)


def test_smoothing_acts_on_every_later_action_of_the_policy() -> None:
    """And on none that is replayed, whose value is the recorded one."""
    key, trajectories = jax.random.key(0), recorded()
    for source, moves in (("inference", True), ("replay", False)):
        chosen = dataclasses.replace(config(Fixed(2, source), gradient="none"), target_noise=0.2)
        agent = make_agent(chosen, SPEC)
        one = jax.tree.map(lambda x: x[0, :2], trajectories)
        explained = steps.explain(agent.parts, (), key, one)
        state = agent.init(key)
        first = steps.simulate_as_target(agent.parts, state)
        ends = [
            steps.look_ahead(agent.parts, state, first, jnp.float32(GAMMA), explained, jax.random.key(seed))(
                one.steps.s[0], one.steps.a[0], jnp.zeros(S)
            )[0]
            for seed in (1, 2)
        ]
        assert bool(np.any(ends[0] != ends[1])) is moves
