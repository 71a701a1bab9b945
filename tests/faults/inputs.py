"""Wrong samples for metrics, and environments that are none."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from sobolev import metrics
from sobolev.environments import HostEnv, check_environment
from sobolev.environments.host import HostEpisodes
from tests.environments.test_check import NUMBERS, TRACED
from tests.faults.case import Case, refused

DISTANCES: dict[str, Callable[[Any, Any], Any]] = {
    "mmd2, energy": lambda x, y: metrics.mmd2(x, y, metrics.Energy(), "v"),
    "mmd2, multiquadric": lambda x, y: metrics.mmd2(x, y, metrics.Multiquadric(), "v"),
    "mmd2, rbf": lambda x, y: metrics.mmd2(x, y, metrics.RBF(), "v"),
    "mmd2, laplace": lambda x, y: metrics.mmd2(x, y, metrics.Laplace(), "v"),
    "sliced_wasserstein": lambda x, y: metrics.sliced_wasserstein(jax.random.key(0), x, y),
    "max_sliced_wasserstein": lambda x, y: metrics.max_sliced_wasserstein(jax.random.key(0), x, y),
    "msmmd2": lambda x, y: metrics.msmmd2(jax.random.key(0), x, y),
}
X, Y = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)


def hides_nan(distance: Callable[[Any, Any], Any], value: float, folder: Path) -> str:
    """Of a sample that is not finite: neither the distance nor its gradient is."""
    del folder
    x = jnp.asarray(X).at[1, 2].set(value)
    found, slope = jax.value_and_grad(distance)(x, jnp.asarray(Y))
    if np.isfinite(found):
        return f"the distance is {found}"
    return "" if not np.all(np.isfinite(slope)) else "the gradient is finite"


def is_representable(distance: Callable[[Any, Any], Any], x: np.ndarray, y: np.ndarray, folder: Path) -> str:
    """Of samples whose distance a float32 holds: it is finite, and so is its gradient."""
    del folder
    found = distance(jnp.asarray(x), jnp.asarray(y))
    return "" if np.isfinite(found) else f"the distance is {found}"


def rejects(distance: Callable[[Any, Any], Any], x: Any, y: Any, folder: Path) -> str:
    """Of samples of a wrong shape or type."""
    del folder
    return refused(ValueError, lambda: distance(x, y))


class Odd(gymnasium.Env):
    """An environment of which one thing is wrong."""

    def __init__(self, **wrong: Any) -> None:
        self.wrong = wrong
        self.observation_space = wrong.get("observations", Box(-1.0, 1.0, (2,), np.float32))
        self.action_space = wrong.get("actions", Box(-1.0, 1.0, (1,), np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if "fails" in self.wrong:
            raise ValueError("the simulator has no licence")
        return self.wrong.get("first", np.zeros(2, np.float32)), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        return self.wrong.get("next", np.zeros(2, np.float32)), self.wrong.get("reward", 0.0), False, False, {}


ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "discrete actions": {"actions": Discrete(3)},
    "actions without bounds": {"actions": Box(-np.inf, np.inf, (1,), np.float32)},
    "actions of two dimensions": {"actions": Box(-1.0, 1.0, (1, 2), np.float32)},
    "an image for an observation": {"observations": Box(0, 255, (8, 8, 3), np.uint8)},
    "a dictionary of observations": {"observations": Dict({"x": Box(-1.0, 1.0, (2,), np.float32)})},
    "a first observation of another shape": {"first": np.zeros(3, np.float32)},
    "a first observation that is nan": {"first": np.full(2, np.nan, np.float32)},
    "a first observation of text": {"first": np.array(["a", "b"])},
    "a first observation that is a dictionary": {"first": {"x": 1.0}},
    "an observation of another shape": {"next": np.zeros(3, np.float32)},
    "an observation that is infinite": {"next": np.full(2, np.inf, np.float32)},
    "an observation that is nothing": {"next": None},
    "a reward that is nan": {"reward": float("nan")},
    "a reset that fails": {"fails": True},
}


def of_environment(wrong: dict[str, Any], folder: Path) -> str:
    """Of an environment: it is refused in one message, when it is made or at the step."""
    del folder

    def one_step() -> None:
        HostEpisodes(HostEnv(lambda: Odd(**wrong)), 1, 5, np.array([0, 1])).step(np.zeros((1, 1)))

    return refused(ValueError, one_step, "Odd")


def of_device(env: Any, folder: Path) -> str:
    """Of an environment on the device: it is refused in one line that begins with its name."""
    del folder
    return refused(ValueError, lambda: check_environment(env, steps=4), type(env).__name__, lines=1)


def cases() -> Iterator[Case]:
    """All of them."""
    for name, distance in DISTANCES.items():
        for value in (np.nan, np.inf):
            yield Case("metric", f"{name}: a sample that is {value}", partial(hides_nan, distance, value))
        yield Case(
            "metric",
            f"{name}: integers",
            partial(is_representable, distance, np.eye(3, dtype=int), 2 * np.eye(3, dtype=int)),
        )
        yield Case(
            "metric",
            f"{name}: half precision",
            partial(is_representable, distance, X.astype(np.float16), Y.astype(np.float16)),
        )
        yield Case("metric", f"{name}: equal samples", partial(is_representable, distance, X, X))
        yield Case("metric", f"{name}: complex numbers", partial(rejects, distance, X + 1j, Y))
        yield Case("metric", f"{name}: one dimension", partial(rejects, distance, X[0], Y[0]))
        yield Case("metric", f"{name}: other components", partial(rejects, distance, X, Y[:, :2]))
        yield Case("metric", f"{name}: no sample", partial(rejects, distance, X[:0], Y))
    for name, wrong in ENVIRONMENTS.items():
        yield Case("environment", name, partial(of_environment, wrong))
    for name, (env, _) in {**TRACED, **NUMBERS}.items():
        yield Case("environment", f"on the device: {name}", partial(of_device, env))
