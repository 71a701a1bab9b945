"""A simulator as an environment: its ends, its keys and what is hidden."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from sobolev.environments import SimulatorEnv, perturbations

Simulated = Callable[..., SimulatorEnv]


def test_an_episode_ends_with_probability_1_minus_c(simulated: Simulated) -> None:
    """c = s; noise and end are drawn independently."""
    env = simulated(lambda s, a, n: (s, n, jnp.clip(s[0], 0.0, 1.0)), 0.3)
    state, count = env.reset(jax.random.key(0)), 4000

    @jax.jit
    @jax.vmap
    def step(c: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        after = env.step(state.replace(pipeline_state=c[None], info={"simulator_key": key}), jnp.zeros(1))
        return after.done, after.reward

    for c in (0.0, 0.3, 1.0):
        done, noise = map(np.asarray, step(jnp.full(count, c), jax.random.split(jax.random.key(1), count)))
        assert abs(done.mean() - (1 - c)) <= 5 * np.sqrt(c * (1 - c) / count)
        if 0 < c < 1:
            assert abs(np.corrcoef(done, noise)[0, 1]) < 5 / np.sqrt(count)


def test_each_step_has_its_own_noise(simulated: Simulated) -> None:
    """s' = n: standard normal, different in each step, and not correlated."""
    env = simulated(lambda s, a, n: (n[None], s[0], jnp.ones(())), 0.0)
    steps = lambda state, _: (env.step(state, jnp.zeros(1)),) * 2  # noqa: E731
    noises = np.asarray(jax.lax.scan(steps, env.reset(jax.random.key(0)), length=4000)[1].obs[:, 0])
    assert len(np.unique(noises)) > 3990  # but for a few that float32 cannot distinguish
    assert abs(noises.mean()) < 5 / np.sqrt(4000)
    assert abs(noises.std() - 1) < 5 / np.sqrt(2 * 4000)
    assert abs(np.corrcoef(noises[1:], noises[:-1])[0, 1]) < 5 / np.sqrt(4000)


def test_a_perturbed_observation_does_not_enter_the_next_step(simulated: Simulated) -> None:
    """s' = s, r = s: the state stays 2, whatever is observed of it."""
    env = simulated(lambda s, a, n: (s, s[0], jnp.ones(())), 2.0)
    noisy = perturbations.registry.make("multiplicative_observation", env)
    state = noisy.reset(jax.random.key(0))
    for _ in range(3):
        state = noisy.step(state, jnp.zeros(1))
        assert float(state.reward) == 2.0
        assert float(state.obs[0]) != 2.0
