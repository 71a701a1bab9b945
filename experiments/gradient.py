"""Do the gradients help? One method under several values of agent.gradient, seed by seed.

    python -m experiments.gradient --name=reacher --gin_file=gin/envs/reacher.gin --best=-5.9 --seeds=400-409
    python -m experiments.gradient --name=point_mass --gin_file=gin/envs/point_mass.gin --best=8.0 --seeds=30-34

Each value of agent.gradient trains all seeds in one program, as agents/run.py would. Between the return of uniform
actions and the best return known, the experiment finds how many environment steps each run takes to half of the way and
to 80% of it, and how far it gets in the end. It writes docs/results/<name>.csv (all curves), <name>.png and <name>.md.
Seeds that the .csv holds are not trained again: delete it, or its rows, to begin anew.
"""

import argparse
import statistics
from collections.abc import Iterator

import jax
import numpy as np

from experiments.lib.arguments import add_seeds, add_seeds_at_once, base_parser
from experiments.lib.comparison import difference_of_finals, final_returns, first_crossings
from experiments.lib.learning import Arm, Columns, learn_missing, load_job
from experiments.lib.pages import command, page, table
from experiments.lib.pictures import draw_curves
from experiments.lib.results import RESULTS
from sobolev.training import Curve, evaluate
from sobolev.training.logs import write_text
from sobolev.types import Array, Key

GRADIENTS = ("action", "state_action", "none")
EPISODES = 256
HEADER = (
    "gradient",
    "start",
    "half of the way: steps (median, all)",
    "80% of the way",
    "final return (mean, all)",
    "share of the way",
)


def uniform_return(files: tuple[str, ...]) -> float:
    """The mean return of uniform actions."""
    job = load_job(Arm(files))

    def policy(key: Key, s: Array) -> Array:
        keys = jax.random.split(key, s.shape[0])
        return jax.vmap(lambda key: jax.random.uniform(key, (job.env.action_size,), minval=-1.0, maxval=1.0))(keys)

    score = jax.jit(lambda key: evaluate(job.env, policy, key, EPISODES, job.config.episode_length))
    return float(np.mean(score(jax.random.key(0)).returns))


def row_of(gradient: str, curve: Curve, uniform: float, best: float) -> tuple[str, ...]:
    """The cells of one value of agent.gradient."""
    half, most = (first_crossings(curve, uniform + share * (best - uniform)) for share in (0.5, 0.8))
    finals = final_returns(curve)
    return (
        gradient,
        f"{curve.values[:, 0].mean():.2f}",
        f"{statistics.median(half):.0f} ({', '.join(f'{steps:.0f}' for steps in half)})",
        f"{statistics.median(most):.0f}",
        f"{finals.mean():.2f} ({', '.join(f'{value:.2f}' for value in finals)})",
        f"{(finals.mean() - uniform) / (best - uniform):.0%}",
    )


def crossings_from_the_start(curves: dict[str, Curve], best: float) -> str:
    """The steps to half of the way from the return of the untrained policy, which says nothing of learning."""
    start = float(np.mean([curve.values[:, 0] for curve in curves.values()]))
    level = start + 0.5 * (best - start)
    medians = {name: statistics.median(first_crossings(curve, level)) for name, curve in curves.items()}
    every = ", ".join(f"{name} {steps:.0f}" for name, steps in medians.items())
    return f"Half of the way from the untrained policy ({start:.2f}) to the best, steps (median): {every}."


def differences(curves: dict[str, Curve]) -> Iterator[str]:
    """A line for each value of agent.gradient but "none"."""
    for gradient, curve in curves.items():
        if gradient != "none":
            difference = difference_of_finals(curve, curves["none"])
            yield f"Final return, {gradient} less none, seed by seed: {difference}."


def report(title: str, curves: dict[str, Curve], uniform: float, best: float) -> str:
    """The page."""
    return page(
        f"{title}: the gradients, on and off",
        command("gradient"),
        f"Uniform actions return {uniform:.2f}, the best policy known {best:.2f}. Steps are those of the first\n"
        "evaluation at or above the level, warm-up included; the final return is the mean of the last three.",
        table(HEADER, [row_of(gradient, curve, uniform, best) for gradient, curve in curves.items()]),
        crossings_from_the_start(curves, best),
        "\n".join(differences(curves)),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("gradient", __doc__)
    parser.add_argument("--name", required=True, help="of the files in docs/results")
    parser.add_argument("--title", help="of the page and the picture; default: the name")
    parser.add_argument("--method", default="gin/msmmd_cvae.gin", help="default: %(default)s")
    parser.add_argument("--gin_file", action="append", default=[], help="added to the method")
    parser.add_argument("--best", type=float, required=True, help="the best return known")
    add_seeds(parser, "0-4")
    add_seeds_at_once(parser)
    return parser


def main() -> None:
    """Trains what is missing, then writes data, picture and page."""
    options = make_parser().parse_args()
    name, title, best = options.name, options.title or options.name, options.best
    files = (options.method, *options.gin_file)
    arms = {gradient: Arm(files, (f"agent.gradient = '{gradient}'",)) for gradient in GRADIENTS}
    curves = learn_missing(name, arms, options.seeds, Columns(arm="gradient"), options.seeds_at_once)
    uniform = uniform_return(files)
    levels = {"uniform": uniform, "80%": uniform + 0.8 * (best - uniform), "best known": best}
    shown = "95% bootstrap interval" if len(options.seeds) > 2 else "and each run"
    of_picture = f"{title}: mean over {len(options.seeds)} seeds, {shown}"
    labeled = {f"gradient = '{gradient}'": curve for gradient, curve in curves.items()}
    draw_curves(labeled, levels, RESULTS / f"{name}.png", of_picture)
    text = report(title, curves, uniform, best)
    write_text(RESULTS / f"{name}.md", text)
    print(text)


if __name__ == "__main__":
    main()
