"""Several seeds of one configuration in one program: what the experiments that need no run directory are made of."""

import statistics
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents import gin_names, loop, train
from sobolev.training.evaluate import evaluate


def learn(
    gin_files: list[str], bindings: list[str], seeds: range, evaluations: int, episodes: int = 64
) -> dict[str, Any]:
    """Trains one agent per seed, side by side, and scores them as it goes.

    Returns:
        ``env_steps [1 + evaluations]``, ``returns [1 + evaluations, seeds]`` (means over the same episodes),
        ``updates_per_second`` of all seeds together, and ``wall_seconds``, compilation included.
    """
    began = time.perf_counter()
    config = gin_names.load(gin_files, bindings)
    env, agent = train.build(config)
    schedule = config.schedule

    def score_one(params: Any) -> jax.Array:
        return jnp.mean(evaluate(env, agent.act, params, jax.random.key(0), episodes, config.episode_length).returns)

    init = jax.jit(jax.vmap(partial(loop.init, env, agent, schedule)))
    prepare = jax.jit(jax.vmap(partial(loop.fit_normalizer, agent, schedule)))
    advance = jax.jit(jax.vmap(partial(loop.advance, env, agent, schedule), in_axes=(0, None, None)), donate_argnums=0)
    score = jax.jit(jax.vmap(score_one))

    state = loop.warm_up(schedule, init(jax.vmap(jax.random.key)(jnp.array(seeds))), fit_normalizer, advance)
    iterations = (config.total_steps - config.warmup_steps) // config.num_envs // evaluations
    returns, seconds = [np.asarray(score(state.agent.params.actor)).tolist()], []
    for _ in range(evaluations):
        start = time.perf_counter()
        state, _ = jax.block_until_ready(advance(state, jnp.int32(iterations), loop.LEARN))
        seconds.append(time.perf_counter() - start)
        returns.append(np.asarray(score(state.agent.params.actor)).tolist())
    return {
        "env_steps": [config.warmup_steps + i * iterations * config.num_envs for i in range(evaluations + 1)],
        "returns": returns,
        "updates_per_second": len(seeds) * iterations * schedule.updates / statistics.median(seconds),
        "wall_seconds": time.perf_counter() - began,
    }
