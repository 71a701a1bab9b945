"""What an update costs, from the compiled program: no product of matrices that a count by hand does not have.

The counts are of products alone, in floating-point operations, at networks where they are nearly all of the work. They
are ceilings, with a tenth added for what is element by element: a part that is computed twice, or differentiated
twice, exceeds them.
"""

from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from sobolev import actors, corrections, critics, metrics, world_models
from sobolev.agent import AgentConfig, make_agent
from sobolev.training.job import full_precision
from sobolev.types import Spec, Transition

S, A, B, WIDTH = 17, 6, 64, 256
SPEC = Spec(S, A)
ELEMENTWISE = 1.1


class Cost(NamedTuple):
    """Of one compiled update."""

    flops: float
    temporary_bytes: int


def cost(config: AgentConfig, spec: Spec = SPEC) -> Cost:
    agent = make_agent(config, spec)
    rows = jax.ShapeDtypeStruct((B,), jnp.float32)
    s, a = (jax.ShapeDtypeStruct((B, size), jnp.float32) for size in spec[:2])
    with full_precision():
        state = jax.eval_shape(agent.init, jax.random.key(0))
        compiled = jax.jit(agent.update).lower(state, Transition(s, a, rows, rows, s)).compile()
    analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
    assert analysis is not None
    assert memory is not None
    return Cost(analysis["flops"], memory.temp_size_in_bytes)


def weights(inputs: int, outputs: int) -> int:
    """Of two hidden layers without skips."""
    return inputs * WIDTH + WIDTH * WIDTH + WIDTH * outputs


def plain(factory: Any, **options: Any) -> Any:
    return partial(factory, hidden_sizes=(WIDTH, WIDTH), skip=False, residual=False, activation="relu", **options)


def baseline(**changes: Any) -> AgentConfig:
    """TD3's parts, each update with one of the actor."""
    return AgentConfig(
        **{
            "metric": metrics.L2(),
            "gradient": "none",
            "world_model": world_models.make_recorded,
            "critic": plain(critics.make_deterministic),
            "actor": plain(actors.make_deterministic),
            "num_samples": 1,
            "overestimation": "min",
            "batch_size": B,
            "actor_start": 0,
            "policy_delay": 1,
            **changes,
        }
    )


def passes_of_a_baseline(num_critics: int, critic: int, actor: int) -> int:
    """Of one row: forward in the target; forward, to the weights and to the layers before; the same in the actor."""
    target = actor + num_critics * critic
    critics_loss = 3 * num_critics * critic
    actors_loss = 3 * actor + 2 * num_critics * critic
    return 2 * (target + critics_loss + actors_loss)


@pytest.mark.parametrize(
    ("changes", "num_critics", "atoms", "outputs"),
    [
        ({"target_noise": 0.2}, 2, 1, A),
        ({"num_critics": 1, "overestimation": "none"}, 1, 1, A),
        ({"actor": plain(actors.make_squashed_gaussian), "actor_polyak": 1.0, "actor_value": "min"}, 2, 1, 2 * A),
        (
            {
                "actor": plain(actors.make_squashed_gaussian),
                "actor_polyak": 1.0,
                "critic": plain(critics.make_fixed_quantile, num_quantiles=25),
                "num_samples": 25,
                "overestimation": corrections.Truncate(drop=4),
                "metric": metrics.QuantileHuber(kappa=1.0),
            },
            2,
            25,
            2 * A,
        ),
    ],
    ids=["td3", "ddpg", "sac", "tqc"],
)
def test_baselines_compute_nothing_twice(changes: dict[str, Any], num_critics: int, atoms: int, outputs: int) -> None:
    by_hand = B * passes_of_a_baseline(num_critics, weights(S + A, atoms), weights(S, outputs))
    found = cost(baseline(**changes)).flops
    assert 0.9 * by_hand < found < ELEMENTWISE * by_hand, found / by_hand


@cache
def cost_of_the_default(metric: metrics.Metric | None = None, num_samples: int = 16, action_size: int = 4) -> Cost:
    """The default agent's, with another metric, number of samples or of actions."""
    config = AgentConfig(num_samples=num_samples, batch_size=B, actor_start=0)
    return cost(config if metric is None else replace(config, metric=metric), Spec(8, action_size))


def test_the_search_for_directions_costs_little() -> None:
    """Five steps along a slice of one dimension, beside networks."""
    found, without = cost_of_the_default(), cost_of_the_default(metrics.MMD())
    assert without.flops < found.flops < 1.25 * without.flops
    assert found.temporary_bytes < 1.25 * without.temporary_bytes


def test_cost_grows_with_samples_at_most_linearly() -> None:
    """A fourth more, or half of the memory, for the kernels, which look at pairs."""
    few, many = cost_of_the_default(num_samples=16), cost_of_the_default(num_samples=64)
    assert many.flops < 1.25 * 4 * few.flops
    assert many.temporary_bytes < 1.5 * 4 * few.temporary_bytes


def test_cost_hardly_grows_with_actions() -> None:
    one, sixteen = cost_of_the_default(action_size=1), cost_of_the_default(action_size=16)
    assert sixteen.flops < 1.5 * one.flops
    assert sixteen.temporary_bytes < 1.5 * one.temporary_bytes


def test_temporary_memory_is_some_layers_of_all_samples() -> None:
    """What reverse over reverse keeps of each hidden layer of both critics, 24 arrays of it."""
    config, found = AgentConfig(), cost_of_the_default()
    layers = 2 * config.num_critics * B * 16 * 64 * 4
    assert found.temporary_bytes < 24 * layers
