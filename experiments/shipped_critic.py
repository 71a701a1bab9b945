"""Is the critic that the library ships right? The agent of gin/msmmd_cvae.gin itself, against an exact law.

    python experiments/shipped_critic.py --seeds=0-2

The agent's own ``update`` runs on the linear-quadratic task of experiments/critic_truth.py under a fixed linear
policy. All of gin/base.gin and gin/msmmd_cvae.gin is in force: metric, operator, inference, two critics and what is
done against overestimation, gradient_scales, samples, batch, optimiser with its rate, target networks. What the question fixes
is put in its place: the policy, the discount of the task, and the true step as world model (--world_model=cvae for the
shipped one). Points in training and in the test are those of critic_truth.py. It writes docs/results/shipped_critic.csv
and .md; rows that the .csv holds are not run again.
"""

import argparse
import csv
import dataclasses
import io
import sys
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

import jax  # noqa: E402
import numpy as np  # noqa: E402

from agents import gin_names  # noqa: E402
from sobolev.agent.agent import Agent, make_agent  # noqa: E402
from sobolev.agent.state import AgentState  # noqa: E402
from sobolev.training.logs import write_text  # noqa: E402
from experiments import critic_truth  # noqa: E402
from experiments.critic_truth import GAMMA, SIMULATOR, SPEC, Errors, policy, training_points  # noqa: E402
from experiments.gradient import seeds_of  # noqa: E402
from sobolev import world_models  # noqa: E402
from sobolev.types import Actor, Array, Key, Spec, Transition  # noqa: E402

SETTING = critic_truth.LONGER[0]
SHIPPED = gin_names.load(["gin/msmmd_cvae.gin"], []).agent
WORLD_MODELS = {"known": world_models.registry.get("known"), "cvae": SHIPPED.world_model}
Row = tuple[str, int, int]


def make_fixed_policy(spec: Spec) -> Actor:
    """The actor that is given: it has no parameters and does not learn."""
    del spec

    def act(params: Any, key: Key, s: Array) -> Array:
        del params, key
        return policy(s)

    return Actor(init=lambda key: {}, fit_normalizer=lambda params, transitions: params, act=act, explore=act)


def make_shipped(world_model: str) -> Agent:
    """The shipped agent under the given policy and discount."""
    config = dataclasses.replace(SHIPPED, actor=make_fixed_policy, gamma=GAMMA, world_model=WORLD_MODELS[world_model])
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

    def update(state: AgentState, key: Key) -> tuple[AgentState, None]:
        return agent.update(state, batch_of(key, SHIPPED.batch_size))[0], None

    def run(key: Key) -> AgentState:
        key_init, key_prepare, key = jax.random.split(key, 3)
        state = agent.fit_normalizer(agent.init(key_init), batch_of(key_prepare, 500))
        return jax.lax.scan(update, state, jax.random.split(key, updates))[0]

    return jax.jit(run)(jax.random.key(seed))


def errors_of(world_model: str, updates: int, seed: int) -> Errors:
    """Those of the first critic."""
    critics = learn(make_shipped(world_model), updates, seed).params.critics
    return critic_truth.errors(SETTING, jax.tree.map(lambda leaf: leaf[0], critics))


def read_rows(path: Path) -> dict[Row, Errors]:
    """What was found before."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {(row[0], int(row[1]), int(row[2])): Errors(*map(float, row[3:])) for row in rows}


def write_rows(found: dict[Row, Errors], path: Path) -> None:
    """One run a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("world_model", "updates", "seed", *Errors._fields))
    writer.writerows((*row, *errors) for row, errors in found.items())
    write_text(path, text.getvalue())


def report(found: dict[Row, Errors]) -> str:
    """The table, as Markdown."""
    lines = [
        "# The shipped critic against the exact law",
        "",
        "`python experiments/shipped_critic.py`, rows below by its arguments",
        "",
        "The agent of gin/msmmd_cvae.gin under a fixed policy on the linear-quadratic task, gamma 0.8; test points",
        "uniform up to 1.5, states in training normal. Errors of the means, root mean squares over 64 points and",
        "components over that of the true mean; deviations learned over true, median. Means over seeds, in brackets",
        "each seed.",
        "",
        "| world model | updates | mean return | mean gradient | its action's part | std return | std gradient |",
        "|---|---|---|---|---|---|---|",
    ]
    columns = ("relative_return", "relative_gradient", "relative_action_gradient", "std_return", "std_gradient")
    for world_model, updates in dict.fromkeys((model, updates) for model, updates, _ in found):
        rows = [errors for (model, count, _), errors in found.items() if (model, count) == (world_model, updates)]
        cells = []
        for column in columns:
            values = [getattr(errors, column) for errors in rows]
            shown = "{:.1%}" if column.startswith("relative") else "{:.3f}"
            cells.append(f"{shown.format(np.mean(values))} ({', '.join(map(shown.format, values))})")
        lines.append(f"| {world_model} | {updates} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what is missing, then writes data and table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--world_model", choices=WORLD_MODELS, default="known")
    parser.add_argument("--updates", type=int, default=64_000)
    parser.add_argument("--seeds", type=seeds_of, default="0-2", help="as in 0-4,7")
    options = parser.parse_args()
    results = ROOT / "docs" / "results"
    found = read_rows(results / "shipped_critic.csv")
    find = partial(errors_of, options.world_model, options.updates)
    for seed in options.seeds:
        row = (options.world_model, options.updates, seed)
        if row not in found:
            found[row] = find(seed)
            print(*row, found[row], flush=True)
            write_rows(found, results / "shipped_critic.csv")
    write_text(results / "shipped_critic.md", report(found))


if __name__ == "__main__":
    main()
