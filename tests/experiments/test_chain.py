"""The tasks of the chain of masses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.lib.chain import NOISES, TRAINING, masses_of, task_of
from experiments.lib.learning import Arm, load_job
from sobolev.environments import HostEnv

SHARES = {"none": 1.0, "dynamics": 1.0, "lottery": 0.02, "milder lottery": 0.2}


@pytest.mark.parametrize("noise", NOISES)
def test_a_reward_is_paid_as_often_as_its_noise_says(noise: str) -> None:
    task = task_of(4, noise)
    _, env, _ = load_job(Arm(("gin/huber_cvae.gin", *task.files), (*task.bindings, *TRAINING)))
    assert not isinstance(env, HostEnv)
    assert masses_of(env).action_size == 4
    keys = jax.random.split(jax.random.key(3), 2_000)
    states = jax.vmap(env.reset)(keys)
    rewards = np.asarray(jax.jit(jax.vmap(env.step))(states, jnp.zeros((2_000, 4))).reward)
    share = SHARES[noise]
    assert np.mean(rewards != 0.0) == pytest.approx(share, abs=4.0 * np.sqrt(share * (1.0 - share) / 2_000))
    plain = np.asarray(jax.jit(jax.vmap(masses_of(env).step))(states, jnp.zeros((2_000, 4))).reward)
    paid = rewards != 0.0
    if noise != "dynamics":
        np.testing.assert_allclose(rewards[paid] * share, plain[paid], rtol=1e-4)
