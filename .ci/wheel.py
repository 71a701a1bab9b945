"""What a user of the installed wheel does, on a job of a few steps."""

import importlib.util
from pathlib import Path

import jax

import sobolev
from sobolev.environments import PointMass
from sobolev.training import TrainConfig, evaluate, train

assert "site-packages" in sobolev.__file__, sobolev.__file__
assert (Path(sobolev.__file__).parent / "py.typed").exists()
assert not [name for name in ("gin", "absl_flags", "agents") if importlib.util.find_spec(name)]
config = TrainConfig(
    environment=PointMass(), noise=None, total_steps=60, warmup_steps=20, warmup_updates=4, eval_every=20, num_seeds=2
)
run = train(config, "run")
assert len(run.rows) == 6
assert Path("run/learning_curve.png").stat().st_size > 0
policy = sobolev.load_policy("run", seed=1)
assert policy(jax.numpy.zeros((5, 4))).shape == (5, 2)
score = evaluate(config.task, lambda key, s: policy(s), jax.random.key(7), episodes=3, length=10)
assert score.lengths.tolist() == [10.0] * 3
print("the wheel trains, evaluates and loads a policy")
