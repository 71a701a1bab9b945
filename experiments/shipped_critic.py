"""Is the critic that the library ships right? The agent of gin/msmmd_cvae.gin itself, against exact moments.

    python -m experiments.shipped_critic --seeds=0-2

The agent's own ``update`` runs on the linear-quadratic task of experiments/critic_truth.py under a fixed linear policy.
All of gin/base.gin and gin/msmmd_cvae.gin is in force: metric, operator, inference, two critics and their correction,
gradient scales, samples, batch, optimizer with its rate, target networks. What the question fixes takes the place of
theirs: the policy, the discount of the task, and the true step as world model (--world_model=cvae for the shipped one).
Points in training and in the test are those of critic_truth.py. It writes docs/results/shipped_critic.csv and .md; runs
that the .csv holds are not run again.
"""

import argparse
import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from agents import gin_names
from experiments import critic_truth
from experiments.critic_truth import GAMMA, SIMULATOR, SPEC, Errors, policy, training_points
from experiments.lib.arguments import add_seeds, base_parser
from experiments.lib.pages import command_of_rows, page, table
from experiments.lib.results import RESULTS, Results
from sobolev import world_models
from sobolev.agent import Agent, AgentState, make_agent
from sobolev.training.logs import write_text
from sobolev.types import Actor, Array, Key, Spec, Transition

SETTING = critic_truth.LONGER[0]
WORLD_MODELS = ("known", "cvae")
COLUMNS = {
    "mean return": "relative_return",
    "mean gradient": "relative_gradient",
    "its action's part": "relative_action_gradient",
    "std return": "std_return",
    "std gradient": "std_gradient",
}


class Run(NamedTuple):
    """One training."""

    world_model: str
    updates: int
    seed: int


def make_fixed_policy(spec: Spec) -> Actor:
    """The actor that is given: it has no parameters and does not learn."""
    del spec

    def act(params: Any, key: Key, s: Array) -> Array:
        del params, key
        return policy(s)

    return Actor(init=lambda key: {}, fit_normalizer=lambda params, transitions: params, act=act, explore=act)


def make_shipped(world_model: str) -> Agent:
    """The shipped agent under the given policy and discount."""
    config = gin_names.load(["gin/msmmd_cvae.gin"], []).agent
    if world_model == "known":
        config = dataclasses.replace(config, world_model=world_models.registry.get("known"))
    config = dataclasses.replace(config, actor=make_fixed_policy, gamma=GAMMA)
    return make_agent(config, SPEC._replace(simulator=SIMULATOR))


def batch_of(key: Key, size: int) -> Transition:
    """Fresh transitions of the task, ``[size]``."""
    key_points, key_noise = jax.random.split(key)
    s, a = training_points(key_points, size)
    n = jax.vmap(SIMULATOR.noise)(jax.random.split(key_noise, size))
    s_next, r, discount = jax.vmap(SIMULATOR.simulate)(s, a, n)
    return Transition(s=s, a=a, r=r, discount=discount, s_next=s_next)


def learn(agent: Agent, updates: int, seed: int) -> AgentState:
    """The agent's state after that many updates."""
    batch_size = agent.parts.config.batch_size

    def update(state: AgentState, key: Key) -> tuple[AgentState, None]:
        return agent.update(state, batch_of(key, batch_size))[0], None

    def run(key: Key) -> AgentState:
        key_init, key_fit, key = jax.random.split(key, 3)
        state = agent.fit_normalizers(agent.init(key_init), batch_of(key_fit, 500))
        return jax.lax.scan(update, state, jax.random.split(key, updates))[0]

    return jax.jit(run)(jax.random.key(seed))


def run(key: Run) -> Errors:
    """The errors of the first critic after a training."""
    critics = learn(make_shipped(key.world_model), key.updates, key.seed).params.critics
    return critic_truth.errors(SETTING, jax.tree.map(lambda leaf: leaf[0], critics))


def cell_of(column: str, errors: list[Errors]) -> str:
    """The mean over seeds and each seed."""
    values = [getattr(error, column) for error in errors]
    shown = "{:.1%}" if column.startswith("relative") else "{:.3f}"
    return f"{shown.format(np.mean(values))} ({', '.join(map(shown.format, values))})"


def report(found: dict[Run, Errors]) -> str:
    """The page."""
    rows = []
    for world_model, updates in dict.fromkeys(run[:2] for run in found):
        errors = [error for run, error in found.items() if run[:2] == (world_model, updates)]
        rows.append((world_model, updates, *(cell_of(column, errors) for column in COLUMNS.values())))
    return page(
        "The shipped critic against exact moments",
        command_of_rows("shipped_critic"),
        "The agent of gin/msmmd_cvae.gin under a fixed policy on the linear-quadratic task, gamma 0.8; test points\n"
        "uniform up to 1.5, states in training normal. Errors of the means, root mean squares over 64 points and\n"
        "components over that of the true mean; deviations learned over true, median. Means over seeds, in brackets\n"
        "each seed.",
        table(("world model", "updates", *COLUMNS), rows),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("shipped_critic", __doc__)
    parser.add_argument("--world_model", choices=WORLD_MODELS, default="known", help="default: %(default)s")
    parser.add_argument("--updates", type=int, default=64_000, help="default: %(default)s")
    add_seeds(parser, "0-2")
    return parser


def main() -> None:
    """Runs what is missing, then writes data and page."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "shipped_critic.csv", Run, Errors)
    for seed in options.seeds:
        key = Run(options.world_model, options.updates, seed)
        results.find(key, partial(run, key))
    write_text(RESULTS / "shipped_critic.md", report(results.rows))


if __name__ == "__main__":
    main()
