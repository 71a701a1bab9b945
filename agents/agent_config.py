"""What the agent is made of, and its numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import optax

from sobolev import bellman, joint
from sobolev.balance import GradientScale
from sobolev.metrics import Metric
from sobolev.registry import unknown_name
from sobolev.types import Actor, Critic, Spec, WorldModel

NOISE_SOURCES = ("inference", "imagination")
CONTINUATIONS = ("data", "model")
ACTOR_VALUES = ("mean", "min")


@dataclass(frozen=True)
class AgentConfig:
    """What the agent is made of, and its numbers.

    Args:
        metric: loss of predicted against target samples.
        world_model: factory ``(spec) -> WorldModel``.
        critic: factory ``(spec) -> Critic``.
        actor: factory ``(spec) -> Actor``.
        gradient: which gradients the critic is trained on, see :mod:`sobolev.joint`.
        gradient_scale: their scale against the return, see :mod:`sobolev.balance`.
        noise_source: "inference" explains the recorded transition, one s' for all target samples; "imagination" draws
            a new one from the world model for each.
        continuation: who says whether a transition goes on: "data", the recorded end, or "model", the world model's
            probability of going on with its derivative.
        overestimation: what is done to the target critics' samples: "none", "min", "crossed_min", "truncate",
            "truncate_each" or another entry of :data:`sobolev.bellman.overestimation`.
        drop: how many target samples "truncate" drops of all, "truncate_each" of each critic's; the others drop none.
        num_critics: critics, each with its target.
        num_samples: samples N of each critic, at the state-action pair and of each target critic.
        batch_size: transitions B per update.
        gamma: discount per environment step.
        n_step: environment steps folded into one transition (V24: 5): the rewards' discounted sum, the state that they
            end in. The world model then learns the jump.
        polyak: step of the target critics' parameters towards the learned ones, after each update.
        actor_polyak: the same of the target actor; at 1 targets follow the policy itself (SAC).
        actor_value: what the actor ascends: the "mean" of all critics' mean returns, or their "min".
        target_noise: standard deviation of the noise on target actions (TD3's smoothing), clipped at 2.5 times that.
        policy_delay: critic updates per actor update.
        actor_start: updates before the actor's first: an actor that follows an untrained critic soon outputs nothing
            but the bounds of the action, where its own gradient vanishes.
        critic_optimizer, actor_optimizer, world_model_optimizer: optax transformations.
    """

    metric: Metric
    world_model: Callable[[Spec], WorldModel]
    critic: Callable[[Spec], Critic]
    actor: Callable[[Spec], Actor]
    gradient: str
    gradient_scale: GradientScale
    noise_source: str
    continuation: str
    overestimation: str
    drop: int
    num_critics: int
    num_samples: int
    batch_size: int
    gamma: float
    n_step: int
    polyak: float
    actor_polyak: float
    actor_value: str
    target_noise: float
    policy_delay: int
    actor_start: int
    critic_optimizer: optax.GradientTransformation
    actor_optimizer: optax.GradientTransformation
    world_model_optimizer: optax.GradientTransformation

    def __post_init__(self) -> None:
        joint.check_gradient(self.gradient)
        bellman.overestimation.get(self.overestimation)
        for name, known in (
            ("noise_source", NOISE_SOURCES),
            ("continuation", CONTINUATIONS),
            ("actor_value", ACTOR_VALUES),
        ):
            if getattr(self, name) not in known:
                raise unknown_name(name.replace("_", " "), getattr(self, name), known)
        for name in ("num_critics", "num_samples", "batch_size", "n_step", "policy_delay"):
            if getattr(self, name) < 1:
                raise ValueError(f"agent.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("gamma", "polyak", "actor_polyak"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"agent.{name} must be in [0, 1], got {getattr(self, name)}")
