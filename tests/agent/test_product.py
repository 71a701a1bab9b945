"""Any metric with any world model, critic and gradient: two updates that move all that should move, or a refusal.

Everyday runs take a set of cells in which every metric meets every critic and every gradient, and every world model
every critic and every gradient; ``pytest -m slow`` takes the whole product.
"""

import inspect
import itertools
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sobolev import actors, corrections, critics, joint, metrics, world_models
from sobolev.agent import Agent, AgentConfig, AgentState, make_agent
from sobolev.joint import Gradient
from sobolev.registry import Registry
from sobolev.types import Array, Key, Simulator, Spec, Transition
from tests.helpers import QUICK_COMPILATION

Cell = tuple[str, str, str, Gradient]
BATCH, SAMPLES = 5, 3
SMALL: dict[str, Any] = {
    "hidden_sizes": (4,),
    "noise_size": 2,
    "embedding_size": 3,
    "num_quantiles": SAMPLES,
    "latent_size": 2,
    "members": 2,
    "couplings": 2,
    "search": metrics.DirectionSearch(num_directions=2, num_climbs=1, num_steps=1),
}


def simulate(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
    s_next = jnp.tanh(s + jnp.sum(a) * jnp.arange(1.0, 4.0) + n)
    return s_next, jnp.sum(s_next**2) - jnp.sum(a**2), jnp.ones(())


SPEC = Spec(
    state_size=3,
    action_size=2,
    simulator=Simulator(
        noise=lambda key: jax.random.normal(key, (3,)),
        infer=lambda key, transition: jnp.zeros(3),
        simulate=simulate,
    ),
)
FAMILIES = (metrics.registry.names(), world_models.registry.names(), critics.registry.names(), joint.GRADIENTS)
CELLS: list[Cell] = list(itertools.product(*FAMILIES))


def small(registry: Registry[Any], name: str) -> Any:
    """The factory, with those of the small numbers that it takes."""
    accepted = inspect.signature(registry.get(name)).parameters
    return partial(registry.get(name), **{k: v for k, v in SMALL.items() if k in accepted})


def config_of(cell: Cell) -> AgentConfig:
    metric, model, critic, gradient = cell
    return AgentConfig(
        metric=small(metrics.registry, metric)(),
        world_model=small(world_models.registry, model),
        critic=small(critics.registry, critic),
        actor=small(actors.registry, "deterministic"),
        gradient=gradient,
        overestimation=corrections.Truncate(drop=1),
        num_samples=SAMPLES,
        batch_size=BATCH,
        gamma=0.9,
        polyak=0.1,
        actor_polyak=0.1,
        actor_start=0,
        critic_optimizer=optax.adam(1e-2),
        actor_optimizer=optax.adam(1e-2),
        world_model_optimizer=optax.adam(1e-2),
    )


def refusal(cell: Cell) -> str | None:
    """Why a cell makes no sense, in words of the message; None where it does."""
    metric, model, critic, gradient = cell
    if model == "recorded" and gradient != "none":
        return "differentiable in state and action"
    if metric == "wasserstein" and gradient != "none":
        return "sliced_wasserstein"
    if metric == "quantile_huber" and critic not in ("quantile", "fixed_quantile"):
        return "levels"
    return None


def assert_refused(cell: Cell) -> None:
    reason = refusal(cell)
    assert reason is not None
    with pytest.raises(ValueError, match=reason):
        make_agent(config_of(cell), SPEC)


def batches() -> Transition:
    keys = jax.random.split(jax.random.key(0), 4)
    s = jax.random.normal(keys[0], (2, BATCH, 3))
    return Transition(
        s=s,
        a=jax.random.uniform(keys[1], (2, BATCH, 2), minval=-1.0),
        r=jax.random.normal(keys[2], (2, BATCH)),
        discount=jnp.ones((2, BATCH)).at[0, 0].set(0.0),
        s_next=s + jax.random.normal(keys[3], s.shape),
    )


def two_updates(agent: Agent, key: Key, data: Transition) -> tuple[AgentState, AgentState, dict[str, Array]]:
    before = agent.init(key)
    after, scalars = jax.lax.scan(agent.update, before, data)
    return before, after, scalars


def assert_learns(cell: Cell) -> None:
    agent = make_agent(config_of(cell), SPEC)
    before, after, scalars = jax.jit(partial(two_updates, agent), compiler_options=QUICK_COMPILATION)(
        jax.random.key(1), batches()
    )
    for path, x in jax.tree_util.tree_leaves_with_path((after.params, after.targets, scalars)):
        assert np.all(np.isfinite(x)), jax.tree_util.keystr(path)
    moved = jax.tree.map(lambda x, y: bool(np.any(x != y)), before.params, after.params)
    for path, yes in jax.tree_util.tree_leaves_with_path(moved):
        name = jax.tree_util.keystr(path)
        is_scale = any(f"['{scale}']" in name for scale in ("state", "input", "target"))
        assert yes is not is_scale, name


@cache
def everyday() -> tuple[Cell, ...]:
    """Greedily, cells that make sense until all the pairs named above have met."""

    def pairs(cell: Cell) -> set[tuple[str, str, str]]:
        metric, model, critic, gradient = cell
        return {
            ("metric-critic", metric, critic),
            ("metric-gradient", metric, gradient),
            ("model-critic", model, critic),
            ("model-gradient", model, gradient),
        }

    sensible = [cell for cell in CELLS if refusal(cell) is None]
    missing = set.union(*map(pairs, sensible))
    chosen = []
    while missing:
        best = max(sensible, key=lambda cell: len(pairs(cell) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return tuple(chosen)


@pytest.mark.parametrize("cell", everyday(), ids="-".join)
def test_parts_learn_together(cell: Cell) -> None:
    assert_learns(cell)


@pytest.mark.parametrize("critic", critics.registry.names())
@pytest.mark.parametrize("metric", metrics.registry.names())
def test_metric_and_critic_go_together_or_are_refused(metric: str, critic: str) -> None:
    for gradient in joint.GRADIENTS:
        cell = (metric, "deterministic", critic, gradient)
        if refusal(cell) is None:
            make_agent(config_of(cell), SPEC)
        else:
            assert_refused(cell)


@pytest.mark.parametrize("gradient", joint.GRADIENTS)
def test_world_model_and_gradient_go_together_or_are_refused(gradient: Gradient) -> None:
    for model in world_models.registry.names():
        cell = ("l2", model, "deterministic", gradient)
        if refusal(cell) is None:
            make_agent(config_of(cell), SPEC)
        else:
            assert_refused(cell)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_whole_product(cell: Cell) -> None:
    if refusal(cell) is None:
        assert_learns(cell)
    else:
        assert_refused(cell)
