"""How much of the true slope does the actor see? The critics' action gradient against the simulator's.

    python -m experiments.slopes --noise=additive_dynamics
    python -m experiments.slopes --noise=multiplicative_observation

gin/msmmd_cvae.gin learns reacher under one of the papers' perturbations, with gradients and without. At intervals, at
states of the policy's own episodes, the slope of the return in the action is taken from three places:

    truth        central differences of the simulator's discounted return, see sobolev.training.true_slopes
    critic       the mean of d_a Z over critics and samples: what the actor ascends
    model, H     d_a of H transitions of the learned world model under the policy, the critics' mean behind them

all without the control cost's own slope, -2 a, which needs no learning. Cosine and slope (the regression of the
estimate on the truth) are over all states and components together. It writes docs/results/slopes.csv and .md; seeds
that the .csv holds are not run again.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lib.arguments import add_seeds, base_parser
from experiments.lib.learning import Arm, load_job
from experiments.lib.pages import command_of_rows, page, table
from experiments.lib.results import RESULTS, Results
from sobolev.agent import AgentState
from sobolev.training import Job, TrueSlopes, loop, true_slopes
from sobolev.training.logs import write_text
from sobolev.training.slopes import compare, critics_value, mean_slopes, model_value
from sobolev.types import Array, Params

NOISES = {
    "additive_dynamics": "gin/noise/additive_dynamics.gin",
    "multiplicative_observation": "gin/noise/multiplicative_observation.gin",
}
GRADIENTS = ("none", "state_action")
UNROLLED = (1, 5, 15, 40)
STATES = 48
REPEATS = 4
SAMPLES = 32
HORIZON = 81
WIDTH = 0.1
EVERY = 1_500


class Point(NamedTuple):
    """What was measured, and when."""

    noise: str
    gradient: str
    seed: int
    env_steps: int
    estimate: str


class Agreement(NamedTuple):
    """Of an estimate with the truth, over all states and components."""

    cosine: float
    slope: float


class Slopes(NamedTuple):
    """What is measured in one setting, as compiled functions.

    Fields:
        truth: ``(actor params) -> TrueSlopes``, at STATES states.
        estimates: by name, ``(agent state, truth) -> slope[STATES, A]``.
    """

    truth: Callable[[Params], TrueSlopes]
    estimates: dict[str, Callable[[AgentState, TrueSlopes], Array]]


def make_slopes(job: Job) -> Slopes:
    """The measurements, for an environment and its agent."""
    config, env, agent = job

    def truth(actor: Params) -> TrueSlopes:
        return true_slopes(
            env,
            jax.vmap(partial(agent.act, actor, jax.random.key(0))),
            config.agent.gamma,
            length=config.episode_length,
            num_states=STATES,
            horizon=HORIZON,
            step=WIDTH,
            num_draws=REPEATS,
        )

    def estimate(value: Any, repeats: int) -> Any:
        def over_states(state: AgentState, at: TrueSlopes) -> Array:
            return mean_slopes(partial(value, agent, state, num_samples=SAMPLES), at, jax.random.key(1), repeats)

        return jax.jit(over_states)

    unrolled = {f"model, {steps}": estimate(partial(model_value, steps=steps), 8) for steps in UNROLLED}
    return Slopes(jax.jit(truth), {"critic": estimate(critics_value, 1)} | unrolled)


def agreements(slopes: Slopes, state: AgentState) -> Iterator[tuple[str, Agreement]]:
    """Each estimate with its agreement."""
    truth = slopes.truth(state.params.actor)
    for name, estimate in slopes.estimates.items():
        found = compare(truth.slope + 2 * truth.a, estimate(state, truth) + 2 * truth.a)
        yield name, Agreement(float(found.overall_cosine), float(found.regression))


def measure(noise: str, gradient: str, seeds: list[int], total_steps: int) -> Iterator[dict[Point, Agreement]]:
    """The rows of one setting, those of a seed at a time."""
    bindings = (f"agent.gradient = '{gradient}'", f"train.total_steps = {total_steps}")
    job = load_job(Arm(("gin/msmmd_cvae.gin", "gin/envs/reacher.gin", NOISES[noise]), bindings))
    config, slopes = job.config.loop, make_slopes(job)
    init = jax.jit(partial(loop.init, job.env, job.agent, config))
    fit_normalizers = jax.jit(partial(loop.fit_normalizers, job.agent, config))
    advance = jax.jit(partial(loop.advance, job.env, job.agent, config), donate_argnums=0)
    for seed in seeds:
        found: dict[Point, Agreement] = {}
        state = loop.warm_up(config, init(jax.random.key(seed)), fit_normalizers, advance)
        while (steps := int(state.env_steps)) < total_steps:
            until = min(total_steps, EVERY * (steps // EVERY + 1))
            state, _ = advance(state, jnp.int32((until - steps) // config.num_envs), loop.LEARN)
            for estimate, agreement in agreements(slopes, state.agent):
                found[Point(noise, gradient, seed, until, estimate)] = agreement
        yield found


def cell_of(found: Mapping[Point, Agreement], estimate: str) -> str:
    """The means over seeds."""
    cosine, slope = np.mean([agreement for point, agreement in found.items() if point.estimate == estimate], axis=0)
    return f"{cosine:.2f} / {slope:.2f}"


def report(found: Mapping[Point, Agreement]) -> str:
    """The page."""
    estimates, rows = ("critic", *(f"model, {steps}" for steps in UNROLLED)), []
    for setting in dict.fromkeys((point.noise, point.gradient, point.env_steps) for point in sorted(found)):
        here = {p: value for p, value in found.items() if (p.noise, p.gradient, p.env_steps) == setting}
        noise, gradient, steps = setting
        seeds = len({point.seed for point in here})
        rows.append((noise, gradient, seeds, steps, *(cell_of(here, estimate) for estimate in estimates)))
    return page(
        "The slope that the actor climbs, against the simulator's",
        command_of_rows("slopes"),
        "Reacher, gin/msmmd_cvae.gin. Cosine / slope of the estimate on the truth, 1 / 1 where it is right; means "
        "over\nseeds. `model, H`: the learned world model unrolled for H transitions, the critics behind.",
        table(("noise", "gradient", "seeds", "steps", *estimates), rows),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("slopes", __doc__)
    parser.add_argument("--noise", choices=NOISES, action="append", help="default: both")
    add_seeds(parser, "0-2")
    parser.add_argument("--steps", type=int, default=4_500, help=f"a multiple of {EVERY}; default: %(default)s")
    return parser


def main() -> None:
    """Runs what is missing, then writes data and page."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "slopes.csv", Point, Agreement)
    for noise in options.noise or NOISES:
        for gradient in GRADIENTS:
            done = {point.seed for point in results.rows if (point.noise, point.gradient) == (noise, gradient)}
            missing = [seed for seed in options.seeds if seed not in done]
            for of_seed in measure(noise, gradient, missing, options.steps) if missing else ():
                results.add(of_seed)
    write_text(RESULTS / "slopes.md", report(results.rows))


if __name__ == "__main__":
    main()
