"""Where bodies are: MuJoCo's geoms against those of the simulators that moved them."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from sobolev.environments import LQR, HostEnv, MotionRecorder, PointMass, make_brax, motion_of_states
from sobolev.environments.brax_tasks import Backend
from sobolev.training import inspection


def test_a_recorded_body_is_where_the_environment_had_it() -> None:
    env = gymnasium.make("Reacher-v5")
    env.reset(seed=3)
    recorder, places = MotionRecorder(env), []
    for _ in range(4):
        recorder.record()
        places.append(env.unwrapped.data.geom_xpos.copy())  # type: ignore[attr-defined]
        env.step(np.array([0.5, -0.7], np.float32))
    env.close()
    motion = recorder.motion()
    assert motion is not None
    assert motion.dt == pytest.approx(0.02)
    data = mujoco.MjData(motion.model)
    for t, expected in enumerate(places):
        motion.place(data, t)
        np.testing.assert_allclose(data.geom_xpos, expected, atol=1e-6)
    assert np.max(np.abs(places[3] - places[0])) > 1e-3


@pytest.mark.parametrize("backend", ["generalized", "mjx"])
def test_a_body_of_brax_is_where_its_links_are(backend: Backend) -> None:
    """The fingertip of Brax's reacher, whose link it is, and whose place the task observes."""
    env: Any = make_brax("reacher", backend=backend)
    states = jax.vmap(env.reset)(jax.random.split(jax.random.key(1), 3))
    motion = motion_of_states(env, states)
    assert motion is not None
    data = mujoco.MjData(motion.model)
    for t in range(3):
        motion.place(data, t)
        np.testing.assert_allclose(data.xpos[1:], states.pipeline_state.x.pos[t], atol=1e-5)
    assert np.ptp(np.asarray(states.pipeline_state.x.pos), axis=0).max() > 0.05


@pytest.mark.parametrize("env", [PointMass(), LQR()], ids=["point mass", "masses on springs"])
def test_tasks_without_a_model_have_no_body(env: PointMass | LQR) -> None:
    assert motion_of_states(env, jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 2))) is None
    pendulum = gymnasium.make("Pendulum-v1")
    recorder = MotionRecorder(pendulum)
    recorder.record()
    assert recorder.motion() is None
    pendulum.close()


def test_an_episode_has_the_body_at_each_observed_state() -> None:
    """Reacher-v5 observes the cosines and sines of its two angles first."""
    env = HostEnv(lambda: gymnasium.make("Reacher-v5"))
    episode = inspection.record_episode(env, lambda s: 0.3 * jnp.ones((len(s), 2)), length=5, beyond=2, seed=1)
    assert episode.motion is not None
    assert len(episode.motion.positions) == 5
    angles = episode.motion.positions[:, :2]
    np.testing.assert_allclose(episode.s[:, :4], np.concatenate([np.cos(angles), np.sin(angles)], axis=1), atol=1e-5)
