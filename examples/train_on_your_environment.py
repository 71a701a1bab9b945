"""An environment of one's own, as a class of Gymnasium: checked, trained on, and solved by the policy that was saved.

A boiler is to be kept at a temperature that is drawn for each episode, while it loses heat and the weather changes.

python examples/train_on_your_environment.py
"""

from functools import partial
from typing import Any

import gymnasium
import numpy as np

import sobolev
from sobolev import actors, critics, metrics, world_models
from sobolev.agent import AgentConfig
from sobolev.environments import HostEnv, check_environment
from sobolev.training import TrainConfig, train


class Boiler(gymnasium.Env):
    """A boiler that is heated by 0 to 2 kW and loses heat; the reward is minus the squared error, in units of 10 K."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = gymnasium.spaces.Box(
        0.0, 2.0, (1,), np.float64
    )  # kW; the agent's actions, in [-1, 1], are mapped to it

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.temperature, self.wanted, self.weather = self.np_random.uniform([20, 40, 0], [60, 60, 20])
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.weather += self.np_random.normal(0.0, 0.5)
        self.temperature += 5.0 * action[0] - 0.1 * (self.temperature - self.weather)
        reward = -(((self.temperature - self.wanted) / 10.0) ** 2)
        return self._observation(), float(reward), False, False, {}  # nothing ends it but the time limit of training

    def _observation(self) -> np.ndarray:
        return np.array([self.temperature - self.wanted, self.wanted - self.weather, self.weather])


env = HostEnv(Boiler)
check_environment(env)  # one line says what is wrong, if anything is

widths = (32, 32)
agent = AgentConfig(
    critic=partial(critics.make_deterministic, hidden_sizes=widths, layer_norm=True, quadratic=True),  # a point
    metric=metrics.L2(),
    world_model=partial(world_models.make_deterministic, hidden_sizes=widths),
    actor=partial(actors.make_deterministic, hidden_sizes=widths),
    gradient="state_action",
    overestimation="min",
    num_samples=1,
)
config = TrainConfig(environment=env, agent=agent, total_steps=1_500, eval_every=500, eval_episodes=20)
train(config, "runs/boiler", callbacks=[lambda row: print(f"step {row['env_steps']}: return {row['eval/return']:.2f}")])

policy = sobolev.load_policy("runs/boiler")  # a function from an observation to an action in [-1, 1]
boiler, returns = Boiler(), []
for seed in range(1_000, 1_020):
    s = boiler.reset(seed=seed)[0]
    rewards = []
    for _ in range(config.episode_length):
        s, r = boiler.step(env.to_bounds(np.asarray(policy(s))))[:2]
        rewards.append(r)
    returns.append(sum(rewards))
print(f"return {np.mean(returns):.2f} over {len(returns)} other episodes of {config.episode_length} steps")
