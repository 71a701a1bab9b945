"""What a page shows of one episode of a run's agent, from :mod:`sobolev.training.inspection` and the slope audit."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.page.body import action_names, drawn_body
from agents.runs import Restored
from sobolev.environments import HostEnv, PointMass
from sobolev.training import Job, TrueSlopes, inspection, slopes
from sobolev.training.evaluate import FRESH_SEED
from sobolev.types import Transition

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
UNROLLED = (1, 5)
STEP = 0.05
"""Of the differences in the action, by which true slopes are taken; half of it tells whether they can be trusted."""
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

    def horizon_for(self, gamma: float) -> int:
        """Rewards in a return under this discount."""
        return slopes.horizon_of(gamma) if self.horizon is None else self.horizon


class Shown(NamedTuple):
    """An agent and an episode of it.

    Fields:
        agent: of one seed.
        policy: of it, of many states at once.
        episode: the one that is shown, and rewards after it that make its last return whole.
    """

    agent: Restored
    policy: slopes.BatchPolicy
    episode: inspection.Episode


def record(job: Job, restored: Restored, horizon: int) -> Shown:
    """One episode, the same for all agents.

    Args:
        job: of the run.
        restored: the agent of one seed.
        horizon: rewards in a return.
    """
    key = jax.random.key(FRESH_SEED)
    policy = jax.jit(partial(jax.vmap(job.agent.act, in_axes=(None, None, 0)), restored.state.params.actor, key))
    episode = inspection.record_episode(
        job.env, policy, length=job.config.episode_length, beyond=horizon - 1, seed=FRESH_SEED
    )
    return Shown(restored, policy, episode)


def page_data(job: Job, shown: Shown, name: str, numbers: Numbers) -> dict[str, Any]:
    """All that the page shows, as JSON takes it.

    Args:
        job: of the run.
        shown: the episode of one seed's agent, recorded with the horizon of the numbers.
        name: of the run.
        numbers: how much.
    """
    episode, config = shown.episode, job.config
    steps = len(episode.a)
    times = np.unique(np.linspace(0, steps - 1, min(numbers.frames, steps)).round().astype(int)).tolist()
    return (
        {
            "run": name,
            "seed": shown.agent.seed,
            "envSteps": shown.agent.env_steps,
            "task": _name_of(job),
            "noisy": config.noise is not None,
            "gamma": config.agent.gamma,
            "horizon": numbers.horizon_for(config.agent.gamma),
            "critics": config.agent.num_critics,
            "times": times,
            "levels": LEVELS,
        }
        | _what_was_done(job, episode, times)
        | _what_was_expected(job, shown, times, numbers.samples)
        | _what_is_true(job, shown, times, numbers)
    )


def _what_was_done(job: Job, episode: inspection.Episode, times: list[int]) -> dict[str, Any]:
    steps, motion = len(episode.a), episode.motion
    return {
        "observations": plain(episode.s[:, :MOST_COMPONENTS]),
        "observationSize": episode.s.shape[1],
        "actions": plain(episode.a),
        "rewards": plain(episode.rewards[:steps]),
        "terminated": bool(episode.discount[-1] == 0),
        "goesOn": episode.goes_on,
        "places": _places(job),
        "motion": None if motion is None else drawn_body(motion, times),
        "actionNames": None if motion is None else action_names(motion, episode.a.shape[1]),
    }


def _what_was_expected(job: Job, shown: Shown, times: list[int], num_samples: int) -> dict[str, Any]:
    """The critics' samples and what their metric compares them with, at these times."""
    agent, state, episode = job.agent, shown.agent.state, shown.episode
    key_samples, key_slicing = jax.random.split(jax.random.key(FRESH_SEED + 1))
    rows = (episode.s, episode.a, episode.rewards[: len(episode.a)], episode.discount, episode.s_next)
    transitions = Transition(*(jnp.asarray(x[times]) for x in rows))
    per_critic = math.ceil(num_samples / job.config.agent.num_critics)
    samples = np.asarray(inspection.critic_samples(agent, state, transitions.s, transitions.a, key_samples, per_critic))
    slicing = inspection.slicing(agent, state, transitions, key_slicing)
    return {
        "samples": plain(samples),
        "quantiles": plain(np.quantile(samples[..., 0], LEVELS, axis=1).T),
        "target": None if slicing is None else plain(slicing.target[..., : samples.shape[-1]]),
        "direction": None if slicing is None else plain(slicing.direction),
        "scales": None if slicing is None else plain(slicing.scales),
    }


def _what_is_true(job: Job, shown: Shown, times: list[int], numbers: Numbers) -> dict[str, Any]:
    """The returns and the slopes of the task itself at these times, and the slopes beside them."""
    gamma, episode, policy = job.config.agent.gamma, shown.episode, shown.policy
    horizon, places = numbers.horizon_for(gamma), episode.at(times)
    truth, finer = (
        slopes.slopes_at(job.env, policy, gamma, places, horizon=horizon, step=step) for step in (STEP, STEP / 2)
    )
    estimates = {"simulator": truth.slope, "half step": finer.slope} | slopes.agent_slopes(
        job.agent, shown.agent.state, truth, unrolled=UNROLLED
    )
    rollouts = None
    if not isinstance(job.env, HostEnv):
        rollouts = inspection.rollout_returns(
            job.env, policy, gamma, places, jnp.asarray(episode.a[times]), horizon=horizon, num_draws=numbers.rollouts
        )
    return {
        "followed": plain(inspection.discounted_returns(episode.rewards, gamma, horizon)),
        "rollouts": None if rollouts is None else plain(rollouts),
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
    return plain(env.locations[:, :2])


def _slopes(truth: TrueSlopes, estimates: dict[str, Any]) -> dict[str, Any]:
    compared = {name: slopes.compare(truth.slope, slope) for name, slope in estimates.items()}
    return {
        "actions": plain(truth.a),
        "error": plain(truth.error),
        "of": [
            {
                "name": name,
                "slope": plain(slope),
                "cosine": plain(compared[name].cosine),
                "size": plain(compared[name].size),
            }
            for name, slope in estimates.items()
        ],
    }


def plain(values: Any) -> Any:
    """Lists of numbers of a few digits; None for what is not finite, which JSON has no word for."""

    def of(x: Any) -> Any:
        if isinstance(x, list):
            return [of(y) for y in x]
        return float(f"{x:.{DIGITS}g}") if math.isfinite(x) else None

    return of(np.asarray(values).tolist())


def choose_seed(found: Sequence[Restored], seed: int | None) -> Restored:
    """The agent of a seed, the first where none is asked for; a ValueError where there is no such seed."""
    seeds = [agent.seed for agent in found]
    if seed is not None and seed not in seeds:
        raise ValueError(f"--seed={seed}: the run has seeds {seeds}")
    return found[0 if seed is None else seeds.index(seed)]
