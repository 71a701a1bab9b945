"""TD3 of sbx (Stable-Baselines3 in JAX), on the point mass that the default job learns: pip install sbx-rl."""

import argparse

from sbx import TD3
from stable_baselines3.common.evaluation import evaluate_policy

from sobolev.environments import PointMass, as_gymnasium


def main() -> None:
    """Trains, and prints the return before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6_000, help="environment steps; default: %(default)s")
    options = parser.parse_args()
    env, other = (as_gymnasium(PointMass(num_locations=4, dimensions=4), episode_length=50) for _ in range(2))
    agent = TD3("MlpPolicy", env, learning_starts=500, gamma=0.95, seed=0)
    for steps in (0, options.steps):
        if steps:
            agent.learn(steps)
        mean, spread = evaluate_policy(agent, other, n_eval_episodes=20, warn=False)
        print(f"after {steps} steps: return {mean:.2f} ± {spread:.2f}")


if __name__ == "__main__":
    main()
