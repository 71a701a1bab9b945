"""Does a critic learn the law? TD on the linear-quadratic task with its true step, against the exact moments.

    python experiments/critic_truth.py

The generative critic is trained by sobolev_target, joint_samples and a metric alone: no agent, no learned model, a
fixed linear policy, states and actions uniform. Varied are the metric, its statistic, whether the target samples of a
transition share one noise of the step ("one", as inference has it) or have their own ("pooled"), and the gradient. It
writes docs/results/critic_truth.csv, critic_truth.png and critic_truth.md (the verdict).
"""

import argparse
import csv
import itertools
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from agents.environments.exact import linear_quadratic  # noqa: E402
from agents.environments.exact.linear import restrict  # noqa: E402
from agents.reporting import write_text  # noqa: E402
from sobolev import metrics  # noqa: E402
from sobolev.bellman import sobolev_target  # noqa: E402
from sobolev.critics import make_generative  # noqa: E402
from sobolev.joint import joint_samples  # noqa: E402
from sobolev.types import Array, Key, Spec  # noqa: E402

GAMMA, POLYAK, RATE, BATCH, SAMPLES = 0.8, 0.01, 1e-3, 64, 8
TASK = linear_quadratic.LinearQuadratic(
    jnp.array([[1.0, 0.1], [-0.1, 0.9]]),
    jnp.array([[0.0], [0.3]]),
    0.3 * jnp.eye(2),
    -jnp.eye(2),
    jnp.array([[-0.1]]),
    jnp.zeros((2, 1)),
)
GAIN = jnp.array([[-0.3, -0.5]])
CRITIC = make_generative(Spec(2, 1), hidden_sizes=(64, 64), noise_size=8)
SIMULATOR = linear_quadratic.simulator(TASK)


class Setting(NamedTuple):
    """One combination."""

    metric: str
    estimator: str
    noise: str
    gradient: str


class Errors(NamedTuple):
    """Of return and gradient: the error of the means over the true deviation, and the ratio of the deviations.

    Root mean squares over test points (and components of the gradient) of the errors; medians of the ratios.
    """

    mean_return: float
    std_return: float
    mean_gradient: float
    std_gradient: float


SETTINGS = [
    Setting(*choice)
    for choice in itertools.product(
        ("mmd", "msmmd", "shared msmmd"), ("u", "v"), ("pooled", "one"), ("action", "state_action", "closed_loop")
    )
    if choice[:2] != ("shared msmmd", "v")
]


def policy(s: Array) -> Array:
    """The fixed policy."""
    return GAIN @ s


def draw_points(key: Key, count: int) -> tuple[Array, Array]:
    """States and actions, uniform: ``[count, S]`` and ``[count, A]``."""
    key_s, key_a = jax.random.split(key)
    return jax.random.uniform(key_s, (count, 2), minval=-1.5, maxval=1.5), jax.random.uniform(
        key_a, (count, 1), minval=-1.0, maxval=1.0
    )


def noises(key: Key, count: int) -> Array:
    """Noises of the critic, ``[count, ...]``."""
    return jax.vmap(CRITIC.noise)(jax.random.split(key, count))


def loss(setting: Setting, metric: Any, params: Any, target: Any, key: Key) -> Array:
    """The mean of the metric over a batch of fresh transitions."""

    def one(key: Key, s: Array, a: Array) -> tuple[Array, Array, Array]:
        key_x, key_xi, key_n, key_metric = jax.random.split(key, 4)
        keys = jax.random.split(key_n, SAMPLES)
        n = jax.vmap(SIMULATOR.noise)(keys if setting.noise == "pooled" else jnp.repeat(keys[:1], SAMPLES))
        value = partial(CRITIC.value, target)
        backup = partial(sobolev_target, SIMULATOR.simulate, value, policy, s, a)
        y = jax.vmap(lambda n, xi: backup(n, xi, GAMMA, setting.gradient))(n, noises(key_xi, SAMPLES))
        x = joint_samples(CRITIC.value, params, s, a, noises(key_x, SAMPLES), setting.gradient, policy)
        return key_metric, x, y

    key, key_points = jax.random.split(key)
    samples = jax.vmap(one)(jax.random.split(key, BATCH), *draw_points(key_points, BATCH))
    return metrics.mean_over_states(metric, *samples)


def train(setting: Setting, steps: int, seed: int) -> Any:
    """The critic's parameters after ``steps`` updates; the learning rate falls to 0 by a cosine."""
    name, shared = setting.metric.rsplit(" ", 1)[-1], setting.metric.startswith("shared")
    options = {"num_directions": 16, "num_climbs": 1, "num_steps": 3, "shared": shared} if name == "msmmd" else {}
    metric = metrics.registry.make(name, estimator=setting.estimator, **options)
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, steps))
    key_init, key = jax.random.split(jax.random.key(seed))
    params = CRITIC.init(key_init)
    slope: Callable[..., Any] = jax.grad(partial(loss, setting, metric))

    def update(carry: Any, key: Key) -> tuple[Any, None]:
        params, target, state = carry
        change, state = optimizer.update(slope(params, target, key), state)
        params = optax.apply_updates(params, change)
        return (params, optax.incremental_update(params, target, POLYAK), state), None

    run = jax.jit(lambda carry, keys: jax.lax.scan(update, carry, keys)[0])
    return run((params, params, optimizer.init(params)), jax.random.split(key, steps))[0]


def errors(setting: Setting, params: Any, points: int = 64, count: int = 4000) -> Errors:
    """Moments of the critic's samples at test points against the exact ones."""
    key_points, key = jax.random.split(jax.random.key(1234))
    law = linear_quadratic.fixed_point(TASK, GAIN, GAMMA)

    def at(key: Key, s: Array, a: Array) -> tuple[Array, ...]:
        z = joint_samples(CRITIC.value, params, s, a, noises(key, count), setting.gradient, policy)
        exact = restrict(linear_quadratic.joint_moments(TASK, GAMMA, law, s, a), setting.gradient, GAIN)
        return jnp.mean(z, axis=0), jnp.std(z, axis=0), exact.mean, jnp.sqrt(jnp.diag(exact.covariance))

    found = jax.jit(jax.vmap(at))(jax.random.split(key, points), *draw_points(key_points, points))
    mean, std, exact_mean, exact_std = map(np.asarray, found)
    bias, ratio = (mean - exact_mean) / exact_std, std / exact_std
    return Errors(
        *(
            float(number)
            for columns in (slice(0, 1), slice(1, None))
            for number in (np.sqrt(np.mean(bias[:, columns] ** 2)), np.median(ratio[:, columns]))
        )
    )


def draw(rows: list[tuple[Setting, Errors]], path: Path) -> None:
    """Errors of the means and ratios of the deviations, of all settings."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    labels = [" ".join(setting) for setting, _ in rows][::-1]
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 0.3 * len(rows) + 1.5), sharey=True, layout="constrained")
    for axes, kind, title in zip(
        panels,
        ("mean", "std"),
        ("error of the mean, in true deviations", "deviation, learned / true"),
        strict=True,
    ):
        for part, marker in (("return", "o"), ("gradient", "x")):
            numbers = [getattr(error, f"{kind}_{part}") for _, error in rows][::-1]
            axes.plot(numbers, range(len(rows)), marker, label=part)
        axes.axvline(0.0 if kind == "mean" else 1.0, color="grey", linewidth=0.8, linestyle=":")
        axes.set_title(title, fontsize=10)
        axes.set_yticks(range(len(rows)), labels, fontsize=8)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", frameon=False, ncols=2)
    figure.savefig(path, dpi=120)


def report(rows: list[tuple[Setting, Errors]], command: str, steps: int, seeds: int) -> str:
    """The table, as Markdown."""
    lines = [
        "# Does a critic learn the law of return and gradient?",
        "",
        f"`{command}`",
        "",
        f"Linear-quadratic task, gamma {GAMMA}, true step, {steps} updates of {BATCH} fresh transitions with {SAMPLES}",
        f"samples, {seeds} seed(s) each (mean). Errors of the means are in units of the true deviation (root mean",
        "square over test points and components); deviations are learned over true (median).",
        "",
        "| metric | statistic | noise of step | gradient | mean return | mean gradient | std return | std gradient |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for setting, error in rows:
        lines.append(
            f"| {' | '.join(setting)} | {error.mean_return:.3f} | {error.mean_gradient:.3f} "
            f"| {error.std_return:.3f} | {error.std_gradient:.3f} |"
        )
    return "\n".join(lines) + "\n"


Found = dict[tuple[Setting, int], Errors]


def read_rows(path: Path) -> Found:
    """What was found before: it is not run again. Delete the file to begin anew."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {(Setting(*row[:4]), int(row[4])): Errors(*map(float, row[5:])) for row in rows}


def write_rows(found: Found, path: Path) -> None:
    """All that was found, one setting and seed a line."""
    lines = [(*Setting._fields, "seed", *Errors._fields)]
    lines += [(*setting, seed, *values) for (setting, seed), values in found.items()]
    write_text(path, "".join(",".join(map(str, line)) + "\n" for line in lines))


def main() -> None:
    """Trains every setting, then writes data, picture and verdict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    results, rows = ROOT / "docs" / "results", []
    known = read_rows(results / "critic_truth.csv")
    for setting in SETTINGS:
        start = time.perf_counter()
        for seed in range(options.seeds):
            if (setting, seed) not in known:
                known[setting, seed] = errors(setting, train(setting, options.steps, seed))
                write_rows(known, results / "critic_truth.csv")
        found = [known[setting, seed] for seed in range(options.seeds)]
        rows.append((setting, Errors(*map(float, np.mean(found, axis=0)))))
        print(" ".join(setting), rows[-1][1], f"{time.perf_counter() - start:.0f} s", flush=True)
    draw(rows, results / "critic_truth.png")
    command = " ".join(["python experiments/critic_truth.py", *sys.argv[1:]])
    write_text(results / "critic_truth.md", report(rows, command, options.steps, options.seeds))


if __name__ == "__main__":
    main()
