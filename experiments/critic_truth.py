"""Does a critic learn the distribution? TD on the linear-quadratic task with its true step, against exact moments.

    python -m experiments.critic_truth
    python -m experiments.critic_truth --longer --seeds=3 --steps=64000

A critic is trained by sobolev_target, joint_samples, the gradient scales of gin/base.gin (from each batch's own errors)
and a metric alone: no agent, no learned model, a fixed linear policy. Networks, samples, batches, optimizer and target
are those of gin/base.gin, but for the learning rate, which falls to 0 along a cosine: at a constant one the critic
keeps moving about its fixed point. States in training are standard normal, so that the next states are among them (at
the edges of a box the critic would bootstrap from where it was not trained); the test points are uniform in a box up to
1.5, whose corners training rarely sees; actions are uniform in both. Varied are the critic, the metric, its statistic,
whether the target samples of a transition share one noise of the step ("one", as inference has it) or have their own
("pooled"), the gradient, and the number of samples; with --longer, only what gin/msmmd_cvae.gin takes and its closest
relatives. It writes docs/results/critic_truth.csv, critic_truth.png and critic_truth.md (with --longer,
critic_truth_longer.*); runs that the .csv holds are not run again.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.lib.arguments import base_parser
from experiments.lib.fit import fit
from experiments.lib.pages import command, page, table
from experiments.lib.pictures import draw_dots, picture
from experiments.lib.results import RESULTS, Results
from sobolev import critics, gradient_scales, metrics
from sobolev.bellman import sobolev_target
from sobolev.critics import draw_noises
from sobolev.environments.exact import linear_quadratic
from sobolev.environments.exact.linear import restrict
from sobolev.joint import Gradient, block_sizes, joint_samples, sobolev_sample
from sobolev.training.logs import write_text
from sobolev.types import Array, Key, Spec

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
SEARCH = metrics.DirectionSearch(num_directions=0, num_climbs=1, num_steps=5, axes=False)
METRICS: dict[str, Callable[[str], metrics.Metric]] = {
    "mmd": lambda estimator: metrics.registry.make("mmd", estimator=estimator),
    "msmmd": lambda estimator: metrics.registry.make("msmmd", estimator=estimator, search=SEARCH),
    "msmmd, own directions": lambda estimator: metrics.registry.make(
        "msmmd", estimator=estimator, search=SEARCH, cross_fit=False
    ),
    "quantile_huber": lambda estimator: metrics.QuantileHuber(),
}
GRADIENTS: tuple[Gradient, ...] = ("action", "state_action", "closed_loop")
BALANCE = gradient_scales.Balanced(decay=0.0)


class Setting(NamedTuple):
    """One combination."""

    critic: str
    metric: str
    estimator: str
    noise: str
    gradient: Gradient
    samples: int


class Run(NamedTuple):
    """One training: a setting, its number of updates and its seed."""

    critic: str
    metric: str
    estimator: str
    noise: str
    gradient: Gradient
    samples: int
    steps: int
    seed: int


class Errors(NamedTuple):
    """What the exact distribution says of the critic's samples of return and gradient at test points.

    Fields:
        mean_return, mean_gradient: errors of the means, root mean squares over points and components, in units of the
            true standard deviations.
        relative_return, relative_gradient, relative_action_gradient: errors of the means over the root mean square of
            the true mean; of the whole gradient, and of the action's part alone.
        std_return, std_gradient: standard deviations, learned over true, the median.
        energy: the energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| of the joint distributions, components in units
            of their true standard deviations, the mean.
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
        for gradient in GRADIENTS[:2]
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
    return metric.over_states(keys, x, y, levels)


def train(setting: Setting, steps: int, seed: int) -> Any:
    """The critic's parameters after ``steps`` updates."""
    metric = METRICS[setting.metric](setting.estimator)
    init = CRITICS[setting.critic].init
    return fit(init, partial(loss, setting, metric), steps, seed, optax.radam, polyak=0.005)


def rollouts(s: Array, a: Array, key: Key, gradient: Gradient, count: int, steps: int = 60) -> Array:
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
    moments = linear_quadratic.fixed_point(TASK, GAIN, GAMMA)
    critic = CRITICS[setting.critic]

    def at(key: Key, s: Array, a: Array) -> tuple[Array, ...]:
        key_z, key_truth = jax.random.split(key)
        z = joint_samples(critic.value, params, s, a, draw_noises(critic, key_z, count), setting.gradient, policy)
        exact = restrict(linear_quadratic.joint_moments(TASK, GAMMA, moments, s, a), setting.gradient, GAIN)
        std = jnp.sqrt(jnp.diag(exact.covariance))
        truth = rollouts(s, a, key_truth, setting.gradient, of_energy)
        energy = 2 * metrics.mmd2(z[:of_energy] / std, truth / std, metrics.Energy())
        return jnp.mean(z, axis=0), jnp.std(z, axis=0), exact.mean, std, energy

    states, actions = test_points(key_points, points)
    found = jax.jit(lambda keys: jax.lax.map(lambda x: at(*x), (keys, states, actions)))(jax.random.split(key, points))
    mean, std, exact_mean, exact_std, energy = map(np.asarray, found)
    error, the_return, gradient, action = mean - exact_mean, slice(0, 1), slice(1, None), slice(1, 2)

    def relative(block: slice) -> float:
        return rms(error[:, block]) / rms(exact_mean[:, block])

    return Errors(
        mean_return=rms((error / exact_std)[:, the_return]),
        mean_gradient=rms((error / exact_std)[:, gradient]),
        relative_return=relative(the_return),
        relative_gradient=relative(gradient),
        relative_action_gradient=relative(action),
        std_return=float(np.median((std / exact_std)[:, the_return])),
        std_gradient=float(np.median((std / exact_std)[:, gradient])),
        energy=float(np.mean(energy)),
    )


def rms(x: np.ndarray) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(x**2)))


def mean_errors(errors: list[Errors]) -> Errors:
    """Over seeds."""
    return Errors(*map(float, np.mean(errors, axis=0)))


def label(setting: Setting) -> str:
    """One line of the picture."""
    return " ".join(map(str, setting))


def draw(found: dict[Setting, Errors], path: Path) -> None:
    """Errors of the means and ratios of the deviations, of all settings."""
    size = (11, 0.3 * len(found) + 1.5)
    titles = {"mean": "error of the mean, in true deviations", "std": "deviation, learned / true"}
    with picture(path, 1, 2, figsize=size, sharey=True) as (figure, panels):
        for axes, (kind, title) in zip(panels, titles.items(), strict=True):
            parts = {
                part: [(label(setting), getattr(errors, f"{kind}_{part}")) for setting, errors in found.items()]
                for part in ("return", "gradient")
            }
            draw_dots(axes, list(map(label, found)), parts)
            axes.axvline(0.0 if kind == "mean" else 1.0, color="grey", linewidth=0.8, linestyle=":")
            axes.set_title(title, fontsize=10)
            axes.tick_params(axis="y", labelsize=8)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", frameon=False, ncols=2)


def cells_of(setting: Setting, error: Errors) -> tuple[object, ...]:
    """One row of the table."""
    return (
        *setting,
        f"{error.mean_return:.3f} ({error.relative_return:.1%})",
        f"{error.mean_gradient:.3f} ({error.relative_gradient:.1%}, {error.relative_action_gradient:.1%})",
        f"{error.std_return:.3f}",
        f"{error.std_gradient:.3f}",
        f"{error.energy:.3f}",
    )


HEADER = (
    *("critic", "metric", "statistic", "noise of step", "gradient", "samples"),
    *("mean return", "mean gradient", "std return", "std gradient", "energy distance"),
)


def report(found: dict[Setting, Errors], steps: int, seeds: int) -> str:
    """The page."""
    return page(
        "Does a critic learn the distribution of return and gradient?",
        command("critic_truth"),
        f"Linear-quadratic task, gamma {GAMMA}, true step, {steps} updates of {BATCH} transitions, {seeds} seed(s)\n"
        "(mean). States normal in training, uniform up to 1.5 in the test. Errors of the means: root mean squares\n"
        "over 64 test points and components over the true deviation, and in brackets over that of the true mean (the\n"
        "gradient's of all its components, and of the action's alone). Deviations: learned over true, median. Energy\n"
        "distance: of the joint distributions, components in units of their true deviations, against 1000 rollouts a\n"
        "point.",
        table(HEADER, [cells_of(setting, errors) for setting, errors in found.items()]),
    )


def run(key: Run) -> Errors:
    """The errors after a training."""
    setting = Setting(*key[:-2])
    return errors(setting, train(setting, key.steps, key.seed))


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("critic_truth", __doc__)
    parser.add_argument("--steps", type=int, default=8000, help="updates; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=1, help="how many; default: %(default)s")
    parser.add_argument("--longer", action="store_true", help="only the default method and its closest relatives")
    return parser


def main() -> None:
    """Trains every setting, then writes data, picture and page."""
    options = make_parser().parse_args()
    name = "critic_truth_longer" if options.longer else "critic_truth"
    results, found = Results(RESULTS / f"{name}.csv", Run, Errors), {}
    for setting in LONGER if options.longer else SETTINGS:
        keys = [Run(*setting, options.steps, seed) for seed in range(options.seeds)]
        found[setting] = mean_errors([results.find(key, partial(run, key)) for key in keys])
    draw(found, RESULTS / f"{name}.png")
    write_text(RESULTS / f"{name}.md", report(found, options.steps, options.seeds))


if __name__ == "__main__":
    main()
