"""The slope audit of a run directory: its file, its words, its mistakes."""

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

import sobolev
from agents import slopes as program
from agents.gin_messages import ConfigError
from agents.gin_sources import ROOT

Call = Callable[..., "subprocess.CompletedProcess[str]"]
STEPS = 24


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, tiny: Path, call: Call) -> Path:
    """A run of four seeds, two at a time."""
    path = tmp_path_factory.mktemp("run") / "four"
    bindings = {"num_seeds": 4, "seeds_at_once": 2, "seed": 5, "total_steps": STEPS, "checkpoint_every": 4}
    words = [f"--gin_bindings=train.{name} = {value}" for name, value in bindings.items()]
    result = call(f"--gin_file={tiny}", f"--run_dir={path}", *words)
    assert result.returncode == 0, result.stderr
    return path


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """``audit(*arguments)``: runs the program to its end, in another folder."""
    environment, folder = os.environ | {"JAX_PLATFORMS": "cpu"}, tmp_path_factory.mktemp("elsewhere")

    def of(*arguments: object) -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, str(ROOT / "agents" / "slopes.py"), *map(str, arguments)]
        return subprocess.run(
            words, env=environment, cwd=folder, capture_output=True, text=True, timeout=280, check=False
        )

    return of


def test_the_audit_of_a_run_is_written_and_told(run_dir: Path, audit: Call) -> None:
    arguments = ("--num_states=7", "--horizon=3", "--num_draws=2", "--unrolled", "2", "--states_seed=4")
    result = audit(run_dir, *arguments)
    assert result.returncode == 0, result.stderr
    with open(run_dir / "slopes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["estimate"]) for row in rows] == [
        (seed, estimate) for seed in "5678" for estimate in ("half step", "critics", "model 2")
    ]
    assert {row["env_steps"] for row in rows} == {str(STEPS)}
    assert not (run_dir / "slopes.csv.partial").exists()
    told = re.findall(r"seed (\d), +(half step|critics|model 2): cosine +(\S+) ", result.stdout)
    assert [(seed, estimate) for seed, estimate, _ in told] == [(row["seed"], row["estimate"]) for row in rows]
    for (_, _, cosine), row in zip(told, rows, strict=True):
        assert float(cosine) == pytest.approx(float(row["cosine"]), abs=0.006)
        assert float(row["cosine_low"]) <= float(row["cosine"]) <= float(row["cosine_high"])
        assert float(row["size_low"]) <= float(row["size"]) <= float(row["size_high"])
        assert 0 < float(row["truth_error"]) < np.inf
    for row in rows[::3]:  # the point mass is smooth
        assert float(row["cosine"]) == pytest.approx(1.0, abs=0.01)
        assert float(row["size"]) == pytest.approx(1.0, abs=0.05)
    assert audit(run_dir, *arguments, "--seed=7").returncode == 0
    with open(run_dir / "slopes.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [row for row in rows if row["seed"] == "7"]


def test_each_seed_has_the_agent_of_its_own_checkpoint(run_dir: Path) -> None:
    job, s = program.load_job(run_dir), np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    actions = []
    for seed, env_steps, state in program.restore_agents(job, run_dir):
        assert env_steps == STEPS
        actions.append(jax.vmap(partial(job.agent.act, state.params.actor, jax.random.key(9)))(s))
        np.testing.assert_allclose(actions[-1], sobolev.load_policy(run_dir, seed)(s), rtol=1e-4, atol=1e-6)
    assert len(actions) == 4
    assert len(np.unique(np.stack(actions).round(6), axis=0)) == 4


def test_a_mistake_ends_with_status_two_and_one_message(audit: Call, tmp_path: Path) -> None:
    result = audit(tmp_path / "nowhere")
    assert result.returncode == 2
    assert result.stderr == f"error: {tmp_path / 'nowhere'}: no such directory\n"


def without(run_dir: Path, tmp_path: Path, *names: str) -> Path:
    """A copy of the run in which something is missing."""
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy, ignore=shutil.ignore_patterns("slopes.csv", *names))
    return copy


def message_of(run_dir: Path, *arguments: str) -> str:
    """Of the mistake in which an audit ends, before it has written anything."""
    with pytest.raises(ConfigError) as caught:
        program.run(program.make_parser().parse_args([str(run_dir), "--num_states=2", "--horizon=1", *arguments]))
    assert not (run_dir / "slopes.csv").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("missing", "words"),
    [("config.gin", "no config.gin"), ("seeds7-8", "seeds7-8 holds no checkpoint of seeds 7 to 8")],
)
def test_what_is_missing_is_told(missing: str, words: str, run_dir: Path, tmp_path: Path) -> None:
    copy = without(run_dir, tmp_path, missing)
    message = message_of(copy, "--num_draws=1", "--unrolled")
    assert words in message
    assert str(copy) in message


def test_a_seed_that_the_run_has_not_is_told(run_dir: Path, tmp_path: Path) -> None:
    assert message_of(without(run_dir, tmp_path), "--seed=4") == "--seed=4: the run has seeds [5, 6, 7, 8]"


UNSTEADY = '''"""A task that is no function of its seed."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box


class Unsteady(gymnasium.Env):
    action_space = Box(-1.0, 1.0, (2,))
    observation_space = Box(-np.inf, np.inf, (4,), np.float64)

    def reset(self, *, seed=None, options=None):
        return np.random.default_rng().normal(size=4), {}

    def step(self, action):
        return np.zeros(4), float(action.sum()), False, False, {}


gymnasium.register("Unsteady-v0", Unsteady)
'''


def test_wrong_numbers_and_episodes_that_do_not_repeat_are_told(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = without(run_dir, tmp_path)
    assert message_of(copy, "--num_states=0") == "true_slopes: num_states must be at least 1, got 0"
    (tmp_path / "unsteady.py").write_text(UNSTEADY)
    monkeypatch.syspath_prepend(tmp_path)
    config = copy / "config.gin"
    # With as many observations and actions as the point mass of the checkpoints.
    text = config.read_text().replace("@environments.point_mass()", "@environments.gymnasium()")
    text = re.sub(r"(?m)^environments\.point_mass\..*\n", "", text)
    config.write_text(f"{text}\nenvironments.gymnasium.id = 'unsteady:Unsteady-v0'\n")
    assert re.match(r"Unsteady-v0 does not repeat an episode ", message_of(copy))
