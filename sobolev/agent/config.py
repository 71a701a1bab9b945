"""What the agent is made of, and its numbers; by default max-sliced MMD through a cVAE, at laptop scale."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

import optax

from sobolev import actors, corrections, critics, joint, metrics, world_models
from sobolev.checks import check_at_least, check_count, check_positive
from sobolev.corrections import Correction, DoubleMin
from sobolev.gradient_scales import Balanced, GradientScale
from sobolev.horizons import Horizon, OneStep
from sobolev.joint import Gradient
from sobolev.metrics import Metric
from sobolev.registry import unknown_name
from sobolev.types import Actor, Critic, Spec, WorldModel

NoiseSource = Literal["inference", "imagination"]
Continuation = Literal["data", "model"]
ActorValue = Literal["mean", "min"]
RewardScale = float | Literal["fitted"] | None
_CHOICES = {"noise_source": NoiseSource, "continuation": Continuation, "actor_value": ActorValue}
_WIDTHS = (64, 64)
_WORLD_MODEL = partial(world_models.make_cvae, hidden_sizes=_WIDTHS)
_CRITIC = partial(critics.make_generative, hidden_sizes=_WIDTHS, noise_size=16, layer_norm=True, quadratic=True)
_ACTOR = partial(actors.make_deterministic, hidden_sizes=_WIDTHS)


def _metric() -> Metric:
    return metrics.MSMMD(search=metrics.DirectionSearch(num_directions=0, num_climbs=1, num_steps=5, axes=False))


def _critic_optimizer() -> optax.GradientTransformation:
    # Constant for the 12 000 updates of the default job; a longer run lets the critics settle.
    return optax.radam(optax.linear_schedule(1e-3, 5e-5, transition_steps=60_000, transition_begin=12_000))


@dataclass(frozen=True)
class AgentConfig:
    """What the agent is made of, and its numbers.

    Args:
        metric: loss of predicted against target samples.
        world_model: factory ``(spec) -> WorldModel``.
        critic: factory ``(spec) -> Critic``.
        actor: factory ``(spec) -> Actor``.
        gradient: which gradients the critic is trained on, see :mod:`sobolev.joint`.
        gradient_scale: their scale against the return, see :mod:`sobolev.gradient_scales`.
        noise_source: "inference" explains the recorded transition, one s' for all target samples; "imagination" draws
            a new one from the world model for each.
        continuation: where the probability of going on comes from: "data", the recorded end, or "model", the world
            model's, with its derivative.
        horizon: how many transitions a target looks ahead, and where the later ones come from, see
            :mod:`sobolev.horizons`. Under continuation "data" imagined ones do not end.
        overestimation: the correction of the target critics' samples, see :mod:`sobolev.corrections`; or its name.
        num_critics: critics, each with its target.
        num_samples: samples N of each critic, at the state-action pair and of each target critic.
        batch_size: transitions B per update.
        gamma: discount per environment step.
        reward_scale: the factor of all rewards in the targets, so that critics learn returns and gradients in another
            unit, see :mod:`sobolev.agent.rewards`; "fitted" measures it, once, on the warm-up. None is 1, but refuses
            a warm-up whose rewards are far from 1 in size; a number is taken as it is.
        n_step: environment steps folded into one transition (V24: 5): the rewards' discounted sum, the state that they
            end in. The world model then learns the jump.
        polyak: step of the target critics' parameters towards the learned ones, after each update.
        actor_polyak: the same of the target actor; at 1 targets follow the policy itself (SAC).
        actor_value: what the actor ascends: the "mean" of all critics' mean returns, or their "min".
        target_noise: standard deviation of the noise on target actions (TD3's smoothing), clipped at 2.5 times that.
        policy_delay: critic updates per actor update.
        actor_start: updates before the actor's first: an actor that follows an untrained critic soon outputs nothing
            but the bounds of the action, where its own gradient vanishes.
        critic_optimizer: optax transformation of the critics' gradient.
        actor_optimizer: of the actor's.
        world_model_optimizer: of the world model's.

    Raises:
        ValueError: an unknown name, or a number out of its range.

    Example:
        >>> config = AgentConfig(gradient="action", overestimation="min", batch_size=32)
        >>> config.correction
        Min()
    """

    metric: Metric = field(default_factory=_metric)
    world_model: Callable[[Spec], WorldModel] = _WORLD_MODEL
    critic: Callable[[Spec], Critic] = _CRITIC
    actor: Callable[[Spec], Actor] = _ACTOR
    gradient: Gradient = "state_action"
    gradient_scale: GradientScale = field(default_factory=Balanced)
    noise_source: NoiseSource = "inference"
    continuation: Continuation = "data"
    horizon: Horizon = field(default_factory=OneStep)
    overestimation: Correction | str = field(default_factory=DoubleMin)
    num_critics: int = 2
    num_samples: int = 8
    batch_size: int = 64
    gamma: float = 0.95
    reward_scale: RewardScale = None
    n_step: int = 1
    polyak: float = 0.02
    actor_polyak: float = 0.02
    actor_value: ActorValue = "mean"
    target_noise: float = 0.0
    policy_delay: int = 1
    actor_start: int = 500
    critic_optimizer: optax.GradientTransformation = field(default_factory=_critic_optimizer)
    actor_optimizer: optax.GradientTransformation = field(default_factory=lambda: optax.radam(3e-4))
    world_model_optimizer: optax.GradientTransformation = field(default_factory=lambda: optax.adam(1e-3))

    def __post_init__(self) -> None:
        joint.check_gradient(self.gradient)
        if isinstance(self.overestimation, str):
            corrections.registry.get(self.overestimation)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise unknown_name(name.replace("_", " "), getattr(self, name), get_args(choices))
        for name in ("num_critics", "num_samples", "batch_size", "n_step", "policy_delay"):
            check_count(1, **{f"agent.{name}": getattr(self, name)})
        check_count(0, **{"agent.actor_start": self.actor_start})
        check_at_least(0, **{"agent.target_noise": self.target_noise})
        if isinstance(self.reward_scale, str) and self.reward_scale != "fitted":
            raise unknown_name("reward scale", self.reward_scale, ["fitted"])
        if isinstance(self.reward_scale, int | float):
            check_positive(**{"agent.reward_scale": self.reward_scale})
        for name in ("gamma", "polyak", "actor_polyak"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"agent.{name} must be in [0, 1], got {getattr(self, name)}")

        if self.horizon.recorded_steps > 1 and self.noise_source != "inference":
            raise ValueError(
                f"agent.horizon of source {self.horizon.source!r} follows what was recorded from the first step on: "
                f"agent.noise_source must be 'inference', got {self.noise_source!r}"
            )

    @property
    def correction(self) -> Correction:
        """``overestimation``, made by the registry where it is a name."""
        if isinstance(self.overestimation, str):
            return corrections.registry.make(self.overestimation)
        return self.overestimation
