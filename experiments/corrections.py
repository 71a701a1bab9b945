"""What a correction against overestimation costs where nothing is maximised: two critics against the exact law.

    python experiments/corrections.py

As experiments/critic_truth.py --longer with the setting of gin/msmmd_cvae.gin, but two critics with a target each, as
gin/base.gin has them: a transition's target samples are made of both by a correction of sobolev.bellman. The policy is
fixed, so that nothing overestimates and whatever a correction takes away is bias. It writes
docs/results/corrections.csv, .png and .md; runs that the .csv holds are not run again.
"""

import argparse
import csv
import io
import sys
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

import jax  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from sobolev.training.logs import write_text  # noqa: E402
from experiments import critic_truth  # noqa: E402
from experiments.critic_truth import BALANCE, BATCH, GAMMA, SIMULATOR, Errors, policy, training_points  # noqa: E402
from experiments.fit import fit  # noqa: E402
from sobolev import gradient_scales, bellman, metrics  # noqa: E402
from sobolev.critics import draw_noises  # noqa: E402
from sobolev.joint import block_sizes, joint_samples  # noqa: E402
from sobolev.types import Array, Key  # noqa: E402

SETTING = critic_truth.LONGER[0]
CRITIC = critic_truth.CRITICS[SETTING.critic]
METRIC = critic_truth.METRICS[SETTING.metric](SETTING.estimator)
SIZES = block_sizes(SETTING.gradient, 2, 1)
# By name, the correction and how many samples it drops.
CORRECTIONS = {
    "none": ("none", 0),
    "double_min": ("double_min", 0),
    "min": ("min", 0),
    "truncate 1 of 16": ("truncate", 1),
    "truncate 2 of 16": ("truncate", 2),
}
Found = dict[tuple[str, int], Errors]


def samples_of_one(correction: str, params: Any, target: Any, key: Key, s: Array, a: Array) -> tuple[Array, Array]:
    """Both critics' samples ``[2, N, D]`` and their common target's ``[M, D]`` at one state."""
    key_n, key_xi, key_x = jax.random.split(key, 3)
    n = SIMULATOR.noise(key_n)

    def targets(target: Any, key: Key) -> Array:
        value = partial(CRITIC.value, target)
        xi = draw_noises(CRITIC, key, SETTING.samples)
        return jax.vmap(
            lambda xi: bellman.sobolev_target(SIMULATOR.simulate, value, policy, s, a, n, xi, GAMMA, SETTING.gradient)
        )(xi)

    def predictions(params: Any, key: Key) -> Array:
        xi = draw_noises(CRITIC, key, SETTING.samples)
        return joint_samples(CRITIC.value, params, s, a, xi, SETTING.gradient, policy)

    y = jax.vmap(targets)(target, jax.random.split(key_xi))
    name, drop = CORRECTIONS[correction]
    return jax.vmap(predictions)(params, jax.random.split(key_x)), bellman.overestimation.get(name)(y, drop)


def loss(correction: str, params: Any, target: Any, key: Key) -> Array:
    """The sum over the critics of the metric's mean over a batch of fresh transitions."""
    key, key_points, key_metric = jax.random.split(key, 3)
    keys = jax.random.split(key, BATCH)
    x, y = jax.vmap(partial(samples_of_one, correction, params, target))(keys, *training_points(key_points, BATCH))
    errors_of = jax.lax.stop_gradient(x.reshape(BATCH, -1, x.shape[-1]))
    scales, _ = BALANCE(BALANCE.init(len(SIZES)), errors_of, y, SIZES)
    x, y = (gradient_scales.apply_scales(scales, z, SIZES) for z in (x, y))
    keys = jax.random.split(key_metric, (2, BATCH))
    return sum(metrics.mean_over_states(METRIC, keys[i], x[:, i], y) for i in range(2))


def run(correction: str, steps: int, seed: int) -> Errors:
    """The errors of the first of two critics after ``steps`` updates."""

    def init(key: Key) -> Any:
        return jax.vmap(CRITIC.init)(jax.random.split(key))

    params = fit(init, partial(loss, correction), steps, seed, optax.radam, polyak=0.005)
    return critic_truth.errors(SETTING, jax.tree.map(lambda leaf: leaf[0], params))


def read_rows(path: Path) -> Found:
    """What was found before."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {(row[0], int(row[1])): Errors(*map(float, row[2:])) for row in rows}


def write_rows(found: Found, path: Path) -> None:
    """All that was found, one correction and seed a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("correction", "seed", *Errors._fields))
    writer.writerows((*key, *values) for key, values in found.items())
    write_text(path, text.getvalue())


def draw(found: Found, path: Path) -> None:
    """The error of return and gradient under each correction, a dot a seed."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.5, 2.8), layout="constrained")
    names = list(CORRECTIONS)[::-1]
    for part, marker in (("return", "o"), ("gradient", "x")):
        errors = [100 * getattr(error, f"relative_{part}") for error in found.values()]
        axes.plot(errors, [names.index(name) for name, _ in found], marker, label=part)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("error of the mean, % of its size")
    axes.set_xlim(left=0)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def report(found: Found, command: str, steps: int, seeds: int) -> str:
    """The table, as Markdown."""
    lines = [
        "# What corrections against overestimation cost where nothing is maximised",
        "",
        f"`{command}`",
        "",
        f"Two critics of {SETTING.samples} samples, {steps} updates, {seeds} seed(s) (mean); else as",
        "critic_truth_longer.md. Errors of the means over the true deviation, in brackets over the true mean's size.",
        "",
        "| correction | mean return | mean gradient | its action's part | std return | std gradient | energy |",
        "|---|---|---|---|---|---|---|",
    ]
    for correction in CORRECTIONS:
        rows = [error for (name, _), error in found.items() if name == correction]
        error = Errors(*map(float, np.mean(rows, axis=0)))
        lines.append(
            f"| {correction} | {error.mean_return:.3f} ({error.relative_return:.1%}) "
            f"| {error.mean_gradient:.3f} ({error.relative_gradient:.1%}) | {error.relative_action_gradient:.1%} "
            f"| {error.std_return:.3f} | {error.std_gradient:.3f} | {error.energy:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Trains with each correction, then writes data, picture and table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=16_000)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    results = ROOT / "docs" / "results"
    found = read_rows(results / "corrections.csv")
    for correction in CORRECTIONS:
        for seed in range(options.seeds):
            if (correction, seed) not in found:
                found[correction, seed] = run(correction, options.steps, seed)
                print(correction, seed, found[correction, seed], flush=True)
                write_rows(found, results / "corrections.csv")
    draw(found, results / "corrections.png")
    command = " ".join(["python experiments/corrections.py", *sys.argv[1:]])
    write_text(results / "corrections.md", report(found, command, options.steps, options.seeds))


if __name__ == "__main__":
    main()
