"""The chain of masses of the scaling experiments: what is trained on it, and its optimal policies."""

import argparse
import itertools
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.lib.arguments import add_seeds
from experiments.lib.bindings import FOUR, MIXED, SEPARABLE
from experiments.lib.learning import Arm, load_job
from sobolev.environments import LQR
from sobolev.environments.exact.linear_quadratic import optimal_gain
from sobolev.training.evaluate import EVALUATION_SEED, evaluate

ACTIONS = (1, 2, 4, 8, 16, 32, 64)
GRADIENTS = ("none", "action", "state_action")
FAMILIES = {"point": "gin/huber_cvae.gin", "MMD": "gin/mmd_cvae.gin", "MSMMD": "gin/msmmd_cvae.gin"}
LOTTERY = "gin/noise/reward_lottery.gin"
NOISES: dict[str, Arm] = {
    "none": Arm(()),
    "dynamics": Arm(("gin/noise/additive_dynamics.gin",)),
    "lottery": Arm((LOTTERY,)),
    "milder lottery": Arm((LOTTERY,), ("perturbations.reward_lottery.chance = 0.2",)),
}
PLAIN = "none"
SLICED = (
    *SEPARABLE,
    "agent.metric = @metrics.sliced_mmd()",
    "metrics.sliced_mmd.kernel = @kernels.multiquadric()",
)
CONTROLS: dict[str, tuple[str, ...]] = {
    PLAIN: (),
    "four updates": ("train.updates_per_step = 4.0",),
    "share 0.3": ("gradient_scales.balanced.share = 0.3",),
    "four transitions": FOUR,
    "four inferred": (*FOUR, "horizons.fixed.source = 'inference'"),
    "four replayed": (*FOUR, "horizons.fixed.source = 'replay'"),
    "one to four": MIXED,
    "separable reward": SEPARABLE,
    "separable reward, share 0.3": (*SEPARABLE, "gradient_scales.balanced.share = 0.3"),
    "separable reward, four transitions": (*SEPARABLE, *FOUR),
    "separable reward, one to four": (*SEPARABLE, *MIXED),
    "separable reward, sliced": SLICED,
    "separable reward, one random direction": (*SLICED, "metrics.sliced_mmd.num_directions = 1"),
    "separable reward, own directions": (*SEPARABLE, "metrics.msmmd.cross_fit = False"),
    "known": ("agent.world_model = @world_models.known",),
}
FORCE = 8.0  # of one motor alone, in N
KICK = 0.4  # of one mass alone, the deviation of the noise on its velocity at each step, in m/s
TASK = (
    "train.environment = @environments.lqr()",
    "environments.lqr.dt = 0.1",
    "environments.lqr.control_cost = 0.02",
)
WARM_UP = 200  # environment steps
TRAINING = (
    "train.updates_per_step = 2.0",
    "gradient_scales.balanced.share = 3.0",
    f"train.warmup_steps = {WARM_UP}",
    "train.warmup_updates = 500",
    "agent.actor_start = 500",
    "train.eval_every = 100",
    "train.checkpoint_every = 1_000_000",
)
LABELS = {
    "none": "values alone",
    "action": "values and action gradient",
    "state_action": "values and both gradients",
}


class Setting(NamedTuple):
    """What is trained. As text, its fields with slashes between them, it names the arm in the CSV file."""

    family: str
    gradient: str
    noise: str
    control: str
    actions: int

    def __str__(self) -> str:
        return "/".join(map(str, self))


def setting_of(arm: str) -> Setting:
    """The setting that an arm's name says."""
    family, gradient, noise, control, actions = arm.split("/")
    return Setting(family, gradient, noise, control, int(actions))


def task_of(actions: int, noise: str) -> Arm:
    """The files and bindings of the task alone."""
    root = math.sqrt(actions)
    size = (f"environments.lqr.num_masses = {actions}", f"environments.lqr.num_actuators = {actions}")
    strength: tuple[str, ...] = (f"environments.lqr.force = {FORCE / root:.4f}",)
    if noise == "dynamics":
        strength += (f"perturbations.additive_dynamics.scale = {KICK / root:.4f}",)
    of_noise = NOISES[noise]
    episodes = 4_096 if LOTTERY in of_noise.files else 128
    bindings = (*TASK, *size, *strength, *of_noise.bindings, f"train.eval_episodes = {episodes}")
    return Arm(of_noise.files, bindings)


def arm_of(setting: Setting, steps: int) -> Arm:
    """The configuration of a setting, of so many environment steps."""
    task = task_of(setting.actions, setting.noise)
    gradient = f"agent.gradient = '{setting.gradient}'"
    length = f"train.total_steps = {steps}"
    bindings = (*task.bindings, *TRAINING, length, gradient, *CONTROLS[setting.control])
    return Arm((FAMILIES[setting.family], *task.files), bindings)


def masses_of(env: Any) -> LQR:
    """The chain itself, without the wrappers around it."""
    masses = getattr(env, "unwrapped", None)
    assert isinstance(masses, LQR)
    return masses


class Task(NamedTuple):
    """A task."""

    actions: int
    noise: str


class Optimum(NamedTuple):
    """Its optimal policy's return."""

    best: float


def optimum_of(actions: int, noise: str) -> Optimum:
    """The return of the optimal linear policy, clipped to the range of actions, in the episodes of every evaluation."""
    task = task_of(actions, noise)
    config, env, _ = load_job(Arm((FAMILIES["point"], *task.files), (*task.bindings, *TRAINING)))
    gain = optimal_gain(masses_of(env).task, config.agent.gamma)

    def policy(key: Any, s: Any) -> Any:
        del key
        return jnp.clip(s @ gain.T, -1.0, 1.0)

    play = jax.jit(partial(evaluate, env, policy, episodes=config.eval_episodes, length=config.episode_length))
    return Optimum(float(play(jax.random.key(EVALUATION_SEED)).returns.mean()))


def order(setting: Setting) -> tuple[int, ...]:
    """The place of a setting in tables."""
    noises, families, controls = (list(known) for known in (NOISES, FAMILIES, CONTROLS))
    places = noises.index(setting.noise), families.index(setting.family), controls.index(setting.control)
    return (*places, GRADIENTS.index(setting.gradient), setting.actions)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds what :func:`wanted` takes, and seeds."""
    parser.add_argument("--actions", type=int, action="append", choices=ACTIONS, help="default: all")
    parser.add_argument("--family", choices=FAMILIES, action="append", help="default: all")
    parser.add_argument("--gradient", choices=GRADIENTS, action="append", help="default: all")
    parser.add_argument("--noise", choices=NOISES, action="append", help="default: none")
    parser.add_argument("--control", choices=CONTROLS, action="append", help="default: none")
    add_seeds(parser, "600-604")


def wanted(options: argparse.Namespace) -> Iterator[Setting]:
    """The settings that the arguments name; the known step is that of the task without noise."""
    names = (options.family or FAMILIES, options.gradient or GRADIENTS, options.noise or [PLAIN])
    for family, gradient, noise, control, actions in itertools.product(
        *names, options.control or [PLAIN], options.actions or ACTIONS
    ):
        if control != "known" or noise == "none":
            yield Setting(family, gradient, noise, control, actions)
