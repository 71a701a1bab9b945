"""Seeds spread over several devices: four that are forced on the host, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax

from sobolev import actors, critics, metrics, world_models
from sobolev.environments import PointMass
from sobolev.training import TrainConfig, train
from tests.helpers import tiny_agent

assert jax.device_count() == 4
critic, actor = (partial(make, hidden_sizes=(4,)) for make in (critics.make_deterministic, actors.make_deterministic))
agent = tiny_agent(  # what compiles fastest
    metric=metrics.L2(), critic=critic, actor=actor, world_model=world_models.make_recorded, gradient="none",
    num_samples=1, overestimation="min", critic_optimizer=optax.sgd(1e-3), actor_optimizer=optax.sgd(1e-3),
)
numbers = dict(
    environment=PointMass(num_locations=2), noise=None, agent=agent, total_steps=20, episode_length=7,
    num_envs=2, warmup_steps=8, warmup_updates=4, eval_every=10, eval_episodes=3, checkpoint_every=10,
)
folder = Path(sys.argv[1])
spread = train(TrainConfig(num_seeds=8, **numbers), folder / "eight")
alone = train(TrainConfig(seed=5, **numbers), folder / "five")  # the second seed of the third device
for name in ("train/critic_mean", "eval/return"):
    np.testing.assert_allclose(
        spread.curve(name).values[5], alone.curve(name).values[0], rtol=2e-3, atol=1e-4, err_msg=name
    )
assert len(np.unique(spread.curve("eval/return").values[:, -1])) == 8
(folder / "eight" / "checkpoints" / "20.npz").unlink()
again = train(TrainConfig(num_seeds=8, **numbers), folder / "eight", resume=True)
for name in ("train/critic_mean", "eval/return"):
    np.testing.assert_array_equal(spread.curve(name).values, again.curve(name).values, err_msg=name)
"""


def test_eight_seeds_on_four_devices_are_eight_single_runs(tmp_path: Path) -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    assert "on each of 4 devices" in done.stdout
