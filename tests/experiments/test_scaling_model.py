"""The errors of derivatives of world models."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import scaling_model
from experiments.lib.chain import Setting, arm_of
from experiments.lib.derivatives import jacobian
from experiments.lib.learning import load_job
from sobolev.training import Job


@pytest.fixture(scope="module")
def job() -> Job:
    return load_job(arm_of(Setting("point", "state_action", "none", "known", 2), 1_000))


def test_the_true_step_has_no_error(job: Job) -> None:
    errors = jax.jit(partial(scaling_model.errors_of, job, 60))(jnp.int32(3))
    np.testing.assert_allclose(errors, 0.0, atol=1e-6)


def test_the_jacobian_is_that_of_differences(job: Job) -> None:
    s, a, width = jnp.array([0.5, -1.0, 0.3, 0.2]), jnp.array([0.4, -0.6]), 1e-2
    step = partial(scaling_model.true_step, job)
    found = jacobian(step, s, a)

    def differences(outcome: int, of: int) -> np.ndarray:
        size = (4, 2)[of]
        columns = []
        for side in width * np.eye(size, dtype=np.float32):
            above, below = (step(s + sign * side, a) if of == 0 else step(s, a + sign * side) for sign in (1, -1))
            columns.append((np.asarray(above[outcome]) - np.asarray(below[outcome])) / (2 * width))
        return np.stack(columns, axis=-1)

    np.testing.assert_allclose(found.next_by_state, differences(0, 0) - np.eye(4), atol=1e-3)
    np.testing.assert_allclose(found.next_by_action, differences(0, 1), atol=1e-3)
    np.testing.assert_allclose(found.reward_by_state, differences(1, 0), atol=1e-3)
    np.testing.assert_allclose(found.reward_by_action, differences(1, 1), atol=1e-3)


def test_data_are_as_many_as_asked_for_in_whole_episodes(job: Job) -> None:
    data = scaling_model.transitions(job, jax.random.key(0), 70)
    assert data.s.shape == (70, 4)
    np.testing.assert_array_equal(data.s[1:50], data.s_next[:49])
    assert np.any(data.s[50] != data.s_next[49])
    assert scaling_model.updates(data) == 500  # the warm-up is longer
    assert scaling_model.updates(scaling_model.transitions(job, jax.random.key(0), 300)) == 700
