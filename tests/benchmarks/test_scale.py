"""The formulas of docs/scale.md against what is traced, allocated and kept, at small and unequal sizes."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from benchmarks.counting import distinct_operations
from benchmarks.formulas import Setting, kept_bytes, operations, seed_bytes
from benchmarks.scale import by_formula, held_bytes, shapes
from benchmarks.shares import parts_of
from sobolev import actors, corrections, critics, metrics, world_models
from sobolev.agent import Agent, AgentConfig, make_agent, updates
from sobolev.training import TrainConfig
from sobolev.types import Spec

S, A, B, Z = 5, 3, 7, 11
WIDTHS, MODEL_WIDTHS = (24, 24), (20, 28)
SEARCH = metrics.DirectionSearch(num_directions=2, num_climbs=3, num_steps=2, axes=True)

DISTRIBUTIONAL = {"critics": 2, "noise": Z, "widths": WIDTHS, "model_widths": MODEL_WIDTHS}
POINT = {**DISTRIBUTIONAL, "noise": 0, "samples": 1, "targets": 1, "metric": "other"}

SETTINGS = {
    "one derivative for each sample": {**DISTRIBUTIONAL, "samples": 2, "targets": 4, "gradient": "state_action"},
    "a Jacobian by inputs": {**DISTRIBUTIONAL, "samples": 4, "targets": 8, "gradient": "action"},
    "a Jacobian by outputs": {**DISTRIBUTIONAL, "samples": 6, "targets": 10, "gradient": "state_action"},
    "closed loop": {**DISTRIBUTIONAL, "samples": 4, "targets": 8, "gradient": "closed_loop"},
    "imagination": {
        **DISTRIBUTIONAL,
        **{"samples": 4, "targets": 7, "gradient": "action", "imagination": True},
        **{"learned_prior": False, "layer_norm": False, "quadratic": False},
    },
    "several starts": {
        **DISTRIBUTIONAL,
        **{"samples": 4, "targets": 8, "gradient": "state_action", "critics": 3, "starts": 12, "climbs": 3, "steps": 2},
    },
    "all pairs": {**DISTRIBUTIONAL, "samples": 4, "targets": 6, "gradient": "state_action", "metric": "mmd"},
    "values alone": {**DISTRIBUTIONAL, "samples": 4, "targets": 8, "gradient": "none", "model": "recorded"},
    "td3": {**POINT, "gradient": "none", "model": "recorded", "target_noise": True},
    "a point critic": {**POINT, "gradient": "action", "target_noise": True},
    "an ensemble": {**POINT, "gradient": "state_action", "model": "ensemble", "members": 3, "critics": 1},
}


def setting_of(name: str) -> Setting:
    return Setting(state=S, action=A, batch=B, **SETTINGS[name])


def config_of(setting: Setting) -> AgentConfig:
    """The configuration that the numbers are of, made by hand."""
    search = metrics.DirectionSearch(num_directions=0, num_climbs=1, num_steps=5, axes=False)
    metric = {
        "msmmd": metrics.MSMMD(search=search if setting.starts == 1 else SEARCH),
        "mmd": metrics.MMD(),
        "other": metrics.Huber(),
    }
    model = {
        "recorded": world_models.make_recorded,
        "ensemble": partial(world_models.make_mage, hidden_sizes=MODEL_WIDTHS, members=setting.members),
        "cvae": partial(world_models.make_cvae, hidden_sizes=MODEL_WIDTHS, learned_prior=setting.learned_prior),
    }
    network = {"hidden_sizes": WIDTHS, "layer_norm": setting.layer_norm, "quadratic": setting.quadratic}
    dropped = setting.critics * setting.samples - setting.targets
    return AgentConfig(
        metric=metric[setting.metric],
        world_model=model[setting.model],
        critic=partial(critics.make_generative, noise_size=Z, **network)
        if setting.noise
        else partial(critics.make_deterministic, **network),
        actor=partial(actors.make_deterministic, hidden_sizes=WIDTHS),
        gradient=setting.gradient,
        overestimation=corrections.Truncate(drop=dropped) if setting.noise else "min",
        noise_source="imagination" if setting.imagination else "inference",
        num_critics=setting.critics,
        num_samples=setting.samples,
        batch_size=B,
        target_noise=0.2 if setting.target_noise else 0.0,
        actor_start=0,
    )


def make(setting: Setting) -> tuple[Agent, Any]:
    agent = make_agent(config_of(setting), Spec(S, A))
    return agent, shapes(agent, Spec(S, A))


@pytest.mark.parametrize("name", SETTINGS)
def test_formulas_count_the_products_of_each_part(name: str) -> None:
    setting = setting_of(name)
    agent, (state, batch, y) = make(setting)
    assert y.shape == (B, setting.targets, 1 + setting.differentiated)
    for part, formula in by_formula(setting).items():
        if part != "whole":  # which is their sum
            traced = distinct_operations(parts_of(agent)[part], state, batch, y)
            assert formula == pytest.approx(traced, rel=0.1), part


def test_settings_cover_both_jacobians_and_none() -> None:
    shared = {name: setting_of(name).shared_step for name in SETTINGS}
    assert shared["a Jacobian by inputs"]
    assert shared["a Jacobian by outputs"]
    assert not shared["one derivative for each sample"]


def test_seeds_side_by_side_cost_as_many_times_as_much() -> None:
    agent, (state, batch, _) = make(setting_of("a Jacobian by outputs"))
    one = distinct_operations(agent.update, state, batch)

    def of_three(state: Any, batch: Any) -> Any:
        return jax.vmap(agent.update)(*jax.tree.map(lambda x: jnp.broadcast_to(x, (3, *x.shape)), (state, batch)))

    assert distinct_operations(of_three, state, batch) == pytest.approx(3 * one, rel=0.01)


def test_the_actor_is_averaged_over_its_delay() -> None:
    setting = setting_of("td3")
    often, seldom = operations(setting), operations(setting._replace(policy_delay=5))
    assert seldom.actor == pytest.approx(often.actor / 5)
    assert seldom[:-1] == often[:-1]


@pytest.mark.parametrize("name", ["a Jacobian by inputs", "imagination", "td3", "an ensemble"])
def test_bytes_are_those_of_the_training_state(name: str) -> None:
    setting = setting_of(name)
    config = TrainConfig(agent=config_of(setting), total_steps=1_000)
    held = held_bytes(make_agent(config.agent, Spec(S, A)), config)
    assert seed_bytes(setting, replay_capacity=1_000).total == pytest.approx(held, rel=0.01)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("gradient", ["none", "action"])
def test_what_the_critics_loss_keeps(
    gradient: str, layer_norm: bool, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrays of one size for each critic, state and sample, which no other array of the trace has."""
    numbers = {**SETTINGS["all pairs"], "targets": 8, "widths": (24,) * layers, "layer_norm": layer_norm}
    setting = Setting(state=S, action=A, batch=B, **{**numbers, "gradient": gradient})
    network = {"hidden_sizes": setting.widths, "layer_norm": layer_norm, "quadratic": True}
    config = config_of(setting)
    config = AgentConfig(
        **{**vars(config), "critic": partial(critics.make_generative, noise_size=Z, **network)},
    )
    agent = make_agent(config, Spec(S, A))
    state, batch, y = shapes(agent, Spec(S, A))
    kept: list[Any] = []

    def keep(optimizer: Any, loss: Any, params: Any, opt_state: Any) -> updates.Descent:
        value, pullback, aux = jax.vjp(loss, params, has_aux=True)
        kept.append(pullback)
        return updates.Descent(params, opt_state, value, aux, jnp.array(True))

    monkeypatch.setattr(updates, "descend", keep)

    def pullback(state: Any, batch: Any, y: Any) -> Any:
        updates.update_critics(agent.parts, state, state.key, batch, y)
        return kept.pop()

    arrays = jax.tree.leaves(jax.eval_shape(pullback, state, batch, y))
    sizes = {(2, B, setting.samples, size) for size in (24, setting.critic.squares)}
    assert kept_bytes(setting) == sum(4 * array.size for array in arrays if array.shape in sizes)


def test_equal_products_are_counted_once_and_unused_ones_not_at_all() -> None:
    x = jnp.ones((2, 3))

    def twice(x: Any) -> Any:
        _ = x.T @ x
        return x @ x.T + jax.jit(lambda x: x @ x.T)(x)

    assert distinct_operations(twice, x) == 2 * 2 * 3 * 2


def test_loops_count_as_often_as_they_run_and_of_branches_the_costliest() -> None:
    x = jnp.ones((4, 4))

    def function(x: Any) -> Any:
        looped = jax.lax.fori_loop(0, 5, lambda _, y: x @ y, x)
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, looped)

    assert distinct_operations(function, x) == (5 + 2) * 2 * 4**3
