"""Does a critic learn the law? TD on the linear-quadratic task with its true step, against the exact law.

    python experiments/critic_truth.py
    python experiments/critic_truth.py --longer --seeds=3 --steps=64000

A critic is trained by sobolev_target, joint_samples, the balance of gin/base.gin (from each batch's own errors) and a
metric alone: no agent, no learned model, a fixed linear policy. Networks, samples, batches, optimiser and target are
those of gin/base.gin, but for the learning rate, which falls to 0 by a cosine: at a constant one the critic moves about
its fixed point. States in training are standard normal, so that the next states are among them (at the edges of a box
the critic would bootstrap from where it was not trained); the test points are uniform in a box up to 1.5, whose corners
training rarely sees; actions are uniform in both. Varied are the critic, the metric, its statistic, whether the target
samples of a transition share one noise of the step ("one", as inference has it) or have their own ("pooled"), the
gradient, and the number of samples; with --longer, only what gin/msmmd_cvae.gin takes and its closest relatives. It
writes docs/results/critic_truth.csv, critic_truth.png and critic_truth.md (with --longer, critic_truth_longer.*).
"""

import argparse
import csv
import io
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

from sobolev.environments.exact import linear_quadratic  # noqa: E402
from sobolev.environments.exact.linear import restrict  # noqa: E402
from sobolev.training.logs import write_text  # noqa: E402
from experiments.fit import fit  # noqa: E402
from sobolev import gradient_scales, critics, metrics  # noqa: E402
from sobolev.bellman import sobolev_target  # noqa: E402
from sobolev.critics import draw_noises  # noqa: E402
from sobolev.joint import block_sizes, joint_samples, sobolev_sample  # noqa: E402
from sobolev.types import Array, Key, Spec  # noqa: E402

GAMMA, BATCH = 0.8, 64
TASK = linear_quadratic.LinearQuadratic(
    jnp.array([[1.0, 0.1], [-0.1, 0.9]]),
    jnp.array([[0.0], [0.3]]),
    0.3 * jnp.eye(2),
    -jnp.eye(2),
    jnp.array([[-0.1]]),
    jnp.zeros((2, 1)),
)
GAIN = jnp.array([[-0.3, -0.5]])
SPEC = Spec(state_size=2, action_size=1)
CRITICS = {
    "generative": critics.make_generative(SPEC, hidden_sizes=(64, 64), noise_size=16),
    "quantile": critics.make_quantile(SPEC, hidden_sizes=(64, 64), embedding_size=16),
}
SIMULATOR = linear_quadratic.simulator(TASK)
# The effort of gin/msmmd_cvae.gin.
EFFORT = {"num_directions": 16, "num_climbs": 1, "num_steps": 3}
METRICS: dict[str, Callable[[str], metrics.Metric]] = {
    "mmd": lambda estimator: metrics.MMD(estimator=estimator),
    "msmmd": lambda estimator: metrics.MSMMD(estimator=estimator, **EFFORT),
    "msmmd, own directions": lambda estimator: metrics.MSMMD(estimator=estimator, **EFFORT, cross_fit=False),
    "quantile_huber": lambda estimator: metrics.QuantileHuber(),
}
GRADIENTS = ("action", "state_action", "closed_loop")
BALANCE = gradient_scales.Balanced(decay=0.0)


class Setting(NamedTuple):
    """One combination."""

    critic: str
    metric: str
    estimator: str
    noise: str
    gradient: str
    samples: int


class Errors(NamedTuple):
    """Of return and gradient at test points: what the exact law says of the critic's samples.

    The errors of the means, root mean squares over points and components, over the true deviation ("mean") and over
    the root mean square of the true mean ("relative"), of the action's part of the gradient also alone; the ratio of
    the deviations, median ("std"); and the energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| of the joint laws, in
    units of the true deviations, mean.
    """

    mean_return: float
    mean_gradient: float
    relative_return: float
    relative_gradient: float
    relative_action_gradient: float
    std_return: float
    std_gradient: float
    energy: float


LONGER = [
    Setting("generative", "msmmd", "u", "one", "state_action", 8),  # gin/msmmd_cvae.gin
    Setting("generative", "msmmd", "u", "one", "action", 8),  # gin/msmmd_action.gin
    Setting("generative", "mmd", "u", "one", "state_action", 8),  # gin/mmd_cvae.gin
]
SETTINGS = [
    *(
        Setting("generative", metric, "u", noise, gradient, 8)
        for metric in ("mmd", "msmmd", "msmmd, own directions")
        for noise in ("pooled", "one")
        for gradient in GRADIENTS
    ),
    *(
        Setting("generative", metric, "v", "pooled", "state_action", 8)
        for metric in ("mmd", "msmmd", "msmmd, own directions")
    ),
    *(
        Setting("generative", metric, "u", "one", "state_action", samples)
        for metric in ("mmd", "msmmd", "msmmd, own directions")
        for samples in (4, 32)
    ),
    *(
        Setting("quantile", metric, "u", "one", gradient, 8)
        for metric in ("msmmd", "quantile_huber")
        for gradient in ("action", "state_action")
    ),
]


def policy(s: Array) -> Array:
    """The fixed policy."""
    return GAIN @ s


def draw_actions(key: Key, count: int) -> Array:
    """Actions, uniform: ``[count, A]``."""
    return jax.random.uniform(key, (count, 1), minval=-1.0, maxval=1.0)


def training_points(key: Key, count: int) -> tuple[Array, Array]:
    """States, standard normal, and actions: ``[count, S]`` and ``[count, A]``."""
    key_s, key_a = jax.random.split(key)
    return jax.random.normal(key_s, (count, 2)), draw_actions(key_a, count)


def test_points(key: Key, count: int) -> tuple[Array, Array]:
    """States, uniform in a box, and actions: ``[count, S]`` and ``[count, A]``."""
    key_s, key_a = jax.random.split(key)
    return jax.random.uniform(key_s, (count, 2), minval=-1.5, maxval=1.5), draw_actions(key_a, count)


def loss(setting: Setting, metric: metrics.Metric, params: Any, target: Any, key: Key) -> Array:
    """The mean of the metric over a batch of fresh transitions."""
    critic, count = CRITICS[setting.critic], setting.samples
    sizes = block_sizes(setting.gradient, SPEC.state_size, SPEC.action_size)

    def one(key: Key, s: Array, a: Array) -> tuple[Array, Array, Array, Array | None]:
        key_x, key_xi, key_n, key_metric = jax.random.split(key, 4)
        keys = jax.random.split(key_n, count)
        n = jax.vmap(SIMULATOR.noise)(keys if setting.noise == "pooled" else jnp.repeat(keys[:1], count))
        backup = partial(sobolev_target, SIMULATOR.simulate, partial(critic.value, target), policy, s, a)
        xi = draw_noises(critic, key_xi, count)
        y = jax.vmap(lambda n, xi: backup(n, xi, GAMMA, setting.gradient))(n, xi)
        noise = draw_noises(critic, key_x, count)
        x = joint_samples(critic.value, params, s, a, noise, setting.gradient, policy)
        return key_metric, x, y, None if critic.level is None else jax.vmap(critic.level)(noise)

    key, key_points = jax.random.split(key)
    keys, x, y, levels = jax.vmap(one)(jax.random.split(key, BATCH), *training_points(key_points, BATCH))
    scales, _ = BALANCE(BALANCE.init(len(sizes)), jax.lax.stop_gradient(x), y, sizes)
    x, y = (gradient_scales.apply_scales(scales, z, sizes) for z in (x, y))
    return metrics.mean_over_states(metric, keys, x, y, levels)


def train(setting: Setting, steps: int, seed: int) -> Any:
    """The critic's parameters after ``steps`` updates."""
    metric = METRICS[setting.metric](setting.estimator)
    init = CRITICS[setting.critic].init
    return fit(init, partial(loss, setting, metric), steps, seed, optax.radam, polyak=0.005)


def rollouts(s: Array, a: Array, key: Key, gradient: str, count: int, steps: int = 60) -> Array:
    """Joint samples of the discounted return and its gradients, exact but for gamma^steps, ``[count, D]``."""

    def value(s: Array, a: Array, noises: Array) -> Array:
        def step(carry: tuple[Array, Array, Array], n: Array) -> tuple[tuple[Array, Array, Array], None]:
            s, a, total = carry
            s_next, r, _ = SIMULATOR.simulate(s, a, n[:-1])
            return (s_next, policy(s_next), total + n[-1] * r), None

        start = (s, a, jnp.zeros(()))
        return jax.lax.scan(step, start, jnp.column_stack([noises, GAMMA ** jnp.arange(steps)]))[0][2]

    noises = jax.vmap(jax.vmap(SIMULATOR.noise))(jax.random.split(key, (count, steps)))
    return jax.vmap(lambda n: sobolev_sample(lambda s, a: value(s, a, n), s, a, gradient, policy))(noises)


def errors(setting: Setting, params: Any, points: int = 64, count: int = 4000, of_energy: int = 1000) -> Errors:
    """The critic's samples at test points against the exact moments, and against rollouts."""
    key_points, key = jax.random.split(jax.random.key(1234))
    law = linear_quadratic.fixed_point(TASK, GAIN, GAMMA)
    critic = CRITICS[setting.critic]

    def at(key: Key, s: Array, a: Array) -> tuple[Array, ...]:
        key_z, key_truth = jax.random.split(key)
        z = joint_samples(critic.value, params, s, a, draw_noises(critic, key_z, count), setting.gradient, policy)
        exact = restrict(linear_quadratic.joint_moments(TASK, GAMMA, law, s, a), setting.gradient, GAIN)
        std = jnp.sqrt(jnp.diag(exact.covariance))
        truth = rollouts(s, a, key_truth, setting.gradient, of_energy)
        energy = 2 * metrics.mmd2(z[:of_energy] / std, truth / std, metrics.Energy())
        return jnp.mean(z, axis=0), jnp.std(z, axis=0), exact.mean, std, energy

    states, actions = test_points(key_points, points)
    found = jax.jit(lambda keys: jax.lax.map(lambda x: at(*x), (keys, states, actions)))(jax.random.split(key, points))
    mean, std, exact_mean, exact_std, energy = map(np.asarray, found)
    blocks = (slice(0, 1), slice(1, None))

    def relative(block: slice) -> float:
        return rms((mean - exact_mean)[:, block]) / rms(exact_mean[:, block])

    return Errors(
        *(rms(((mean - exact_mean) / exact_std)[:, block]) for block in blocks),
        *(relative(block) for block in (*blocks, slice(1, 2))),
        *(float(np.median((std / exact_std)[:, block])) for block in blocks),
        float(np.mean(energy)),
    )


def rms(x: np.ndarray) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(x**2)))


def label(setting: Setting) -> str:
    """One line for a picture."""
    return " ".join(map(str, setting))


def draw(rows: list[tuple[Setting, Errors]], path: Path) -> None:
    """Errors of the means and ratios of the deviations, of all settings."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    labels = [label(setting) for setting, _ in rows][::-1]
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
        f"Linear-quadratic task, gamma {GAMMA}, true step, {steps} updates of {BATCH} transitions, {seeds} seed(s)",
        "(mean). States normal in training, uniform up to 1.5 in the test. Errors of the means: root mean squares",
        "over 64 test points and components over the true deviation, and in brackets over that of the true mean (the",
        "gradient's of all its components, and of the action's alone). Deviations: learned over true, median. Energy",
        "distance: of the joint laws, components in units of their true deviations, against 1000 rollouts a point.",
        "",
        "| critic | metric | statistic | noise of step | gradient | samples | mean return | mean gradient | std return "
        "| std gradient | energy distance |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for setting, error in rows:
        lines.append(
            f"| {' | '.join(map(str, setting))} | {error.mean_return:.3f} ({error.relative_return:.1%}) "
            f"| {error.mean_gradient:.3f} ({error.relative_gradient:.1%}, {error.relative_action_gradient:.1%}) "
            f"| {error.std_return:.3f} | {error.std_gradient:.3f} | {error.energy:.3f} |"
        )
    return "\n".join(lines) + "\n"


Found = dict[tuple[Setting, int, int], Errors]


def read_rows(path: Path) -> Found:
    """What was found before: it is not run again. Delete the file to begin anew."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return {(Setting(*row[:5], int(row[5])), int(row[6]), int(row[7])): Errors(*map(float, row[8:])) for row in rows}


def write_rows(found: Found, path: Path) -> None:
    """All that was found, one setting, number of updates and seed a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*Setting._fields, "steps", "seed", *Errors._fields))
    writer.writerows((*setting, steps, seed, *values) for (setting, steps, seed), values in found.items())
    write_text(path, text.getvalue())


def main() -> None:
    """Trains every setting, then writes data, picture and verdict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--longer", action="store_true", help="only the default method and its closest relatives")
    options = parser.parse_args()
    results, rows = ROOT / "docs" / "results", []
    name = "critic_truth_longer" if options.longer else "critic_truth"
    known = read_rows(results / f"{name}.csv")
    for setting in LONGER if options.longer else SETTINGS:
        start = time.perf_counter()
        for seed in range(options.seeds):
            run = (setting, options.steps, seed)
            if run not in known:
                known[run] = errors(setting, train(setting, options.steps, seed))
                write_rows(known, results / f"{name}.csv")
        found = [known[setting, options.steps, seed] for seed in range(options.seeds)]
        rows.append((setting, Errors(*map(float, np.mean(found, axis=0)))))
        print(label(setting), rows[-1][1], f"{time.perf_counter() - start:.0f} s", flush=True)
    draw(rows, results / f"{name}.png")
    command = " ".join(["python experiments/critic_truth.py", *sys.argv[1:]])
    write_text(results / f"{name}.md", report(rows, command, options.steps, options.seeds))


if __name__ == "__main__":
    main()
