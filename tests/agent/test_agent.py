"""The update: that everything moves as it should, on tiny networks, and that the numbers are right, in closed form."""

import dataclasses
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sobolev import corrections, critics, gradient_scales, joint, metrics, world_models
from sobolev.agent import Agent, AgentConfig, AgentState, Parts, make_agent, steps, updates
from sobolev.environments.exact import alive_walk
from sobolev.types import Actor, Array, Critic, Decision, Key, Params, Spec, Transition, WorldModel
from tests.helpers import QUICK_COMPILATION, assert_same, changed, host, tiny_agent

SPEC = Spec(state_size=3, action_size=2)
BATCH, SAMPLES, CRITICS = 6, 3, 2
POLYAK = 0.1


def transitions(seed: int = 0, count: int = BATCH) -> Transition:
    key_s, key_a, key_r, key_next = jax.random.split(jax.random.key(seed), 4)
    s = 2.0 + 3.0 * jax.random.normal(key_s, (count, SPEC.state_size))
    return Transition(
        s=s,
        a=jax.random.uniform(key_a, (count, SPEC.action_size), minval=-1.0),
        r=jax.random.normal(key_r, (count,)),
        discount=(jnp.arange(count) % 3 != 0).astype(jnp.float32),
        s_next=s + jax.random.normal(key_next, s.shape),
    )


@cache
def compiled() -> tuple[Agent, Any]:
    """The base agent, and its update as one program."""
    agent = make_agent(tiny_agent(), SPEC)
    return agent, jax.jit(agent.update)


@pytest.fixture(scope="module")
def prepared() -> AgentState:
    agent, _ = compiled()
    return jax.jit(agent.fit_normalizers)(jax.jit(agent.init)(jax.random.key(0)), transitions(count=20))


def is_normalizer(path: str) -> bool:
    return any(f"['{name}']" in path for name in ("state", "input", "target"))


def test_update_is_a_function_of_its_arguments(prepared: AgentState) -> None:
    _, update = compiled()
    before = host(prepared)
    first, again = update(prepared, transitions()), update(prepared, transitions())
    assert_same(first, again)
    for (path, x), (_, y) in zip(before, host(prepared), strict=True):
        np.testing.assert_array_equal(x, y, err_msg=path)
    other = update(prepared, transitions(seed=1))
    assert any(changed(first, other).values())


def test_second_update_compiles_nothing(prepared: AgentState) -> None:
    _, update = compiled()
    state = prepared
    for seed in range(3):
        state, _ = update(state, transitions(seed))
    assert update._cache_size() == 1
    assert int(state.step) == 3


def test_update_learns_every_weight_and_leaves_the_normalizers(prepared: AgentState) -> None:
    _, update = compiled()
    before = prepared._replace(step=jnp.int32(3))
    after, _ = update(before, transitions())
    moved = changed(before.params, after.params)
    assert len([path for path in moved if is_normalizer(path)]) == 8
    assert not [path for path, yes in moved.items() if yes and is_normalizer(path)]
    for part in ("critics", "actor", "world_model"):
        weights = {path: yes for path, yes in moved.items() if path.startswith(f".{part}") and not is_normalizer(path)}
        assert weights
        assert all(weights.values()), [path for path, yes in weights.items() if not yes]
    assert not np.array_equal(jax.random.key_data(before.key), jax.random.key_data(after.key))


def test_normalizers_are_fitted_in_all_parts_and_targets(prepared: AgentState) -> None:
    data = transitions(count=20)
    s = np.asarray(data.s)
    for params in (prepared.params.actor, prepared.targets.actor):
        np.testing.assert_allclose(params["state"].mean, s.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(params["state"].std, s.std(axis=0), rtol=1e-5)
    for params in (prepared.params.critics, prepared.targets.critics):
        np.testing.assert_allclose(params["state"].std, np.tile(s.std(axis=0), (CRITICS, 1)), rtol=1e-5)
    world_model = prepared.params.world_model
    np.testing.assert_allclose(world_model["input"].mean, np.concatenate([s, data.a], axis=1).mean(axis=0), rtol=1e-4)
    assert_same(prepared.params.critics, prepared.targets.critics)
    assert_same(prepared.params.actor, prepared.targets.actor)


def test_targets_move_by_polyak(prepared: AgentState) -> None:
    _, update = compiled()
    state, _ = update(prepared._replace(step=jnp.int32(3)), transitions())
    after, _ = update(state._replace(step=jnp.int32(3)), transitions(1))
    learned = (after.params.critics, after.params.actor)
    expected = jax.tree.map(lambda old, new: old + POLYAK * (new - old), tuple(state.targets), learned)
    for (path, x), (_, y) in zip(host(expected), host(tuple(after.targets)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7, err_msg=path)
    assert any(changed(state.targets, after.targets).values())


def test_actor_waits_for_its_start_and_its_turn(prepared: AgentState) -> None:
    _, update = compiled()
    state, moved, told = prepared, [], []
    for seed in range(8):
        after, scalars = update(state, transitions(seed))
        moved.append(any(changed(state.params.actor, after.params.actor).values()))
        told.append(not np.isnan(float(scalars["actor_loss"])))
        state = after
    assert moved == told == [False, False, False, True, False, False, True, False]


def test_seeds_and_critics_begin_differently() -> None:
    agent, _ = compiled()
    init = jax.jit(agent.init)
    zero, again, one = (init(jax.random.key(seed)) for seed in (0, 0, 1))
    assert_same(zero, again)
    for part in ("critics", "actor", "world_model"):
        assert any(changed(getattr(zero.params, part), getattr(one.params, part)).values())
    first, second = (jax.tree.map(lambda x, i=i: x[i], zero.params.critics["network"]) for i in range(CRITICS))
    assert any(changed(first, second).values())
    assert int(zero.step) == 0


COMBINATIONS = [
    ("none", "mmd", "imagination", "min"),
    ("action", "msmmd", "imagination", "none"),
    ("state_action", "mmd", "inference", "min"),
    ("closed_loop", "msmmd", "inference", "truncate"),
]
SEARCH = metrics.DirectionSearch(num_directions=2, num_climbs=1, num_steps=1)
METRICS = {"mmd": metrics.MMD(), "msmmd": metrics.MSMMD(search=SEARCH)}


@pytest.mark.parametrize(("gradient", "metric", "noise_source", "overestimation"), COMBINATIONS)
def test_every_choice_takes_two_finite_updates(
    gradient: str, metric: str, noise_source: str, overestimation: str
) -> None:
    config = tiny_agent(
        gradient=gradient,
        metric=METRICS[metric],
        noise_source=noise_source,
        overestimation=overestimation,
        actor_start=0,
        policy_delay=1,
        target_noise=0.2,
        critic_optimizer=optax.radam(1e-3),
    )
    agent = make_agent(config, SPEC)

    def two(key: Key, batches: Transition) -> tuple[AgentState, dict[str, Array]]:
        return jax.lax.scan(agent.update, agent.init(key), batches)

    batches = jax.tree.map(lambda *x: jnp.stack(x), transitions(0), transitions(1))
    state, scalars = jax.jit(two, compiler_options=QUICK_COMPILATION)(jax.random.key(0), batches)
    for path, x in host((state, scalars)):
        assert np.all(np.isfinite(x)), path
    blocks = ("action_gradient", "state_gradient")[
        : len(joint.block_sizes(gradient, SPEC.state_size, SPEC.action_size)) - 1
    ]
    expected = {
        "world_model_loss",
        "critic_loss",
        "actor_loss",
        "fault",
        "critic_mean",
        "critic_std",
        "target_mean",
        "target_std",
    }
    assert set(scalars) == expected | {f"{b}_{x}" for b in blocks for x in ("scale", "norm", "target_norm")}


# Parts in closed form: the return of critic k is b_k + w·s' + u·a' + xi, the model adds the action to the first two
# components of the state, the policy is one action.
W, U = jnp.array([0.5, -1.0, 2.0]), jnp.array([1.0, 3.0])


def linear_critic(spec: Spec, spread: float) -> Critic:
    def value(params: Params, s: Array, a: Array, xi: Array) -> Array:
        return params["b"] + s @ W + a @ U + spread * xi

    return Critic(
        init=lambda key: {"b": jax.random.normal(key)},
        fit_normalizer=lambda params, transitions: params,
        noise=lambda key: jax.random.normal(key),
        value=value,
    )


def shifting_model(spec: Spec) -> WorldModel:
    def simulate(params: Params, s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        return s.at[:2].add(a + n), jnp.sum(a**2), jnp.float32(0.5)

    return WorldModel(
        init=lambda key: {"m": jnp.ones(())},
        fit_normalizer=lambda params, transitions: params,
        loss=lambda params, key, batch: jnp.mean((params["m"] - batch.r) ** 2),
        noise=lambda key: jnp.float32(100.0),
        infer=lambda params, key, transition: transition.r,
        simulate=simulate,
    )


def one_action(spec: Spec) -> Actor:
    def act(params: Params, key: Key, s: Array) -> Array:
        return params["a"]

    return Actor(lambda key: {"a": jnp.array([0.25, -0.5])}, lambda params, transitions: params, act, act)


class MeanGap(metrics.Metric):
    """The squared difference of the mean returns."""

    def __call__(self, key: Key, x: Array, y: Array, levels: Array | None = None) -> Array:
        return (jnp.mean(x[:, 0]) - jnp.mean(y[:, 0])) ** 2


def closed_form(spread: float = 0.0, **changes: Any) -> AgentConfig:
    parts = {
        "metric": MeanGap(),
        "world_model": shifting_model,
        "critic": partial(linear_critic, spread=spread),
        "actor": one_action,
        "actor_start": 0,
        "policy_delay": 1,
        "gradient_scale": gradient_scales.Fixed(),
    }
    return tiny_agent(**{**parts, **changes})


def parts_of(config: AgentConfig) -> Parts:
    return Parts(config, SPEC, config.critic(SPEC), config.actor(SPEC), config.world_model(SPEC))


def noisy_policy(spec: Spec) -> Actor:
    def act(params: Params, key: Key, s: Array) -> Array:
        return jax.random.normal(key, (spec.action_size,))

    return Actor(lambda key: {}, lambda params, transitions: params, act, act)


@pytest.mark.parametrize("is_set", [False, True])
def test_a_set_of_atoms_is_that_of_one_next_action(is_set: bool) -> None:
    """The critic's return is a function of the action alone: its atoms tell the next actions of a state apart."""

    def critic(spec: Spec) -> Critic:
        plain = linear_critic(spec, 0.0)
        return plain._replace(noises=lambda key, num: jnp.zeros(num)) if is_set else plain

    config = closed_form(critic=critic, actor=noisy_policy, gradient="none", overestimation="none")
    parts = parts_of(config)
    state = make_agent(config, SPEC).init(jax.random.key(0))
    batch = transitions(0)
    y = jax.jit(partial(updates.target_samples, parts))(state, jax.random.key(1), batch)
    returns = np.asarray(y[..., 0]).reshape(len(batch.r), CRITICS, -1)
    gaps = np.ptp(returns, axis=2)[np.asarray(batch.discount) > 0]
    assert (gaps < 1e-4).all() if is_set else (gaps > 1e-2).all()


def ahead_of_its_targets(state: AgentState) -> AgentState:
    """The state with learned critics and actor that are not their targets."""
    critics, actor = jax.tree.map(lambda x: x + 7.0, (state.params.critics, state.params.actor))
    return state._replace(params=state.params._replace(critics=critics, actor=actor))


def expected_return(state: AgentState, batch: Transition, noise: np.ndarray, gamma: float = 0.9) -> np.ndarray:
    """The target's return for each transition and critic, ``[B, K]``; ends are the recorded ones."""
    shifted = np.asarray(batch.s).copy()
    shifted[:, :2] += np.asarray(batch.a) + noise[:, None]
    tail = shifted @ np.asarray(W) + np.asarray(state.targets.actor["a"]) @ np.asarray(U)
    z = tail[:, None] + np.asarray(state.targets.critics["b"])
    return np.sum(np.asarray(batch.a) ** 2, axis=1)[:, None] + gamma * np.asarray(batch.discount)[:, None] * z


@pytest.mark.parametrize("noise_source", ["inference", "imagination"])
def test_target_samples_are_the_bellman_target(noise_source: str) -> None:
    config = closed_form(gradient="state_action", overestimation="none", noise_source=noise_source)
    state, batch = ahead_of_its_targets(make_agent(config, SPEC).init(jax.random.key(0))), transitions()
    y = jax.jit(partial(updates.target_samples, parts_of(config)))(state, jax.random.key(1), batch)
    assert y.shape == (BATCH, CRITICS * SAMPLES, 1 + 2 + 3)
    noise = np.asarray(batch.r) if noise_source == "inference" else np.full(BATCH, 100.0)
    returns = expected_return(state, batch, noise)
    np.testing.assert_allclose(y[:, :, 0], np.repeat(returns, SAMPLES, axis=1), rtol=1e-4, atol=1e-4)
    factor = 0.9 * np.asarray(batch.discount)[:, None]
    d_a = 2 * np.asarray(batch.a) + factor * np.asarray(W)[:2]
    for m in range(CRITICS * SAMPLES):
        np.testing.assert_allclose(y[:, m, 1:3], d_a, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(y[:, m, 3:], factor * np.asarray(W), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("overestimation", "count"),
    [("none", 6), (corrections.Truncate(2), 4), (corrections.TruncateEach(2), 2), ("min", 3), ("double_min", 3)],
)
def test_target_samples_are_corrected(overestimation: str | corrections.Correction, count: int) -> None:
    config = closed_form(spread=1.0, overestimation=overestimation)
    state, batch, key = make_agent(config, SPEC).init(jax.random.key(0)), transitions(), jax.random.key(1)
    y = updates.target_samples(parts_of(config), state, key, batch)
    assert y.shape == (BATCH, count, 3)
    pooled = updates.target_samples(parts_of(dataclasses.replace(config, overestimation="none")), state, key, batch)
    for got, z in zip(y, pooled, strict=True):
        np.testing.assert_array_equal(got, config.correction(z.reshape(CRITICS, SAMPLES, -1)))
    on = np.asarray(batch.discount) > 0
    assert all(len(np.unique(row)) == CRITICS * SAMPLES for row in np.asarray(pooled)[on, :, 0])


@pytest.mark.parametrize("n_step", [1, 3])
def test_model_decides_where_the_return_ends(n_step: int) -> None:
    config = closed_form(gradient="none", overestimation="none", continuation="model", n_step=n_step)
    state, batch = make_agent(config, SPEC).init(jax.random.key(0)), transitions()
    folded = batch._replace(discount=batch.discount * 0.9 ** (n_step - 1))
    y = updates.target_samples(parts_of(config), state, jax.random.key(1), folded)
    # Ends count by the model's chance 1/2 of going on, wherever they were recorded.
    going_on = batch._replace(discount=jnp.full(BATCH, 0.5 * 0.9 ** (n_step - 1)))
    returns = expected_return(state, going_on, np.asarray(batch.r))
    np.testing.assert_allclose(y[:, :, 0], np.repeat(returns, SAMPLES, axis=1), rtol=1e-4, atol=1e-4)


def entropic(spec: Spec) -> Actor:
    """``one_action`` with an entropy bonus that grows with the state and the action, and a temperature."""
    actor = one_action(spec)
    return actor._replace(
        init=lambda key: {**actor.init(key), "alpha": jnp.float32(0.5)},
        decide=lambda params, key, s: Decision(
            actor.act(params, key, s),
            jax.lax.stop_gradient(params["alpha"]) * (s[0] + params["a"][0]),
            params["alpha"] * 3.0,
        ),
        mode=lambda params, key, s: jnp.zeros(2),
    )


def test_entropy_enters_the_target_and_the_actor_and_its_temperature_learns() -> None:
    changes: dict[str, Any] = {"gradient": "state_action", "overestimation": "none", "actor_polyak": 1.0}
    plain, config = closed_form(**changes), closed_form(actor=entropic, actor_optimizer=optax.sgd(0.1), **changes)
    agent, batch, key = make_agent(config, SPEC), transitions(), jax.random.key(1)
    state = agent.init(jax.random.key(0))
    soft = updates.target_samples(parts_of(config), state, key, batch)
    hard = updates.target_samples(parts_of(plain), state, key, batch)
    factor = 0.9 * np.asarray(batch.discount)
    s_next = np.asarray(batch.s)[:, 0] + np.asarray(batch.a)[:, 0] + np.asarray(batch.r)
    np.testing.assert_allclose((soft - hard)[:, 0, 0], factor * 0.5 * (s_next + 0.25), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose((soft - hard)[:, 0, 1], 0.5 * factor, atol=1e-5)  # d_a s'_0 = d_s s'_0 = 1
    np.testing.assert_allclose((soft - hard)[:, 0, 3], 0.5 * factor, atol=1e-5)
    after, _ = jax.jit(agent.update)(state, batch)
    np.testing.assert_allclose(after.params.actor["a"], [0.25 + 0.1 * 1.5, -0.5 + 0.1 * 3.0], rtol=1e-5)
    assert float(after.params.actor["alpha"]) == pytest.approx(0.5 - 0.1 * 3.0)
    np.testing.assert_array_equal(after.targets.actor["a"], after.params.actor["a"])
    np.testing.assert_array_equal(agent.act(after.params.actor, key, batch.s[0]), 0.0)


@pytest.mark.parametrize("actor_value", ["mean", "min"])
def test_actor_ascends_what_it_is_told(actor_value: str) -> None:
    config = closed_form(gradient="none", actor_value=actor_value)
    state, batch = make_agent(config, SPEC).init(jax.random.key(0)), transitions()
    objective = updates.actor_objective(parts_of(config), state, state.params.actor, jax.random.key(1), batch)
    common = np.mean(np.asarray(batch.s @ W)) + np.array([0.25, -0.5]) @ np.asarray(U)
    b = np.asarray(state.params.critics["b"])
    assert float(objective) == pytest.approx(common + getattr(np, actor_value)(b), rel=1e-5)


def frozen_model(spec: Spec) -> WorldModel:
    return shifting_model(spec)._replace(differentiable=False)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"world_model": frozen_model}, ["'action'", "world model", "'none'"]),
        ({"overestimation": corrections.Truncate(6)}, ["drop", "5", "6 samples"]),
        ({"overestimation": corrections.TruncateEach(3)}, ["drop", "2", "3 samples"]),
        ({"overestimation": "double_min", "num_samples": 1, "metric": metrics.L2()}, ["double_min", "got 1", "'min'"]),
        ({"num_samples": 1}, ["u-statistic", "got 1", "estimator='v'"]),
        ({"critic": critics.registry.get("fixed_quantile")}, ["25", "num_samples", "num_quantiles"]),
    ],
)
def test_parts_that_do_not_go_together_are_refused(wrong: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        make_agent(tiny_agent(**wrong), SPEC)
    assert [word for word in named if word not in str(caught.value)] == []


def test_parts_are_checked_by_the_update_itself() -> None:
    """What only an update calls, a part's loss say, is reached by the check."""

    def broken(spec: Spec) -> WorldModel:
        def loss(params: Params, key: Key, batch: Transition) -> Array:
            raise ValueError("no loss of mine")

        return shifting_model(spec)._replace(loss=loss)

    with pytest.raises(ValueError, match="no loss of mine"):
        make_agent(closed_form(world_model=broken), SPEC)


def test_update_is_traced_once_for_the_check_and_the_program() -> None:
    calls = []

    def counted(spec: Spec) -> WorldModel:
        model = shifting_model(spec)

        def loss(params: Params, key: Key, batch: Transition) -> Array:
            calls.append(batch.r.shape)
            return model.loss(params, key, batch)

        return model._replace(loss=loss)

    agent = make_agent(closed_form(world_model=counted), SPEC)
    state, batches = agent.init(jax.random.key(0)), jax.tree.map(lambda x: x[None], transitions())
    jax.eval_shape(lambda: jax.lax.scan(agent.update, state, batches))
    assert calls == [(BATCH,)]


def test_no_gradient_flows_through_the_target() -> None:
    config = tiny_agent(actor_start=0)
    state, parts = make_agent(config, SPEC).init(jax.random.key(0)), parts_of(config)

    def total(learned: Any) -> Array:
        params, targets = learned
        return jnp.sum(
            updates.target_samples(
                parts, state._replace(params=params, targets=targets), jax.random.key(1), transitions()
            )
        )

    for path, x in host(jax.jit(jax.grad(total))((state.params, state.targets))):
        np.testing.assert_array_equal(x, 0.0, err_msg=path)


def test_one_update_by_hand() -> None:
    config = closed_form(
        gradient="none",
        overestimation="none",
        critic_optimizer=optax.sgd(0.01),
        actor_optimizer=optax.sgd(0.1),
        world_model_optimizer=optax.sgd(0.2),
    )
    agent, batch = make_agent(config, SPEC), transitions()
    before = agent.init(jax.random.key(0))
    after, scalars = jax.jit(agent.update)(before, batch)

    m, r = 1.0, np.asarray(batch.r)
    assert float(scalars["world_model_loss"]) == pytest.approx(np.mean((m - r) ** 2), rel=1e-5)
    assert float(after.params.world_model["m"]) == pytest.approx(m - 0.2 * 2 * np.mean(m - r), rel=1e-5)

    y = expected_return(before, batch, r).mean(axis=1)
    b = np.asarray(before.params.critics["b"])
    gap = (np.asarray(batch.s @ W + batch.a @ U)[:, None] + b) - y[:, None]
    assert float(scalars["critic_loss"]) == pytest.approx(np.mean(np.sum(gap**2, axis=1)), rel=1e-4)
    np.testing.assert_allclose(after.params.critics["b"], b - 0.01 * 2 * gap.mean(axis=0), rtol=1e-4)

    a = np.asarray(before.params.actor["a"])
    np.testing.assert_allclose(after.params.actor["a"], a + 0.1 * np.asarray(U), rtol=1e-5)
    value = np.mean(np.asarray(batch.s @ W)) + a @ np.asarray(U) + np.mean(np.asarray(after.params.critics["b"]))
    assert float(scalars["actor_loss"]) == pytest.approx(-value, rel=1e-4)
    assert float(scalars["target_mean"]) == pytest.approx(y.mean(), rel=1e-4)
    assert float(scalars["critic_std"]) == pytest.approx(0.0, abs=1e-5)


def test_smoothing_is_clipped_noise_within_the_range() -> None:
    a, std = jnp.array([0.0, 0.9]), 0.1
    smoothed = np.asarray(jax.vmap(lambda key: steps.smooth(a, key, std))(jax.random.split(jax.random.key(0), 5_000)))
    assert smoothed[:, 1].max() == 1.0
    assert np.abs(smoothed[:, 0]).max() == pytest.approx(2.5 * std)
    assert smoothed[:, 0].std() == pytest.approx(std, rel=0.05)
    np.testing.assert_array_equal(steps.smooth(a, jax.random.key(0), 0.0), a)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("gradient", "actions", "'action'"),
        ("overestimation", "truncated", "'truncate'"),
        ("noise_source", "imagine", "'imagination'"),
        ("continuation", "modl", "'model'"),
        ("actor_value", "max", "mean"),
        ("gamma", 1.1, "agent.gamma"),
        ("polyak", -0.1, "agent.polyak"),
        ("num_critics", 0, "agent.num_critics"),
        ("policy_delay", 0, "agent.policy_delay"),
        ("batch_size", 0, "agent.batch_size"),
    ],
)
def test_wrong_values_are_refused_by_name_and_value(name: str, value: Any, named: str) -> None:
    with pytest.raises(ValueError, match=str(value)) as caught:
        tiny_agent(**{name: value})
    assert named in str(caught.value)


def test_diagnostics_are_those_of_the_model_and_the_policy() -> None:
    """s' = s + [a; 0] + noise under a constant policy: H = [[I; 0], [I]] with |H|² = 2, M = I, exponent 0."""
    config = closed_form(world_model=lambda spec: shifting_model(spec)._replace(simulate=going_on))
    state = make_agent(config, SPEC).init(jax.random.key(0))
    scalars = make_agent(config, SPEC).diagnose(state, jax.random.key(1), transitions())
    assert float(scalars["gamma_kappa"]) == pytest.approx(0.9 * np.sqrt(2), rel=5e-3)  # power iterations
    assert float(scalars["gamma_kappa_closed_loop"]) == pytest.approx(0.9, rel=1e-5)
    assert float(scalars["lyapunov_exponent"]) == pytest.approx(0.0, abs=1e-6)
    folded = dataclasses.replace(config, n_step=3)
    scalars = make_agent(folded, SPEC).diagnose(state, jax.random.key(1), transitions())
    assert float(scalars["gamma_kappa_closed_loop"]) == pytest.approx(0.9**3, rel=1e-5)
    silent = closed_form(world_model=frozen_model, gradient="none")
    assert make_agent(silent, SPEC).diagnose(state, jax.random.key(1), transitions()) == {}


def going_on(params: Params, s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
    return s.at[:2].add(a + n), jnp.sum(a**2), jnp.float32(1.0)


def test_diagnostics_take_the_end_from_where_the_targets_take_it() -> None:
    """At the edge of the walk the known step ends surely; with the recorded ends its closed loop is s' = s + noise."""
    task = alive_walk.AliveWalk(step=0.5, sigma=1e-3)
    spec = Spec(state_size=1, action_size=1, simulator=alive_walk.simulator(task))
    rows, edge = jnp.ones(4), jnp.full((4, 1), 2.0)
    batch = Transition(edge, jnp.zeros((4, 1)), rows, rows, edge)

    def resting(spec: Spec) -> Actor:
        del spec

        def act(params: Params, key: Key, s: Array) -> Array:
            return 0.0 * s + params

        return Actor(lambda key: jnp.zeros(1), lambda params, transitions: params, act, act)

    found = {}
    for continuation in ("data", "model"):
        config = tiny_agent(world_model=world_models.make_known, actor=resting, continuation=continuation)
        agent = make_agent(config, spec)
        state = agent.init(jax.random.key(0))
        scalars = agent.diagnose(state, jax.random.key(1), batch)
        found[continuation] = float(scalars["gamma_kappa"])
    # H = d(pi(s'), s')/d(a, s) = [[0, 0], [0.5, 1]] of norm sqrt(1.25); with the model's c = 0 nothing is left but 1.
    assert found["data"] == pytest.approx(0.9 * np.sqrt(1.25), rel=1e-2)  # power iterations
    assert found["model"] == pytest.approx(0.9)
