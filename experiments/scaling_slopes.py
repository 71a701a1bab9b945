"""How much of the exact slope have the critics of the scaling experiment learned?

    python -m experiments.scaling_slopes --actions=16 --family=point --seeds=600-604

For runs that experiments/scaling.py has left in runs/, at their last checkpoint: the action gradient of the critics'
mean, which the actor climbs, against that of the discounted return along the policy, by differentiation through the
true step. States are from the policy's own episodes. Actions are the policy's with the noise of exploration, where
replay has them, or uniform in 0.9 of their range. At the policy's own actions the slope of a good policy is nearly 0.
Cosine and size (of the critics' slopes in units of the true ones) are of all states and components together. It writes
docs/results/scaling_slopes.csv and .md; seeds that the .csv holds are not measured again.
"""

import argparse
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.runs import load_job
from agents.slopes import restore_agents
from experiments.lib.arguments import base_parser
from experiments.lib.chain import LABELS, Setting, add_settings, masses_of, order, setting_of, wanted
from experiments.lib.comparison import mean_interval
from experiments.lib.pages import command_of_rows, page, table
from experiments.lib.results import RESULTS, RUNS, Results
from experiments.scaling import NAME as RUNS_NAME
from sobolev.agent import AgentState
from sobolev.training import Job, TrueSlopes
from sobolev.training.logs import write_text
from sobolev.training.slopes import compare, critics_value, mean_slopes
from sobolev.types import Array, Key, Params

NAME = "scaling_slopes"
STATES = 64
HORIZON = 150  # steps, of a return: 0.95^150 < 5e-4
EXPLORATION = 0.1
PLACES = ("explored", "uniform")


class Point(NamedTuple):
    """What was measured, and when."""

    arm: str
    seed: int
    env_steps: int
    actions: str


class Agreement(NamedTuple):
    """Of the critics' slopes with the exact ones, over all states and components."""

    cosine: float
    size: float


def exact_slopes(job: Job, actor: Params, place: str, key: Key) -> TrueSlopes:
    """Of the return along the policy, at STATES states of its own episodes."""
    env = masses_of(job.env)
    act, none = partial(job.agent.act, actor, key), jnp.zeros(0)

    def step(s: Array, a: Array) -> tuple[Array, Array]:
        s_next, r, _ = env.simulator.simulate(s, a, none)
        return s_next, r

    def value(s: Array, a: Array) -> Array:
        def onward(s: Array, discount: Array) -> tuple[Array, Array]:
            s, r = step(s, act(s))
            return s, discount * r

        s, r = step(s, a)
        return r + jnp.sum(jax.lax.scan(onward, s, job.config.agent.gamma ** jnp.arange(1, HORIZON))[1])

    key_start, key_time, key_action = jax.random.split(key, 3)
    s = jax.vmap(env.reset)(jax.random.split(key_start, STATES)).obs
    _, episodes = jax.lax.scan(lambda s, _: (jax.vmap(lambda s: step(s, act(s))[0])(s), s), s, None, length=50)
    s = episodes[jax.random.randint(key_time, (STATES,), 0, 50), jnp.arange(STATES)]
    a = jax.vmap(act)(s)
    if place == "uniform":
        a = jax.random.uniform(key_action, a.shape, minval=-0.9, maxval=0.9)
    else:
        a = jnp.clip(a + EXPLORATION * jax.random.normal(key_action, a.shape), -1.0, 1.0)
    slope = jax.vmap(jax.grad(value, argnums=1))(s, a)
    return TrueSlopes(s, a, slope, jnp.zeros_like(slope))


def measure(setting: Setting, seeds: list[int]) -> Iterator[tuple[Point, Agreement]]:
    """The rows of a setting's seeds, as far as there are runs of them."""
    for config in sorted((RUNS / RUNS_NAME / str(setting)).glob("*/config.gin")):
        job = load_job(config.parent)
        for seed, env_steps, state in restore_agents(job, config.parent):
            for place in PLACES if seed in seeds else ():
                yield Point(str(setting), seed, env_steps, place), agreement(job, state, place)


def agreement(job: Job, state: AgentState, place: str) -> Agreement:
    """Of one agent."""
    truth = jax.jit(partial(exact_slopes, job, place=place))(state.params.actor, key=jax.random.key(0))
    value: Any = partial(critics_value, job.agent, state, num_samples=32)
    slopes = mean_slopes(value, truth, jax.random.key(1), num_draws=1)
    found = compare(truth.slope, slopes)
    size = jnp.sqrt(jnp.sum(slopes**2) / jnp.sum(truth.slope**2))
    return Agreement(float(found.overall_cosine), float(size))


def report(found: Mapping[Point, Agreement]) -> str:
    """The page."""
    groups: dict[tuple[str, int, str], list[Agreement]] = {}
    for point, value in found.items():
        groups.setdefault((point.arm, point.env_steps, point.actions), []).append(value)
    rows = []
    for arm, env_steps, place in sorted(groups, key=lambda of: (of[2], *order(setting_of(of[0])), of[1])):
        values = groups[arm, env_steps, place]
        family, gradient, noise, control, actions = setting_of(arm)
        kinds = np.array(values)
        cells = [_cell(kinds[:, column]) for column in range(2)]
        rows.append((family, control, noise, LABELS[gradient], actions, env_steps, place, len(values), *cells))
    return page(
        "Critics' slopes against exact ones, on chains of masses",
        command_of_rows(NAME),
        "Means over seeds, with 95% bootstrap intervals; 1 and 1 where the critics are right. `explored`: at the\n"
        "policy's actions with the noise of exploration; `uniform`: at random actions, far from those in replay.",
        table(("family", "control", "noise", "critic learns", "A", "steps", "at", "seeds", "cosine", "size"), rows),
    )


def _cell(values: np.ndarray) -> str:
    if len(values) < 2:
        return f"{values.mean():.2f}"
    low, high = mean_interval(values)
    return f"{values.mean():.2f} ({low:.2f} to {high:.2f})"


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser(NAME, __doc__)
    add_settings(parser)
    return parser


def main() -> None:
    """Measures what is missing, then writes data and page."""
    options = make_parser().parse_args()
    results = Results(RESULTS / f"{NAME}.csv", Point, Agreement)
    for setting in wanted(options):
        done = {point.seed for point in results.rows if point.arm == str(setting)}
        missing = [seed for seed in options.seeds if seed not in done]
        if missing and setting.noise == "none":
            results.add(dict(measure(setting, missing)))
    write_text(RESULTS / f"{NAME}.md", report(results.rows))


if __name__ == "__main__":
    main()
