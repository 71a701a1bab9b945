"""Where an update's time goes: world model, target, critics and the metric in them, actor, optimizers and targets.

    python -m benchmarks.shares
    python -m benchmarks.shares --method=td3 --size=laptop

Each part is a program by itself, that runs ten times on ten batches; parts and whole updates are timed in turns, and
given are medians. The metric's and the optimizers' times are contained in those of the parts above. It writes
docs/results/shares.csv; rows of the present device are replaced.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import gin_names
from benchmarks.methods import METHODS, SIZES, device_name
from benchmarks.update import FUSED, SPEC, count_products, flops, medians, random_batch
from experiments.lib.results import RESULTS, Results
from sobolev.agent import Agent, AgentState, make_agent, updates
from sobolev.training.job import full_precision
from sobolev.types import Array, Transition

Part = Callable[[AgentState, Transition, Array], tuple[AgentState, Any]]
"""A part of an update of one batch, with joint samples ``[B, M, D]`` that stand for a target's."""

DEFAULT_METHODS = ("msmmd_cvae", "huber_cvae", "td3", "sac", "tqc")


class Share(NamedTuple):
    """What is timed, and where."""

    device: str
    size: str
    method: str
    part: str


class Time(NamedTuple):
    """Of one update: milliseconds, their share of the whole, and operations as the compiler counts them.

    ``products_gflop`` is counted from the trace; of the whole update alone.
    """

    milliseconds: float
    share: float
    gflop: float
    products_gflop: float


def parts_of(agent: Agent) -> dict[str, Part]:
    """The whole update and its parts, by name."""
    parts, config = agent.parts, agent.parts.config

    def whole(state: AgentState, batch: Transition, y: Array) -> tuple[AgentState, Any]:
        return agent.update(state, batch)

    def world_model(state: AgentState, batch: Transition, y: Array) -> tuple[AgentState, Any]:
        return updates.update_world_model(parts, state, state.key, batch)[:2]

    def target(state: AgentState, batch: Transition, y: Array) -> tuple[AgentState, Any]:
        return state, updates.target_samples(parts, state, state.key, batch)

    def critics(state: AgentState, batch: Transition, y: Array) -> tuple[AgentState, Any]:
        return updates.update_critics(parts, state, state.key, batch, y)[:2]

    def metric(state: AgentState, batch: Transition, y: Array) -> tuple[AgentState, Any]:
        keys = jax.random.split(state.key, (config.num_critics, len(y)))
        x = jnp.stack([y[:, : config.num_samples] + 0.1 * i for i in range(config.num_critics)])
        levels = None if parts.critic.level is None else jnp.full(x.shape[:3], 0.5)
        over_critics = jax.vmap(config.metric.over_states, in_axes=(0, 0, None, None if levels is None else 0))
        return state, jax.value_and_grad(lambda x: jnp.sum(over_critics(keys, x, y, levels)))(x)

    def optimizers(state: AgentState, batch: Transition, y: Array) -> tuple[AgentState, Any]:
        for name in state.params._fields:
            optimizer, params = getattr(config, OPTIMIZERS[name]), getattr(state.params, name)
            changes, opt_state = optimizer.update(params, getattr(state.opt_states, name), params)
            state = state.with_part(name, optax.apply_updates(params, changes), opt_state)
        targets = (state.params.critics, state.targets.critics, config.polyak)
        return state, optax.incremental_update(*targets)

    def actor(state: AgentState, batch: Transition, y: Array) -> tuple[AgentState, Any]:
        return updates.update_actor(parts, state, state.key, batch)[:2]

    return {
        "whole": whole,
        "world model": world_model,
        "target": target,
        "critics": critics,
        "actor": actor,
        "metric": metric,
        "optimizers": optimizers,
    }


OPTIMIZERS = {"critics": "critic_optimizer", "actor": "actor_optimizer", "world_model": "world_model_optimizer"}


def program(part: Part, state: AgentState, batches: Transition, y: Array, options: Any) -> tuple[Callable, float]:
    """Ten runs of a part, ready; and the operations of one."""

    def step(carry: tuple[AgentState, Array], batch: Transition) -> tuple[tuple[AgentState, Array], None]:
        state, total = carry
        # A new key each time, and a use of every result: nothing can be taken out of the loop or left out.
        state = state._replace(key=jax.random.fold_in(state.key, state.step), step=state.step + 1)
        state, found = part(state, batch, y + 1e-9 * total)
        return (state, total + sum(jnp.sum(jnp.nan_to_num(leaf)) for leaf in jax.tree.leaves(found))), None

    def run(state: AgentState, batches: Transition) -> Any:
        return jax.lax.scan(step, (state, jnp.zeros(())), batches)[0]

    compiled = jax.jit(run).lower(state, batches).compile(compiler_options=options)
    analysis = compiled.cost_analysis()
    return partial(compiled, state, batches), float(analysis["flops"]) if analysis else 0.0


def measure(size: str, method: str, rounds: int) -> dict[Share, Time]:
    """The parts of one method's update, in turns."""
    # Without a delay, each update has one of the actor.
    bindings = ["agent.policy_delay = 1", "agent.actor_start = 0"]
    config = gin_names.load((f"gin/{method}.gin", *SIZES[size]), bindings)
    options = config.cpu_compiler_options if jax.default_backend() == "cpu" else {}
    with full_precision():
        agent = make_agent(config.agent, SPEC)
        keys = jax.random.split(jax.random.key(0), FUSED)
        batches = jax.vmap(lambda key: random_batch(key, config.agent.batch_size))(keys)
        first = jax.tree.map(lambda x: x[0], batches)
        state = jax.jit(agent.init)(keys[0])
        y = jax.jit(partial(updates.target_samples, agent.parts))(state, keys[1], first)
        products = sum(flops(product) * times for product, times in count_products(agent, first).items())
        found = {name: program(part, state, batches, y, options) for name, part in parts_of(agent).items()}
        took = medians({name: run for name, (run, _) in found.items()}, rounds)
    return {
        Share(device_name(), size, method, name): Time(
            round(1e3 * took[name] / FUSED, 4),
            round(took[name] / took["whole"], 3),
            round(operations / 1e9, 4),
            round(products / 1e9, 4) if name == "whole" else 0.0,
        )
        for name, (_, operations) in found.items()
    }


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shares", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", action="append", choices=METHODS, help=f"default: {', '.join(DEFAULT_METHODS)}")
    parser.add_argument("--size", action="append", choices=SIZES, help="default: both")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    return parser


def main() -> None:
    """Measures, writes the rows and prints them."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "shares.csv", Share, Time)
    for size in options.size or SIZES:
        for method in options.method or DEFAULT_METHODS:
            found = measure(size, method, options.rounds)
            results.add(found)
            for key, time in found.items():
                print(
                    f"{key.device} {size} {method:10} {key.part:12} {time.milliseconds:10.3f} ms {time.share:6.2f} "
                    f"{time.gflop:10.3f} GFLOP",
                    flush=True,
                )


if __name__ == "__main__":
    main()
