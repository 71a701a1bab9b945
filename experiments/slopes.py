"""How much of the true slope does the actor see? The critics' action gradient against the simulator's.

    python -m experiments.slopes --noise=additive_dynamics
    python -m experiments.slopes --noise=multiplicative_observation

gin/msmmd_cvae.gin learns reacher under one of the papers' perturbations, with gradients and without. At intervals, at
states of the policy's own episodes, the slope of the return in the action is taken from three places:

    truth        central differences of the simulator's discounted return, the policy as it is from the next step on,
                 the same noise on both sides
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
from brax.envs.base import Env, State

from experiments.lib.arguments import add_seeds, base_parser
from experiments.lib.learning import Arm, load_job
from experiments.lib.pages import command_of_rows, page, table
from experiments.lib.results import RESULTS, Results
from sobolev.agent import Agent, AgentState
from sobolev.critics import draw_noises
from sobolev.training import Job, loop
from sobolev.training.logs import write_text
from sobolev.types import Array, Key, Params

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


def true_slope(job: Job, noise_key: str, actor: Params, key: Key) -> tuple[Array, Array, Array]:
    """Observed states of the policy, its actions there, and the slope of the simulator's return."""
    config, env, agent = job
    assert isinstance(env, Env)
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


def make_slopes(job: Job, noise_key: str) -> Slopes:
    """The measurements, for an environment and its agent."""
    agent, (config, _, critic, _, model) = job.agent, job.agent.parts

    def mean_return(state: AgentState, s: Array, a: Array, key: Key) -> Array:
        xi = draw_noises(critic, key, num=32)
        over_noises = jax.vmap(critic.value, in_axes=(None, None, None, 0))
        return jax.vmap(over_noises, in_axes=(0, None, None, None))(state.params.critics, s, a, xi).mean()

    def expansion(steps: int, state: AgentState, s: Array, a: Array, key: Key) -> Array:
        gamma = config.gamma**config.n_step
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
        jax.jit(partial(true_slope, job, noise_key)),
        slope(mean_return, 1),
        {steps: slope(partial(expansion, steps), 8) for steps in UNROLLED},
    )


def compare(slopes: Slopes, state: AgentState) -> Iterator[tuple[str, Agreement]]:
    """Each estimate with its agreement."""
    s, a, slope = slopes.truth(state.params.actor, jax.random.key(0))
    truth = np.asarray(slope + 2 * a)
    named = {"critic": slopes.critic} | {f"model, {steps}": function for steps, function in slopes.unrolled.items()}
    for name, function in named.items():
        estimate = np.asarray(function(state, s, a, jax.random.key(1)) + 2 * a)
        product, square = np.sum(truth * estimate), np.sum(truth**2)
        yield name, Agreement(float(product / np.sqrt(square * np.sum(estimate**2))), float(product / square))


def measure(noise: str, gradient: str, seeds: list[int], total_steps: int) -> Iterator[dict[Point, Agreement]]:
    """The rows of one setting, those of a seed at a time."""
    noise_key, noise_file = NOISES[noise]
    bindings = (f"agent.gradient = '{gradient}'", f"train.total_steps = {total_steps}")
    job = load_job(Arm(("gin/msmmd_cvae.gin", noise_file), bindings))
    config, slopes = job.config.loop, make_slopes(job, noise_key)
    init = jax.jit(partial(loop.init, job.env, job.agent, config))
    fit_normalizers = jax.jit(partial(loop.fit_normalizers, job.agent, config))
    advance = jax.jit(partial(loop.advance, job.env, job.agent, config), donate_argnums=0)
    for seed in seeds:
        found: dict[Point, Agreement] = {}
        state = loop.warm_up(config, init(jax.random.key(seed)), fit_normalizers, advance)
        while (steps := int(state.env_steps)) < total_steps:
            until = min(total_steps, EVERY * (steps // EVERY + 1))
            state, _ = advance(state, jnp.int32((until - steps) // config.num_envs), loop.LEARN)
            for estimate, agreement in compare(slopes, state.agent):
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
