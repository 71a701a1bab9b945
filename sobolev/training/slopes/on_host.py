"""True slopes of an environment on the host: each side repeats an episode from its seed and actions."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from sobolev.environments import HostEnv
from sobolev.environments.host import Instance, seed_of
from sobolev.training.slopes.base import BatchPolicy, Plan, TrueSlopes


class Visit(NamedTuple):
    """A state of an episode on the host: the seed and the actions that lead to it, and what is observed there."""

    seed: int
    actions: list[np.ndarray]
    observation: np.ndarray


def on_host(env: HostEnv, policy: BatchPolicy, plan: Plan, seed: int) -> TrueSlopes:
    """:func:`sobolev.training.slopes.true_slopes` there."""
    if plan.num_draws > 1:
        raise ValueError(
            f"true_slopes: num_draws must be 1 for an environment on the host, whose noise the seed of an episode "
            f"decides, got {plan.num_draws}: take more states"
        )
    walker = env.instance()
    try:
        visits = [_visit(walker, policy, [seed, place], int(steps)) for place, steps in enumerate(plan.times)]
    finally:
        walker.close()
    return from_visits(env, policy, plan, visits)


def from_visits(env: HostEnv, policy: BatchPolicy, plan: Plan, visits: Sequence[Visit]) -> TrueSlopes:
    """The slopes at states that are come to by seed and actions."""
    sides, points = [env.instance() for _ in range(2 * env.action_size)], []
    try:
        for visit in visits:
            a = np.clip(_actions(policy, visit.observation[None])[0], plan.step - 1.0, 1.0 - plan.step)
            for side in sides:
                _repeat(env, side, visit)
            points.append((visit.observation, a, _slope(sides, policy, plan, a)))
    finally:
        for instance in sides:
            instance.close()
    s, a, slope = (np.stack(rows).astype(np.float32) for rows in zip(*points, strict=True))
    return TrueSlopes(*map(jnp.asarray, (s, a, slope, np.full_like(slope, np.nan))))


def _actions(policy: BatchPolicy, observations: np.ndarray) -> np.ndarray:
    return np.asarray(policy(observations), np.float32)


def _visit(instance: Instance, policy: BatchPolicy, entropy: list[int], steps: int) -> Visit:
    """The state after so many steps; where an episode ends before, another one follows."""
    count = 0

    def start() -> Visit:
        seed = seed_of(*entropy, count)
        return Visit(seed, [], instance.reset(seed))

    visit = start()
    for _ in range(steps):
        a = _actions(policy, visit.observation[None])[0]
        observation, _, terminated, truncated = instance.step(a)
        if terminated or truncated:
            count += 1
            visit = start()
        else:
            visit.actions.append(a)
            visit = visit._replace(observation=observation)
    return visit


def _repeat(env: HostEnv, instance: Instance, visit: Visit) -> None:
    """Brings an environment to a state."""
    observation = instance.reset(visit.seed)
    for a in visit.actions:
        observation, *_ = instance.step(a)
    if not np.array_equal(observation, visit.observation):
        raise ValueError(
            f"{env.name} does not repeat an episode from its seed and actions (seed {visit.seed}, {len(visit.actions)} "
            "steps), and differences need two sides that begin alike: let reset(seed=...) seed all that it draws"
        )


def _slope(sides: Sequence[Instance], policy: BatchPolicy, plan: Plan, a: np.ndarray) -> np.ndarray:
    """The slope ``[A]`` at the state in which all sides are, ``[2 A]`` of them."""
    shifts = plan.step * np.eye(len(a))
    actions, going_on = np.concatenate([a + shifts, a - shifts]), list(range(len(sides)))
    returns, observations = np.zeros(len(sides)), [np.zeros(0)] * len(sides)
    for t in range(plan.horizon):
        for side in list(going_on):
            observations[side], reward, terminated, truncated = sides[side].step(actions[side])
            returns[side] += plan.gamma**t * reward
            if terminated or truncated:
                going_on.remove(side)
        if not going_on:
            break
        actions = _actions(policy, np.stack(observations))
    above, below = returns.reshape(2, -1)
    return (above - below) / (2.0 * plan.step)
