"""How much of the true slope does the actor see? The critics' action gradient against the simulator's.

    python experiments/slopes.py --noise=additive_dynamics
    python experiments/slopes.py --noise=multiplicative_observation

gin/msmmd_cvae.gin learns reacher under one of the papers' noises, with gradients and without. At intervals, at states
of the policy's own episodes, the slope of the return in the action is taken from three places:

    truth        central differences of the simulator's discounted return, the policy as it is from the next step on,
                 the same noise on both sides
    critic       the mean of d_a Z over critics and samples: what the actor climbs
    model, H     d_a of H transitions of the learned world model under the policy, the critics' mean behind them

all without the control cost's own slope, -2 a, which needs no learning. Cosine and slope (the regression of the
estimate on the truth) are over all states and components together. It writes docs/results/slopes.csv and .md; rows
that the .csv holds are not run again.
"""

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from brax.envs.base import Env, State  # noqa: E402

from agents import gin_names, loop, train  # noqa: E402
from sobolev.agent.agent import Agent  # noqa: E402
from sobolev.agent.state import AgentState  # noqa: E402
from sobolev.training.logs import write_text  # noqa: E402
from sobolev.training.train import TrainConfig  # noqa: E402
from experiments.gradient import seeds_of  # noqa: E402
from sobolev.critics import draw_noises  # noqa: E402
from sobolev.types import Array, Key, Params, Spec  # noqa: E402

NOISES = {
    "additive_dynamics": ("dynamics_noise_key", "gin/noise/additive_dynamics.gin"),
    "multiplicative_observation": ("observation_noise_key", "gin/noise/multiplicative_observation.gin"),
}
GRADIENTS = ("none", "state_action")
UNROLLED = (1, 5, 15, 40)
STATES = 48
REPEATS = 4
HORIZON = 80
WIDTH = 0.1
EVERY = 1_500
Row = tuple[str, str, int, int, str, float, float]
_COLUMNS = ("noise", "gradient", "seed", "env_steps", "estimate", "cosine", "slope")


class Slopes(NamedTuple):
    """What is measured in one setting, as compiled functions.

    Fields:
        truth: ``(actor params, key) -> (s[STATES, S], a[STATES, A], slope[STATES, A])``.
        critic: ``(agent state, s, a, key) -> slope[STATES, A]``.
        unrolled: by H, the same.
    """

    truth: Callable[[Params, Key], tuple[Array, Array, Array]]
    critic: Callable[[AgentState, Array, Array, Key], Array]
    unrolled: dict[int, Callable[[AgentState, Array, Array, Key], Array]]


def states_of(env: Env, agent: Agent, length: int, actor: Params, key: Key) -> State:
    """States of the policy's episodes, one of each, spread over the episode, ``[STATES]``."""

    def step(state: State, key: Key) -> tuple[State, State]:
        a = jax.vmap(agent.act, in_axes=(None, 0, 0))(actor, jax.random.split(key, STATES), state.obs)
        return jax.vmap(env.step)(state, a), state

    start = jax.vmap(env.reset)(jax.random.split(key, STATES))
    _, states = jax.lax.scan(step, start, jax.random.split(key, length))
    episodes = jnp.arange(STATES)
    return jax.tree.map(lambda leaf: leaf[episodes * length // STATES, episodes], states)


def true_slope(
    env: Env, agent: Agent, config: TrainConfig, noise_key: str, actor: Params, key: Key
) -> tuple[Array, Array, Array]:
    """Observed states of the policy, its actions there, and the slope of the simulator's return."""
    gamma, key_noise = config.agent.gamma, jax.random.fold_in(key, 1)
    states = states_of(env, agent, config.episode_length, actor, key)
    actions = jax.vmap(agent.act, in_axes=(None, None, 0))(actor, key, states.obs)

    def discounted_return(state: State, a: Array, key: Key) -> Array:
        state = env.step(state.replace(info={**state.info, noise_key: key}), a)

        def step(carry: tuple, t: Array) -> tuple[tuple, None]:
            state, total = carry
            state = env.step(state, agent.act(actor, key, state.obs))
            return (state, total + gamma**t * state.reward), None

        return jax.lax.scan(step, (state, state.reward), 1.0 + jnp.arange(HORIZON))[0][1]

    def slope(state: State, a: Array, key: Key) -> Array:
        shifts = WIDTH * jnp.eye(a.shape[0])
        value = jax.vmap(lambda shift: discounted_return(state, a + shift, key))
        return (value(shifts) - value(-shifts)) / (2 * WIDTH)

    repeated = jax.vmap(slope, in_axes=(None, None, 0))
    slopes = jax.vmap(repeated)(states, actions, jax.random.split(key_noise, (STATES, REPEATS)))
    return states.obs, actions, slopes.mean(axis=1)


def make_slopes(env: Env, agent: Agent, config: TrainConfig, noise_key: str) -> Slopes:
    """The measurements, for an environment and its agent."""
    spec = Spec(jax.eval_shape(env.reset, jax.random.key(0)).obs.shape[-1], env.action_size, simulator=None)
    critic, model = config.agent.critic(spec), config.agent.world_model(spec)

    def mean_return(state: AgentState, s: Array, a: Array, key: Key) -> Array:
        xi = draw_noises(critic, key, num=32)
        over_noises = jax.vmap(critic.value, in_axes=(None, None, None, 0))
        return jax.vmap(over_noises, in_axes=(0, None, None, None))(state.params.critics, s, a, xi).mean()

    def expansion(steps: int, state: AgentState, s: Array, a: Array, key: Key) -> Array:
        gamma = config.agent.gamma**config.agent.n_step
        key, *keys = jax.random.split(key, steps + 1)

        def step(carry: tuple[Array, Array], key: Key) -> tuple[tuple[Array, Array], Array]:
            key_noise, key_act = jax.random.split(key)
            s, r, _ = model.simulate(state.params.world_model, *carry, model.noise(key_noise))
            return (s, agent.act(state.params.actor, key_act, s)), r

        (s, a), rewards = jax.lax.scan(step, (s, a), jnp.stack(keys))
        return gamma ** jnp.arange(steps) @ rewards + gamma**steps * mean_return(state, s, a, key)

    def slope(function: Any, repeats: int) -> Any:
        derivative = jax.vmap(jax.grad(function, argnums=2), in_axes=(None, None, None, 0))

        def over_states(state: AgentState, s: Array, a: Array, key: Key) -> Array:
            keys = jax.random.split(key, (STATES, repeats))
            return jax.vmap(derivative, in_axes=(None, 0, 0, 0))(state, s, a, keys).mean(axis=1)

        return jax.jit(over_states)

    return Slopes(
        jax.jit(partial(true_slope, env, agent, config, noise_key)),
        slope(mean_return, 1),
        {steps: slope(partial(expansion, steps), 8) for steps in UNROLLED},
    )


def compare(slopes: Slopes, state: AgentState) -> Iterator[tuple[str, float, float]]:
    """Each estimate with its cosine and its slope."""
    s, a, truth = slopes.truth(state.params.actor, jax.random.key(0))
    truth = np.asarray(truth + 2 * a)
    named = {"critic": slopes.critic} | {f"model, {steps}": function for steps, function in slopes.unrolled.items()}
    for name, function in named.items():
        estimate = np.asarray(function(state, s, a, jax.random.key(1)) + 2 * a)
        product, square = np.sum(truth * estimate), np.sum(truth**2)
        yield name, float(product / np.sqrt(square * np.sum(estimate**2))), float(product / square)


def measure(noise: str, gradient: str, seeds: list[int], total_steps: int) -> Iterator[Row]:
    """The rows of one setting, as they come."""
    noise_key, noise_file = NOISES[noise]
    bindings = [f"agent.gradient = '{gradient}'", f"train.total_steps = {total_steps}"]
    config = gin_names.load(["gin/msmmd_cvae.gin", noise_file], bindings)
    env, agent = train.build(config)
    schedule, slopes = config.schedule, make_slopes(env, agent, config, noise_key)
    init = jax.jit(partial(loop.init, env, agent, schedule))
    prepare = jax.jit(partial(loop.fit_normalizer, agent, schedule))
    advance = jax.jit(partial(loop.advance, env, agent, schedule), donate_argnums=0)
    for seed in seeds:
        state = loop.warm_up(schedule, init(jax.random.key(seed)), fit_normalizer, advance)
        while (steps := int(state.env_steps)) < total_steps:
            until = min(total_steps, EVERY * (steps // EVERY + 1))
            state, _ = advance(state, jnp.int32((until - steps) // schedule.num_envs), loop.LEARN)
            for estimate, cosine, slope in compare(slopes, state.agent):
                yield noise, gradient, seed, until, estimate, cosine, slope


def read_rows(path: Path) -> list[Row]:
    """What was found before."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [(r[0], r[1], int(r[2]), int(r[3]), r[4], float(r[5]), float(r[6])) for r in rows]


def write_rows(rows: list[Row], path: Path) -> None:
    """One estimate a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def report(rows: list[Row]) -> str:
    """The table, as Markdown."""
    lines = [
        "# The slope that the actor climbs, against the simulator's",
        "",
        "`python experiments/slopes.py`, rows below by its arguments",
        "",
        "Reacher, gin/msmmd_cvae.gin. Cosine / slope of the estimate on the truth, 1 / 1 where it is right; means over",
        "seeds. `model, H`: the learned world model unrolled for H transitions, the critics behind.",
        "",
        "| noise | gradient | seeds | steps | critic | " + " | ".join(f"model, {steps}" for steps in UNROLLED) + " |",
        "|---|---|---|---|---|" + "---|" * len(UNROLLED),
    ]
    for noise, gradient, steps in dict.fromkeys((row[0], row[1], row[3]) for row in sorted(rows)):
        here = [row for row in rows if (row[0], row[1], row[3]) == (noise, gradient, steps)]
        cells = []
        for name in ("critic", *(f"model, {steps}" for steps in UNROLLED)):
            of_name = [row[5:] for row in here if row[4] == name]
            cosine, slope = np.mean(of_name, axis=0)
            cells.append(f"{cosine:.2f} / {slope:.2f}")
        seeds = len({row[2] for row in here})
        lines.append(f"| {noise} | {gradient} | {seeds} | {steps} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what is missing, then writes data and table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--noise", choices=NOISES, action="append", help="default: both")
    parser.add_argument("--seeds", type=seeds_of, default="0-2", help="as in 0-4,7")
    parser.add_argument("--steps", type=int, default=4_500, help=f"a multiple of {EVERY}")
    options = parser.parse_args()
    path = ROOT / "docs" / "results" / "slopes.csv"
    rows = read_rows(path)
    for noise in options.noise or NOISES:
        for gradient in GRADIENTS:
            done = {row[2] for row in rows if row[:2] == (noise, gradient)}
            missing = [seed for seed in options.seeds if seed not in done]
            for _, of_seed in groupby(measure(noise, gradient, missing, options.steps), key=lambda row: row[2]):
                rows += of_seed  # whole seeds alone, so that one that was cut short is run again
                write_rows(rows, path)
    write_text(ROOT / "docs" / "results" / "slopes.md", report(rows))


if __name__ == "__main__":
    main()
