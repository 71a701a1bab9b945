"""Where an end carries value: what each remedy makes of the gradient, on a walk whose mean return is known.

    python -m experiments.alive_walk

The walk pays 1 per step until it is over, so that the return's pathwise gradient is 0 and that of its mean is not (see
sobolev/environments/exact/alive_walk.py). A critic is trained on fresh transitions of the true step; of the end it
knows what a remedy tells it. The mean of the critic's gradients is compared with the exact gradient of the mean return,
at states and actions in between. It writes docs/results/alive_walk.csv and alive_walk.md; runs that the .csv holds are
not run again.
"""

import argparse
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lib.arguments import base_parser
from experiments.lib.fit import fit
from experiments.lib.pages import command, page, table
from experiments.lib.results import RESULTS, Results
from sobolev import critics, metrics
from sobolev.bellman import sobolev_target
from sobolev.critics import draw_noises
from sobolev.environments.exact import alive_walk
from sobolev.joint import Gradient, joint_samples
from sobolev.training.logs import write_text
from sobolev.types import Array, Critic, Key, Simulate, Spec
from sobolev.world_models.continuation import make_continuation

GAMMA, BATCH, SAMPLES = 0.9, 64, 8
TASK = alive_walk.AliveWalk()
SIMULATOR = alive_walk.simulator(TASK)
SPEC = Spec(state_size=1, action_size=1, continuation=True)
HEAD = make_continuation(SPEC)
GENERATIVE = critics.make_generative(SPEC, hidden_sizes=(64, 64), noise_size=8)
QUANTILE = critics.make_quantile(SPEC, hidden_sizes=(64, 64), embedding_size=16)
# A policy that walks back to the middle.
GAIN = -0.3
# Where the head is less sure than this, an end may be near.
UNSURE = 0.05


class Remedy(NamedTuple):
    """What a critic is trained on: the end of its values, and of its gradients (None: not trained on them)."""

    critic: Critic
    metric: metrics.Metric
    end_of_values: str
    end_of_gradients: str | None
    is_masked: bool = False


REMEDIES = {
    "none: the recorded end": Remedy(GENERATIVE, metrics.MMD(), "recorded", "recorded"),
    "values alone": Remedy(GENERATIVE, metrics.MMD(), "recorded", None),
    "a head": Remedy(GENERATIVE, metrics.MMD(), "head", "head"),
    "a head for the gradients": Remedy(GENERATIVE, metrics.MMD(), "recorded", "head"),
    "masked where the head is unsure": Remedy(GENERATIVE, metrics.MMD(), "recorded", "recorded", is_masked=True),
    "conditional mean, the recorded end": Remedy(QUANTILE, metrics.QuantileHuber(), "recorded", "recorded"),
    "conditional mean, a head": Remedy(QUANTILE, metrics.QuantileHuber(), "head", "head"),
}


def policy(s: Array) -> Array:
    """The fixed policy."""
    return GAIN * s


def draw_points(key: Key, count: int, reach: float = 1.0) -> tuple[Array, Array]:
    """States and actions, uniform in [-reach, reach]: ``[count, 1]`` each."""
    states, actions = jax.random.uniform(key, (2, count, 1), minval=-reach, maxval=reach)
    return states, actions


def going_on(head: Any, s: Array, a: Array, s_next: Array) -> Array:
    """The head's probability; its inputs are of order 1 as they are."""
    return HEAD.probability(head, jnp.concatenate([s, a]), s_next - s)


@cache
def fit_head(steps: int, seed: int) -> Any:
    """The head's parameters, by cross-entropy on recorded ends."""

    def loss(params: Any, _: Any, key: Key) -> Array:
        def one(key: Key, s: Array, a: Array) -> Array:
            s_next, _, goes_on = SIMULATOR.simulate(s, a, SIMULATOR.noise(key))
            return HEAD.loss(params, jnp.concatenate([s, a]), s_next - s, goes_on > 0)

        key, key_points = jax.random.split(key)
        return jnp.mean(jax.vmap(one)(jax.random.split(key, BATCH), *draw_points(key_points, BATCH)))

    return fit(HEAD.init, loss, steps, seed)


def simulators(head: Any) -> dict[str, Simulate]:
    """The true step with the end as recorded, and as the head has it."""

    def headed(s: Array, a: Array, n: Array) -> tuple[Array, Array, Array]:
        s_next, r, _ = SIMULATOR.simulate(s, a, n)
        return s_next, r, going_on(head, s, a, s_next)

    return {"recorded": SIMULATOR.simulate, "head": headed}


def loss(remedy: Remedy, head: Any, params: Any, target: Any, key: Key) -> Array:
    """The metric between the critic's joint samples and a target whose columns know the end as the remedy says."""
    critic, steps = remedy.critic, simulators(head)
    gradient: Gradient = "none" if remedy.end_of_gradients is None else "action"

    def one(key: Key, s: Array, a: Array) -> tuple[Array, Array, Array, Array | None]:
        key_x, key_xi, key_n, key_metric = jax.random.split(key, 4)
        n, xi = SIMULATOR.noise(key_n), draw_noises(critic, key_xi, SAMPLES)

        def rows(end: str, gradient: Gradient) -> Array:
            backup = partial(sobolev_target, steps[end], partial(critic.value, target), policy, s, a, n)
            return jax.vmap(lambda xi: backup(xi, GAMMA, gradient))(xi)

        y = rows(remedy.end_of_values, "none")
        if remedy.end_of_gradients is not None:
            y = jnp.concatenate([y, rows(remedy.end_of_gradients, gradient)[:, 1:]], axis=1)
        noise = draw_noises(critic, key_x, SAMPLES)
        x = joint_samples(critic.value, params, s, a, noise, gradient, policy)
        if remedy.is_masked:
            c = going_on(head, s, a, SIMULATOR.simulate(s, a, n)[0])
            is_sure = jnp.array([1.0, jnp.abs(c - 0.5) > 0.5 - UNSURE])
            x, y = x * is_sure, y * is_sure
        return key_metric, x, y, None if critic.level is None else jax.vmap(critic.level)(noise)

    key, key_points = jax.random.split(key)
    samples = jax.vmap(one)(jax.random.split(key, BATCH), *draw_points(key_points, BATCH))
    return remedy.metric.over_states(*samples)


class Run(NamedTuple):
    """One training."""

    remedy: str
    steps: int
    seed: int


class Errors(NamedTuple):
    """Root mean squares over the test points, over those of the truth.

    Fields:
        mean_return: of the error of the mean return.
        gradient: of the error of its gradient.
        slope: the learned gradient regressed on the true one: 0 where the signal is erased, 1 where it is whole.
    """

    mean_return: float
    gradient: float
    slope: float


def errors(critic: Critic, params: Any, points: int = 256, count: int = 1000) -> Errors:
    """The critic's mean return and mean gradient against the exact ones."""
    key_points, key = jax.random.split(jax.random.key(1234))

    def at(key: Key, s: Array, a: Array) -> tuple[Array, Array]:
        z = joint_samples(critic.value, params, s, a, draw_noises(critic, key, count), "action", policy)
        mean, slope = jax.value_and_grad(lambda a: alive_walk.expected_return(TASK, policy, GAMMA, s, a))(a)
        return jnp.mean(z, axis=0), jnp.concatenate([mean[None], slope])

    found, exact = jax.jit(jax.vmap(at))(jax.random.split(key, points), *draw_points(key_points, points, reach=0.9))
    found, exact = np.asarray(found), np.asarray(exact)
    ratios = np.sqrt(np.mean((found - exact) ** 2, axis=0) / np.mean(exact**2, axis=0))
    slope = np.sum(found[:, 1] * exact[:, 1]) / np.sum(exact[:, 1] ** 2)
    return Errors(float(ratios[0]), float(ratios[1]), float(slope))


def run(key: Run) -> Errors:
    """The errors after a training."""
    remedy = REMEDIES[key.remedy]
    loss_of_remedy = partial(loss, remedy, fit_head(key.steps, key.seed))
    return errors(remedy.critic, fit(remedy.critic.init, loss_of_remedy, key.steps, key.seed))


def report(found: Mapping[str, list[Errors]], steps: int) -> str:
    """The page: means over seeds and their range."""
    rows = []
    for name, values in found.items():
        cells = (f"{np.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in zip(*values, strict=True))
        rows.append((name, *cells))
    return page(
        "Where an end carries value, what becomes of the gradient?",
        command("alive_walk"),
        f"Alive-reward walk, gamma {GAMMA}, true step, one noise a transition, {steps} updates of {BATCH} transitions\n"
        f"with {SAMPLES} samples; the mean over seeds and, in brackets, their range. Errors: root mean square over "
        "256\ntest points, over that of the truth. Slope: the mean of the critic's gradients regressed on the "
        "gradient\nof the mean return, 0 where the signal is erased.",
        table(("remedy", "mean return", "gradient of the mean", "slope"), rows),
    )


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = base_parser("alive_walk", __doc__)
    parser.add_argument("--steps", type=int, default=4000, help="updates; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="how many; default: %(default)s")
    return parser


def main() -> None:
    """Trains a critic under each remedy, then writes data and page."""
    options = make_parser().parse_args()
    results = Results(RESULTS / "alive_walk.csv", Run, Errors)
    found: dict[str, list[Errors]] = {}
    for remedy in REMEDIES:
        keys = [Run(remedy, options.steps, seed) for seed in range(options.seeds)]
        found[remedy] = [results.find(key, partial(run, key)) for key in keys]
    write_text(RESULTS / "alive_walk.md", report(found, options.steps))


if __name__ == "__main__":
    main()
