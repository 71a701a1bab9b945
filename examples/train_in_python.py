"""Trains from Python: ten lines that train, read the run, and act with the policy that it has learned.

python examples/train_in_python.py
"""

import jax

import sobolev
from sobolev.agent import AgentConfig
from sobolev.environments import PointMass
from sobolev.training import TrainConfig, evaluate, read_run, train

config = TrainConfig(environment=PointMass(), noise=None, agent=AgentConfig(gradient="action"), total_steps=2_000)
train(config, "runs/in_python", callbacks=[lambda row: print(f"step {row['env_steps']}: {row['eval/return']:.2f}")])

steps, returns = read_run("runs/in_python").curve("eval/return")  # [T] and [seeds, T]
print(f"return {returns[0, 0]:.2f} before learning, {returns[0, -1]:.2f} after {steps[-1]} environment steps")

policy = sobolev.load_policy("runs/in_python")  # observations [S] -> actions [A], or [B, S] -> [B, A]
score = evaluate(config.task, lambda key, s: policy(s), jax.random.key(1), episodes=100, length=50)
print(f"return {score.returns.mean():.2f} over {len(score.returns)} other episodes")
