"""What one episode tells of an agent: what it saw and did, and what its critics expected against what followed.

Functions of an environment, a policy ``(s[E, S]) -> a[E, A]`` without randomness, and an agent's state. All returns are
discounted, and they and the slopes are in the task's unit.
"""

from sobolev.training.inspection.episode import Episode, record_episode
from sobolev.training.inspection.expectations import Slicing, critic_samples, slicing
from sobolev.training.inspection.returns import discounted_returns, rollout_returns

__all__ = [
    "Episode",
    "Slicing",
    "critic_samples",
    "discounted_returns",
    "record_episode",
    "rollout_returns",
    "slicing",
]
