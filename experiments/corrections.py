"""What a correction against overestimation costs where nothing is maximized: two critics against exact moments.

    python -m experiments.corrections

As experiments/critic_truth.py --longer with the setting of gin/msmmd_cvae.gin, but with two critics and a target of
each, as gin/base.gin has them: the target samples of a transition come from both through a correction of
sobolev.corrections. The policy is fixed, so that nothing overestimates and whatever a correction takes away is bias. It
writes docs/results/corrections.csv, .png and .md; runs that the .csv holds are not run again.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import optax

from experiments import critic_truth
from experiments.critic_truth import BALANCE, BATCH, GAMMA, SIMULATOR, Errors, mean_errors, policy, training_points
from experiments.lib.arguments import base_parser
from experiments.lib.fit import fit
from experiments.lib.pages import command, page, table
from experiments.lib.pictures import draw_dots, picture
from experiments.lib.results import RESULTS, Results
from sobolev import gradient_scales
from sobolev.bellman import sobolev_target
from sobolev.corrections import Correction, DoubleMin, Min, Pool, Truncate
from sobolev.critics import draw_noises
from sobolev.joint import block_sizes, joint_samples
from sobolev.training.logs import write_text
from sobolev.types import Array, Key

SETTING = critic_truth.LONGER[0]
CRITIC = critic_truth.CRITICS[SETTING.critic]
METRIC = critic_truth.METRICS[SETTING.metric](SETTING.estimator)
SIZES = block_sizes(SETTING.gradient, 2, 1)
CORRECTIONS: dict[str, Correction] = {
    "none": Pool(),
    "double_min": DoubleMin(),
    "min": Min(),
    "truncate 1 of 16": Truncate(drop=1),
    "truncate 2 of 16": Truncate(drop=2),
}


class Run(NamedTuple):
    """One training."""

    correction: str
    steps: int
    seed: int


def samples_of_one(
    correction: Correction, params: Any, target: Any, key: Key, s: Array, a: Array
) -> tuple[Array, Array]:
    """Both critics' samples ``[2, N, D]`` and their common target's ``[M, D]`` at one state."""
    key_n, key_xi, key_x = jax.random.split(key, 3)
    n = SIMULATOR.noise(key_n)

    def targets(target: Any, key: Key) -> Array:
        value = partial(CRITIC.value, target)
        xi = draw_noises(CRITIC, key, SETTING.samples)
        return jax.vmap(
            lambda xi: sobolev_target(SIMULATOR.simulate, value, policy, s, a, n, xi, GAMMA, SETTING.gradient)
        )(xi)

    def predictions(params: Any, key: Key) -> Array:
        xi = draw_noises(CRITIC, key, SETTING.samples)
        return joint_samples(CRITIC.value, params, s, a, xi, SETTING.gradient, policy)

    y = jax.vmap(targets)(target, jax.random.split(key_xi))
    return jax.vmap(predictions)(params, jax.random.split(key_x)), correction(y)


def loss(correction: Correction, params: Any, target: Any, key: Key) -> Array:
    """The sum over the critics of the metric's mean over a batch of fresh transitions."""
    key, key_points, key_metric = jax.random.split(key, 3)
    keys = jax.random.split(key, BATCH)
    x, y = jax.vmap(partial(samples_of_one, correction, params, target))(keys, *training_points(key_points, BATCH))
    errors_of = jax.lax.stop_gradient(x.reshape(BATCH, -1, x.shape[-1]))
    scales, _ = BALANCE(BALANCE.init(len(SIZES)), errors_of, y, SIZES)
    x, y = (gradient_scales.apply_scales(scales, z, SIZES) for z in (x, y))
    keys = jax.random.split(key_metric, (2, BATCH))
    return METRIC.over_states(keys[0], x[:, 0], y) + METRIC.over_states(keys[1], x[:, 1], y)


def run(key: Run) -> Errors:
    """The errors of the first of two critics after a training."""

    def init(key: Key) -> Any:
        return jax.vmap(CRITIC.init)(jax.random.split(key))

    of_correction = partial(loss, CORRECTIONS[key.correction])
    params = fit(init, of_correction, key.steps, key.seed, optax.radam, polyak=0.005)
    return critic_truth.errors(SETTING, jax.tree.map(lambda leaf: leaf[0], params))


def draw(found: dict[str, list[Errors]], path: Path) -> None:
    """The error of return and gradient under each correction, a dot per seed."""
    parts = {
        part: [(name, 100 * getattr(error, f"relative_{part}")) for name, errors in found.items() for error in errors]
        for part in ("return", "gradient")
    }
    with picture(path, figsize=(5.5, 2.8)) as (_, (axes,)):
        draw_dots(axes, list(found), parts)
        axes.set_xlabel("error of the mean, % of its size")
        axes.set_xlim(left=0)
        axes.legend(frameon=False)


def cells_of(correction: str, error: Errors) -> tuple[str, ...]:
    """One row of the table."""
    return (
        correction,
        f"{error.mean_return:.3f} ({error.relative_return:.1%})",
        f"{error.mean_gradient:.3f} ({error.relative_gradient:.1%})",
        f"{error.relative_action_gradient:.1%}",
        f"{error.std_return:.3f}",
        f"{error.std_gradient:.3f}",
        f"{error.energy:.3f}",
    )


def report(found: dict[str, list[Errors]], steps: int, seeds: int) -> str:
    """The page."""
    return page(
        "What corrections against overestimation cost where nothing is maximized",
        command("corrections"),
        f"Two critics of {SETTING.samples} samples, {steps} updates, {seeds} seed(s) (mean); else as\n"
        "critic_truth_longer.md. Errors of the means over the true deviation, in brackets over the true mean's size.",
        table(
            ("correction", "mean return", "mean gradient", "its action's part", "std return", "std gradient", "energy"),
            [cells_of(correction, mean_errors(errors)) for correction, errors in found.items()],
        ),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("corrections", __doc__)
    parser.add_argument("--steps", type=int, default=16_000, help="updates; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=2, help="how many; default: %(default)s")
    return parser


def main() -> None:
    """Trains with each correction, then writes data, picture and page."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "corrections.csv", Run, Errors)
    found = {}
    for correction in CORRECTIONS:
        keys = [Run(correction, options.steps, seed) for seed in range(options.seeds)]
        found[correction] = [results.find(key, partial(run, key)) for key in keys]
    draw(found, RESULTS / "corrections.png")
    write_text(RESULTS / "corrections.md", report(found, options.steps, options.seeds))


if __name__ == "__main__":
    main()
