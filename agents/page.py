"""One page about one episode of a run's agent, in one file that opens without a network.

What is drawn is computed here, from :mod:`sobolev.training.inspection` and the slope audit; page.html beside this file
draws it.
"""

import html
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.runs import Restored
from sobolev.environments import HostEnv, PointMass
from sobolev.training import Job, TrueSlopes, inspection, slopes
from sobolev.training.evaluate import FRESH_SEED
from sobolev.types import Transition

TEMPLATE = Path(__file__).with_name("page.html")
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
UNROLLED = (1, 5)
MOST_COMPONENTS = 12
DIGITS = 5


class Numbers(NamedTuple):
    """How much is computed for a page.

    Fields:
        frames: steps of the episode at which one can look.
        samples: of all critics together at each of them.
        rollouts: Monte-Carlo returns at each of them.
        horizon: rewards in a return; None until gamma^t is below 1e-3.
    """

    frames: int = 50
    samples: int = 200
    rollouts: int = 100
    horizon: int | None = None


def page_data(job: Job, restored: Restored, name: str, numbers: Numbers) -> dict[str, Any]:
    """All that the page shows, as JSON takes it.

    Args:
        job: of the run.
        restored: the agent of one seed.
        name: of the run.
        numbers: how much.
    """
    agent, config, state = job.agent, job.config, restored.state
    gamma = config.agent.gamma
    horizon = slopes.horizon_of(gamma) if numbers.horizon is None else numbers.horizon
    keys = iter(jax.random.split(jax.random.key(FRESH_SEED), 4))
    policy = jax.jit(partial(jax.vmap(agent.act, in_axes=(None, None, 0)), state.params.actor, next(keys)))
    episode = inspection.record_episode(
        job.env, policy, length=config.episode_length, beyond=horizon - 1, seed=FRESH_SEED
    )
    steps = len(episode.a)
    times = np.unique(np.linspace(0, steps - 1, min(numbers.frames, steps)).round().astype(int)).tolist()
    places, s, a = episode.at(times), jnp.asarray(episode.s[times]), jnp.asarray(episode.a[times])
    per_critic = math.ceil(numbers.samples / config.agent.num_critics)
    samples = np.asarray(inspection.critic_samples(agent, state, s, a, next(keys), per_critic))
    rows = (episode.s, episode.a, episode.rewards[:steps], episode.discount, episode.s_next)
    slicing = inspection.slicing(agent, state, Transition(*(jnp.asarray(x[times]) for x in rows)), next(keys))
    truth = slopes.slopes_at(job.env, policy, gamma, places, horizon=horizon)
    estimates = {"simulator": truth.slope} | slopes.agent_slopes(agent, state, truth, unrolled=UNROLLED)
    followed = inspection.discounted_returns(episode.rewards, gamma, horizon)
    rollouts = None
    if not isinstance(job.env, HostEnv):
        rollouts = inspection.rollout_returns(
            job.env, policy, gamma, places, a, horizon=horizon, num_draws=numbers.rollouts
        )
    return {
        "run": name,
        "seed": restored.seed,
        "envSteps": restored.env_steps,
        "task": _name_of(job),
        "noisy": config.noise is not None,
        "gamma": gamma,
        "horizon": horizon,
        "critics": config.agent.num_critics,
        "valueOfActor": config.agent.actor_value,
        "times": times,
        "observations": _plain(episode.s[:, :MOST_COMPONENTS]),
        "observationSize": episode.s.shape[1],
        "actions": _plain(episode.a),
        "rewards": _plain(episode.rewards[:steps]),
        "terminated": bool(episode.discount[-1] == 0),
        "goesOn": episode.goes_on,
        "places": _places(job),
        "samples": _plain(samples),
        "target": None if slicing is None else _plain(slicing.target[..., : samples.shape[-1]]),
        "direction": None if slicing is None else _plain(slicing.direction),
        "scales": None if slicing is None else _plain(slicing.scales),
        "rollouts": None if rollouts is None else _plain(rollouts),
        "levels": LEVELS,
        "quantiles": _plain(np.quantile(samples[..., 0], LEVELS, axis=1).T),
        "followed": _plain(followed),
        "slopes": _slopes(truth, estimates),
    }


def _name_of(job: Job) -> str:
    environment = job.config.environment
    return environment.name if isinstance(environment, HostEnv) else type(environment.unwrapped).__name__


def _places(job: Job) -> list[Any] | None:
    """The first two coordinates of the point mass's locations; None for other tasks, or a point on a line."""
    env = job.config.environment
    if not isinstance(env, PointMass) or env.action_size < 2:
        return None
    return _plain(env.locations[:, :2])


def _slopes(truth: TrueSlopes, estimates: dict[str, Any]) -> dict[str, Any]:
    compared = {name: slopes.compare(truth.slope, slope) for name, slope in estimates.items()}
    return {
        "actions": _plain(truth.a),
        "error": _plain(truth.error),
        "of": [
            {
                "name": name,
                "slope": _plain(slope),
                "cosine": _plain(compared[name].cosine),
                "size": _plain(compared[name].size),
            }
            for name, slope in estimates.items()
        ],
    }


def _plain(values: Any) -> Any:
    """Lists of numbers of a few digits; None for what is not finite, which JSON has no word for."""

    def of(x: Any) -> Any:
        if isinstance(x, list):
            return [of(y) for y in x]
        return float(f"{x:.{DIGITS}g}") if math.isfinite(x) else None

    return of(np.asarray(values).tolist())


def render(data: dict[str, Any]) -> str:
    """The page.

    Args:
        data: of :func:`page_data`.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")  # no tag ends the script
    title = html.escape(f"{data['run']}, seed {data['seed']}")
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.replace("<!--title-->", title).replace("/*data*/", text)


def read_data(page: str) -> dict[str, Any]:
    """What :func:`render` has put into a page."""
    begin = '<script type="application/json" id="data">'
    return json.loads(page.partition(begin)[2].partition("</script>")[0])


def choose_seed(found: Sequence[Restored], seed: int | None) -> Restored:
    """The agent of a seed, the first where none is asked for; a ValueError where there is no such seed."""
    seeds = [agent.seed for agent in found]
    if seed is not None and seed not in seeds:
        raise ValueError(f"--seed={seed}: the run has seeds {seeds}")
    return found[0 if seed is None else seeds.index(seed)]
