"""The evaluation of a run directory: its numbers against loops of their own, its file, its words, its mistakes."""

import csv
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import evaluate as program
from agents.gin_messages import ConfigError
from agents.runs import load_job, restore_kept_agents
from sobolev.training import Evaluation, read_run
from sobolev.training.evaluate import FRESH_SEED
from sobolev.training.faults import DivergedError

Call = Callable[..., "subprocess.CompletedProcess[str]"]
STEPS, EPISODES = 48, 5


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory, tiny: Path, call: Call) -> Path:
    """A run of three seeds on a noisy task."""
    path = tmp_path_factory.mktemp("run") / "three"
    bindings = {
        "train.num_seeds": 3,
        "train.seed": 5,
        "train.total_steps": STEPS,
        "train.checkpoint_every": 8,
        "train.noise": "@perturbations.additive_dynamics",
        "perturbations.additive_dynamics.scale": 0.5,
    }
    words = [f"--gin_bindings={name} = {value}" for name, value in bindings.items()]
    result = call(f"--gin_file={tiny}", f"--run_dir={path}", *words)
    assert result.returncode == 0, result.stderr
    return path


def evaluate(run_dir: Path, *arguments: str) -> list[dict[str, str]]:
    """The rows that the program writes."""
    program.run(program.make_parser().parse_args([str(run_dir), f"--episodes={EPISODES}", *arguments]))
    assert not (run_dir / "evaluation.csv.partial").exists()
    with open(run_dir / "evaluation.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rows(run_dir: Path) -> list[dict[str, str]]:
    return evaluate(run_dir)


def of(rows: list[dict[str, str]], **where: Any) -> dict[str, str]:
    """The only row with these cells."""
    (found,) = [row for row in rows if all(row[name] == str(value) for name, value in where.items())]
    return found


def by_hand(env: Any, act: Callable[[Any], Any], length: int) -> list[float]:
    """The returns of the evaluation's episodes, one after the other, a step at a time."""
    key_reset, _ = jax.random.split(jax.random.key(FRESH_SEED))
    reset, step, returns = jax.jit(env.reset), jax.jit(env.step), []
    for key in jax.random.split(key_reset, EPISODES):
        state, total = reset(key), 0.0
        for _ in range(length):
            state = step(state, act(state.obs))
            total += float(state.reward)
        returns.append(total)
    return returns


def test_returns_are_those_of_a_loop_with_and_without_noise(run_dir: Path, rows: list[dict[str, str]]) -> None:
    job = load_job(run_dir)
    for kept in restore_kept_agents(job, run_dir):
        params = kept[-1].state.params.actor
        act = jax.jit(lambda s, params=params: job.agent.act(params, jax.random.key(0), s))
        for name, env in (("noisy", job.config.task), ("clean", job.config.environment)):
            returns = by_hand(env, act, job.config.episode_length)
            row = of(rows, seed=kept[-1].seed, env_steps=STEPS, environment=name)
            assert float(row["value"]) == pytest.approx(np.mean(returns), rel=1e-4, abs=1e-5)
            assert float(row["std"]) == pytest.approx(np.std(returns), rel=1e-3, abs=1e-5)
            assert min(returns) <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= max(returns)
            assert (row["episodes"], float(row["length"])) == (str(EPISODES), job.config.episode_length)


def test_over_seeds_there_are_interquartile_means(rows: list[dict[str, str]]) -> None:
    for name in ("noisy", "clean"):
        means = [float(of(rows, seed=seed, env_steps=STEPS, environment=name)["value"]) for seed in (5, 6, 7)]
        row = of(rows, seed="all", environment=name)
        assert float(row["value"]) == pytest.approx(np.mean(means))  # of three, none is left out
        assert min(means) <= float(row["low"]) <= float(row["high"]) <= max(means)
        assert row["statistic"] == "interquartile mean"
    assert of(rows, seed=5, env_steps=STEPS, environment="noisy") != of(
        rows, seed=5, env_steps=STEPS, environment="clean"
    )


def test_the_best_checkpoint_is_evaluated_where_it_is_kept(run_dir: Path, rows: list[dict[str, str]]) -> None:
    kept = sorted(int(path.stem) for path in (run_dir / "checkpoints").glob("*.npz"))
    assert kept == [STEPS - 8, STEPS]
    for seed in (5, 6, 7):
        scores = {row["env_steps"]: row["eval/return"] for row in read_run(run_dir).rows if row["seed"] == seed}
        best = max(scores, key=lambda steps: (scores[steps], steps))
        expected = {STEPS: "newest, best" if best == STEPS else "newest"} | ({best: "best"} if best == kept[0] else {})
        found = {int(row["env_steps"]): row["checkpoint"] for row in rows if row["seed"] == str(seed)}
        assert found == expected


def test_which_checkpoint_is_chosen() -> None:
    older, newest = (program.Restored(0, steps, ()) for steps in (40, 48))  # type: ignore[arg-type]
    chosen = {
        best: [(*each.agent[:2], each.checkpoint) for each in program.choose([older, newest], best)]
        for best in (None, 8, 40, 48)
    }
    assert chosen[None] == chosen[8] == [(0, 48, "newest")]
    assert chosen[40] == [(0, 48, "newest"), (0, 40, "best")]
    assert chosen[48] == [(0, 48, "newest, best")]
    assert "at 40 and 48 env steps, its best evaluation was at 8, whose checkpoint is not kept" in program.told_kept(
        [older, newest], 8
    )


def row_of(returns: list[float], seed: int = 0) -> program.Row:
    chosen = program.Chosen("newest", program.Restored(seed, 48, ()))  # type: ignore[arg-type]
    return program.row_of_seed(chosen, "task", Evaluation(jnp.array(returns), jnp.ones(len(returns))))


def test_too_few_values_have_no_interval_and_no_mean_over_seeds() -> None:
    assert row_of([3.0])[5:8] == (3.0, "", "")
    assert list(program.rows_over_seeds([row_of([3.0, 4.0], seed) for seed in range(2)])) == []
    (over,) = program.rows_over_seeds([row_of([3.0, 4.0 + seed], seed) for seed in range(4)])
    assert over.value == pytest.approx(np.mean([4.0, 4.5]))  # without the least and the largest of four


def test_returns_that_are_not_finite_are_told() -> None:
    with pytest.raises(DivergedError, match="seed 0, 48 env steps, task: 1 of 2 returns are not finite"):
        row_of([1.0, math.nan])


def test_the_console_shows_the_rows(run_dir: Path, rows: list[dict[str, str]], capsys: pytest.CaptureFixture) -> None:
    evaluate(run_dir)
    told = capsys.readouterr().out
    for row in rows:
        line = (
            f"{row['seed']} +{row['env_steps']} +{row['checkpoint']} +{row['environment']} +{float(row['value']):.2f}"
        )
        assert re.search(line, told), line
    assert re.search(rf"seed 6: checkpoints at {STEPS - 8} and {STEPS} env steps, its best evaluation was at \d+", told)


def message_of(run_dir: Path, *arguments: str) -> str:
    """Of the mistake in which the program ends, before it has written anything."""
    with pytest.raises(ConfigError) as caught:
        program.run(program.make_parser().parse_args([str(run_dir), *arguments]))
    assert not (run_dir / "evaluation.csv").exists()
    return str(caught.value)


def test_mistakes_are_told(run_dir: Path, tmp_path: Path) -> None:
    assert message_of(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: no such directory"
    assert "no config.gin" in message_of(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy, ignore=shutil.ignore_patterns("evaluation.csv"))
    assert message_of(copy, "--episodes=0") == "episodes must be at least 1, got 0"
    shutil.rmtree(copy / "checkpoints")
    assert "holds no checkpoint of seeds 5 to 7 in one program: train with train.checkpoint_every" in message_of(copy)
