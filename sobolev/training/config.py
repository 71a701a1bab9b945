"""What is trained, on what, and for how long; by default the default method on a point mass."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

from sobolev.agent import AgentConfig
from sobolev.checks import check_count, check_finite, check_positive
from sobolev.environments import PointMass
from sobolev.environments.base import Environment
from sobolev.registry import unknown_name
from sobolev.training.faults import NonFinite
from sobolev.training.loop import LoopConfig
from sobolev.training.replay import Window

QUICK_COMPILATION = {"xla_backend_optimization_level": 1}
"""XLA's options for programs on CPU: further levels take half as much time again and no program runs faster."""


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, on what, and for how long.

    Args:
        environment: a ``brax.envs.base.Env``, or a :class:`sobolev.environments.HostEnv`.
        noise: a perturbation that wraps the environment, ``(env) -> env``; None for none.
        agent: see :class:`sobolev.agent.AgentConfig`.
        total_steps: environment steps in all, warm-up included.
        episode_length: time limit of an episode, in steps; running into it is no termination.
        restart_after: the mean number of steps after which an episode of training restarts, if it has not ended
            before: after each step one in so many does. That is no termination. None for whole episodes, which
            evaluation always has.
        num_envs: environments side by side.
        updates_per_step: agent updates per environment step (UTD); times num_envs it must be a whole number.
        warmup_steps: environment steps with uniform actions before the first update; the normalizers of the agent's
            parts are fitted to them.
        warmup_updates: updates on what the warm-up recorded, before learning and acting take turns; rounded up to a
            multiple of the updates per step of all environments.
        eval_every: environment steps between evaluations.
        eval_episodes: episodes per evaluation.
        checkpoint_every: environment steps between checkpoints, which are written after an evaluation; 0 for none.
        replay_capacity: transitions kept; total_steps at the most.
        seed: of everything random; the first of several.
        num_seeds: how many seeds are trained, ``seed``, ``seed + 1``, …, each as by itself.
        seeds_at_once: how many of them run in one program, a divisor of num_seeds; None for all of them.
        memory_limit_gib: what a program and its data may take on a device, in GiB; None for what the device has.
        non_finite: what follows an update with a number that is not finite: "halt" ends the run, "skip" leaves that
            update out and counts it, see :mod:`sobolev.training.faults`.
        cpu_compiler_options: XLA's, for the program that learns, where it runs on CPU.

    Raises:
        ValueError: a number out of its range, or numbers that do not fit together.

    Example:
        >>> config = TrainConfig(total_steps=1_000, num_seeds=4, seeds_at_once=2, seed=10)
        >>> [list(group) for group in config.seed_groups]
        [[10, 11], [12, 13]]
    """

    environment: Environment = field(default_factory=partial(PointMass, num_locations=4, dimensions=4))
    noise: Callable[[Environment], Environment] | None = None
    agent: AgentConfig = field(default_factory=AgentConfig)
    total_steps: int = 6_000
    episode_length: int = 50
    restart_after: int | None = None
    num_envs: int = 4
    updates_per_step: float = 2.0
    warmup_steps: int = 500
    warmup_updates: int = 500
    eval_every: int = 200
    eval_episodes: int = 512
    checkpoint_every: int = 1_000
    replay_capacity: int = 1_000_000
    seed: int = 0
    num_seeds: int = 1
    seeds_at_once: int | None = None
    memory_limit_gib: float | None = None
    non_finite: NonFinite = "halt"
    cpu_compiler_options: dict[str, Any] = field(default_factory=QUICK_COMPILATION.copy)

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_multiples()
        self._check_warm_up()
        self._check_seeds()
        if self.non_finite not in get_args(NonFinite):
            raise unknown_name("train.non_finite", self.non_finite, get_args(NonFinite))

    def _check_ranges(self) -> None:
        at_least_1 = ("total_steps", "episode_length", "num_envs", "warmup_steps", "eval_every", "eval_episodes")
        least = dict.fromkeys((*at_least_1, "replay_capacity", "num_seeds"), 1) | dict.fromkeys(
            ("warmup_updates", "checkpoint_every"), 0
        )
        for name, bound in least.items():
            check_count(bound, **{f"train.{name}": getattr(self, name)})
        if self.restart_after is not None:
            check_count(1, **{"train.restart_after": self.restart_after})
        check_finite(**{"train.updates_per_step": self.updates_per_step})

    def _check_multiples(self) -> None:
        updates = self.num_envs * self.updates_per_step
        if updates < 1 or updates != int(updates):
            raise ValueError(
                f"train.updates_per_step times train.num_envs must be a whole number from 1 on, got "
                f"{self.updates_per_step} times {self.num_envs}"
            )
        for name in ("total_steps", "warmup_steps", "eval_every"):
            if getattr(self, name) % self.num_envs:
                raise ValueError(
                    f"train.{name} must be a multiple of train.num_envs, got {getattr(self, name)} and {self.num_envs}"
                )

    def _check_warm_up(self) -> None:
        if self.warmup_steps < self.agent.n_step * self.num_envs:
            raise ValueError(
                f"train.warmup_steps must be at least agent.n_step times train.num_envs, got {self.warmup_steps}, "
                f"{self.agent.n_step} and {self.num_envs}"
            )
        if self.warmup_steps <= self.loop.window.reach:
            raise ValueError(
                f"train.warmup_steps must hold the {self.agent.horizon.recorded_steps} transitions in a row that "
                f"agent.horizon looks at, at least {self.loop.window.reach + 1} steps, got {self.warmup_steps}"
            )
        if self.warmup_steps > min(self.total_steps, self.replay_capacity):
            raise ValueError(
                f"train.warmup_steps must not exceed train.total_steps and train.replay_capacity, got "
                f"{self.warmup_steps}, {self.total_steps} and {self.replay_capacity}"
            )

    def _check_seeds(self) -> None:
        if not 0 <= self.seed <= 2**31 - self.num_seeds:
            raise ValueError(f"train.seed must be in [0, 2^31 - num_seeds], got {self.seed}")
        if self.seeds_at_once is not None and (self.seeds_at_once < 1 or self.num_seeds % self.seeds_at_once):
            raise ValueError(
                f"train.seeds_at_once must divide train.num_seeds, got {self.seeds_at_once} and {self.num_seeds}"
            )
        if self.memory_limit_gib is not None:
            check_positive(**{"train.memory_limit_gib": self.memory_limit_gib})

    @property
    def task(self) -> Environment:
        """The environment with its noise."""
        return self.environment if self.noise is None else self.noise(self.environment)

    @property
    def loop(self) -> LoopConfig:
        """The numbers of the loop."""
        return LoopConfig(
            num_envs=self.num_envs,
            updates=int(self.num_envs * self.updates_per_step),
            batch_size=self.agent.batch_size,
            episode_length=self.episode_length,
            restart_probability=1.0 / self.restart_after if self.restart_after else 0.0,
            warmup_steps=self.warmup_steps,
            warmup_updates=self.warmup_updates,
            replay_capacity=min(self.replay_capacity, self.total_steps),
            window=Window(self.agent.n_step, self.num_envs, self.agent.gamma, self.agent.horizon.recorded_steps),
            non_finite=self.non_finite,
        )

    @property
    def seed_groups(self) -> tuple[range, ...]:
        """The seeds, by the programs that they share."""
        size = self.seeds_at_once or self.num_seeds
        end = self.seed + self.num_seeds
        return tuple(range(first, first + size) for first in range(self.seed, end, size))
