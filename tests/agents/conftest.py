"""A small configuration, and the command line as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gin
from agents import gin_names
from agents.gin_messages import explained
from agents.gin_sources import ROOT
from sobolev.training import Job, build

TINY = """
include 'gin/base.gin'

agent.metric = @metrics.mmd()
agent.gradient = 'action'
agent.num_samples = 3
agent.batch_size = 8
agent.actor_start = 4
world_models.cvae.hidden_sizes = (8,)
critics.generative.hidden_sizes = (8,)
critics.generative.noise_size = 4
actors.deterministic.hidden_sizes = (8,)

train.environment = @environments.point_mass()
environments.point_mass.dimensions = 2
train.total_steps = 160
train.episode_length = 6
train.num_envs = 2
train.updates_per_step = 1.0
train.warmup_steps = 16
train.warmup_updates = 4
train.eval_every = 4
train.eval_episodes = 4
train.checkpoint_every = 40
"""

SMALL = """
widths = (4,)
model_widths = (4,)
agent.batch_size = 4
world_models.flow.couplings = 2
world_models.mage.members = 2
world_models.gaussian_ensemble.members = 2
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gin file that trains in seconds."""
    path = tmp_path_factory.mktemp("configuration") / "tiny.gin"
    path.write_text(TINY)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., str]:
    """``small(*files)``: a gin file that includes these and makes whatever parts they take small, to trace fast."""

    def of(*files: object) -> str:
        (tmp_path / "sizes.gin").write_text(SMALL)
        path = tmp_path / "small.gin"
        path.write_text("".join(f"include '{file}'\n" for file in (*files, tmp_path / "sizes.gin")))
        return str(path)

    return of


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[list[str], dict[str, Any]]]:
    """``command(*arguments)``: the command line and how to start it; all share one cache of compiled programs."""
    cache = tmp_path_factory.mktemp("compiled")
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PLATFORMS": "cpu"}

    def of(*arguments: object) -> tuple[list[str], dict[str, Any]]:
        words = [sys.executable, str(ROOT / "agents" / "run.py"), *map(str, arguments)]
        return words, {"env": environment, "cwd": cache, "text": True}

    return of


@pytest.fixture(scope="session")
def call(command: Callable[..., tuple[list[str], dict[str, Any]]]) -> Run:
    """``call(*arguments, **how)``: runs the command line to its end."""

    def of(*arguments: object, **how: Any) -> "subprocess.CompletedProcess[str]":
        words, usual = command(*arguments)
        return subprocess.run(words, **usual | how, capture_output=True, timeout=280, check=False)

    return of


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """gin has nothing bound when a test begins."""
    yield
    gin.clear_config()


@pytest.fixture
def configure() -> Callable[..., Job]:
    """``configure(files, bindings)``: what the command line does before it trains."""

    def job(files: list[str], bindings: list[str]) -> Job:
        config = gin_names.load(files, bindings)
        with explained(files, bindings):
            built = build(config)
        gin_names.check_all_read(files, bindings)
        return built

    return job
