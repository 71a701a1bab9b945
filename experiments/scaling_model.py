"""Which derivatives does a learned world model give, after so many transitions of the chain of masses?

    python -m experiments.scaling_model --actions=16 --seeds=600-604

A target of the critic's gradient is made of the derivatives of the learned step. Here they are compared with those of
the true step, without an agent: transitions of episodes with uniform actions, the optimizer and the batches of
experiments/scaling.py, 500 updates on the warm-up of 200 transitions and two more for each later one, as training has
them, and the normalizers of the warm-up. The error of a block of the Jacobian is the root of the mean square of the
difference, in units of that of the true block, at transitions that the model has not seen; of s' by s, the identity is
left out. The world models are those of controls of that experiment. It writes docs/results/scaling_model.csv, .md and
.png; what the .csv holds is not computed again.
"""

import argparse
import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lib.arguments import add_seeds, base_parser
from experiments.lib.chain import ACTIONS, PLAIN, WARM_UP, Setting, arm_of, masses_of
from experiments.lib.comparison import mean_interval
from experiments.lib.derivatives import fitted, jacobian, learned_jacobians, relative_error
from experiments.lib.learning import load_job
from experiments.lib.pages import command_of_rows, page, table, verdict
from experiments.lib.pictures import picture
from experiments.lib.results import RESULTS, Results
from sobolev.training import Job
from sobolev.training.logs import write_text
from sobolev.types import Array, Key, Transition

NAME = "scaling_model"
MODELS = {PLAIN: "network", "separable reward": "network and separable reward"}
TRANSITIONS = (200, 500, 1_000, 2_000)
FRESH = 256  # transitions at which errors are taken
LENGTH = 50  # steps of an episode
INTRODUCTION = """\
Relative errors, 0 where a model is right and 1 where it is as wrong as a constant; means over seeds with 95% bootstrap
intervals. The conditional VAE of `gin/base.gin`, whose reward is that of its network, or of the network and a separable
quadratic function of state and action (`world_models.cvae.separable_reward`)."""


class Point(NamedTuple):
    """What was trained."""

    model: str
    actions: int
    transitions: int
    seed: int


class Errors(NamedTuple):
    """Of the blocks of the Jacobian, relative."""

    next_by_state: float
    next_by_action: float
    reward_by_state: float
    reward_by_action: float


def true_step(job: Job, s: Array, a: Array) -> Any:
    """The step of the environment."""
    return masses_of(job.env).simulator.simulate(s, a, jnp.zeros(0))


def transitions(job: Job, key: Key, count: int) -> Transition:
    """Of episodes with uniform actions."""
    size = job.env.action_size

    def episode(key: Key) -> Transition:
        key_start, key_act = jax.random.split(key)

        def step(s: Array, key: Key) -> tuple[Array, Transition]:
            a = jax.random.uniform(key, (size,), minval=-1.0)
            s_next, r, _ = true_step(job, s, a)
            return s_next, Transition(s, a, r, jnp.ones(()), s_next)

        return jax.lax.scan(step, masses_of(job.env).reset(key_start).obs, jax.random.split(key_act, LENGTH))[1]

    episodes = jax.vmap(episode)(jax.random.split(key, -(-count // LENGTH)))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], episodes)


def updates(data: Transition) -> int:
    """As many as training has made when replay holds the data."""
    return 500 + 2 * max(len(data.r) - WARM_UP, 0)


def errors_of(job: Job, count: int, seed: Array) -> Errors:
    """Of the world model of one seed, trained on so many transitions."""
    key_data, key_fresh, key_fit, key_infer = jax.random.split(jax.random.key(seed), 4)
    data, fresh = transitions(job, key_data, count), transitions(job, key_fresh, FRESH)
    truth = jax.vmap(partial(jacobian, partial(true_step, job)))(fresh.s, fresh.a)
    params = fitted(job, data, key_fit, updates(data), WARM_UP)
    found = learned_jacobians(job, params, key_infer, fresh, fresh.a)
    return Errors(*(relative_error(*blocks) for blocks in zip(found, truth, strict=True)))  # type: ignore[arg-type]


def measure(model: str, actions: int, count: int, seeds: list[int]) -> dict[Point, Errors]:
    """Of all seeds, in one program."""
    job = load_job(arm_of(Setting("point", "state_action", "none", model, actions), 4_000))
    found = jax.jit(jax.vmap(partial(errors_of, job, count)))(jnp.array(seeds))
    rows = np.array(found).T.tolist()
    return {
        Point(model, actions, count, seed): Errors(*(round(error, 4) for error in row))
        for seed, row in zip(seeds, rows, strict=True)
    }


def by_setting(found: Mapping[Point, Errors]) -> dict[tuple[int, str, int], np.ndarray]:
    """By number of actions, model and transitions, the errors of all seeds ``[seeds, 4]``."""
    names = list(MODELS)
    groups: dict[tuple[int, str, int], list[Errors]] = {}
    for point in sorted(found, key=lambda point: (point.actions, names.index(point.model), point.transitions)):
        groups.setdefault((point.actions, point.model, point.transitions), []).append(found[point])
    return {setting: np.array(values) for setting, values in groups.items()}


HEADER = ("A", "reward", "transitions", "seeds", "s' by s", "s' by a", "r by s", "r by a")


def report(groups: Mapping[tuple[int, str, int], np.ndarray]) -> str:
    """The page."""
    rows = [
        (actions, MODELS[model], count, len(values), *(_cell(values[:, block]) for block in range(4)))
        for (actions, model, count), values in groups.items()
    ]
    return page(
        "The derivatives of learned world models, on chains of masses",
        command_of_rows(NAME),
        INTRODUCTION,
        verdict(NAME),
        f"![Relative error of the four blocks against the number of transitions]({NAME}.png)",
        table(HEADER, rows),
    )


def _cell(values: np.ndarray) -> str:
    if len(values) < 3:
        return f"{values.mean():.2f}"
    low, high = mean_interval(values)
    return f"{values.mean():.2f} ({low:.2f} to {high:.2f})"


def draw(groups: Mapping[tuple[int, str, int], np.ndarray]) -> None:
    """Errors against transitions: a panel for each number of actions."""
    sizes = sorted({actions for actions, _, _ in groups})
    options: dict[str, Any] = {"figsize": (2.2 + 3.2 * len(sizes), 4.2), "sharey": True}
    with picture(RESULTS / f"{NAME}.png", columns=len(sizes), **options) as (_, panels):
        for axes, actions in zip(panels, sizes, strict=True):
            for (model, style), (block, color) in itertools.product(_STYLES.items(), _COLORS.items()):
                counts = [count for size, name, count in groups if (size, name) == (actions, model)]
                errors = [groups[actions, model, count][:, Errors._fields.index(block)] for count in counts]
                label = f"{_BLOCKS[block]}, {MODELS[model]}"
                axes.plot(counts, [error.mean() for error in errors], style, color=color, label=label)
            axes.set(xscale="log", yscale="log", xlabel="transitions", title=f"A = {actions}")
            axes.minorticks_off()
            axes.set_xticks(TRANSITIONS, [f"{count:,}".replace(",", " ") for count in TRANSITIONS])
            axes.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
            axes.grid(alpha=0.3, linewidth=0.6)
        panels[0].set_ylabel("relative error of the derivatives")
        panels[-1].legend(frameon=False, fontsize=7, loc="lower left")


_TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_STYLES = {PLAIN: "o-", "separable reward": "s--"}
_COLORS = {"next_by_action": "#1f77b4", "reward_by_state": "#2ca02c", "reward_by_action": "#d95f02"}


_BLOCKS = {"next_by_action": "s' by action", "reward_by_state": "r by state", "reward_by_action": "r by action"}


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser(NAME, __doc__)
    parser.add_argument("--actions", type=int, action="append", choices=ACTIONS, help="default: 4 and 16")
    add_seeds(parser, "600-604")
    return parser


def main() -> None:
    """Computes what is missing, then writes data, page and picture."""
    options = make_parser().parse_args()
    results = Results(RESULTS / f"{NAME}.csv", Point, Errors)
    for actions, model, count in itertools.product(options.actions or (4, 16), MODELS, TRANSITIONS):
        missing = [seed for seed in options.seeds if Point(model, actions, count, seed) not in results.rows]
        if missing:
            results.add(measure(model, actions, count, missing))
            print(actions, model, count, flush=True)
    groups = by_setting(results.rows)
    draw(groups)
    write_text(RESULTS / f"{NAME}.md", report(groups))


if __name__ == "__main__":
    main()
