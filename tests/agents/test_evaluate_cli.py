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

import sobolev
from agents import evaluate as program
from agents import scores, video
from agents.gin_messages import ConfigError
from agents.page.data import plain
from agents.page.render import read_data, render
from agents.runs import Restored, load_job, restore_kept_agents
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
    words = [str(run_dir), f"--episodes={EPISODES}", "--frames=0", *arguments]
    program.run(program.make_parser().parse_args(words))
    assert not (run_dir / "evaluation.csv.partial").exists()
    return read_rows(run_dir)


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
    older, newest = (Restored(0, steps, ()) for steps in (40, 48))
    chosen = {
        best: [(*each.agent[:2], each.checkpoint) for each in scores.choose([older, newest], best)]
        for best in (None, 8, 40, 48)
    }
    assert chosen[None] == chosen[8] == [(0, 48, "newest")]
    assert chosen[40] == [(0, 48, "newest"), (0, 40, "best")]
    assert chosen[48] == [(0, 48, "newest, best")]
    assert "at 40 and 48 env steps, its best evaluation was at 8, whose checkpoint is not kept" in scores.told_kept(
        [older, newest], 8
    )


def row_of(returns: list[float], seed: int = 0) -> scores.Row:
    chosen = scores.Chosen("newest", Restored(seed, 48, ()))
    return scores.row_of_seed(chosen, "task", Evaluation(jnp.array(returns), jnp.ones(len(returns))))


def test_too_few_values_have_no_interval_and_no_mean_over_seeds() -> None:
    assert row_of([3.0])[5:8] == (3.0, "", "")
    assert list(scores.rows_over_seeds([row_of([3.0, 4.0], seed) for seed in range(2)])) == []
    (over,) = scores.rows_over_seeds([row_of([3.0, 4.0 + seed], seed) for seed in range(4)])
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


FRAMES, ROLLOUTS, HORIZON = 3, 7, 4


@pytest.fixture(scope="module")
def text(run_dir: Path, rows: list[dict[str, str]]) -> str:
    """The page of the second seed."""
    del rows  # written before
    evaluate(run_dir, f"--frames={FRAMES}", f"--rollouts={ROLLOUTS}", f"--horizon={HORIZON}", "--seed=6")
    assert not (run_dir / "page.html.partial").exists()
    return (run_dir / "page.html").read_text()


@pytest.fixture(scope="module")
def data(text: str) -> dict[str, Any]:
    return read_data(text)


def test_the_page_is_one_file_that_asks_for_no_other(text: str) -> None:
    assert len(text.encode()) < 10_000_000
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert re.findall(r"http(?!-equiv)|src=|href|url\(|@import|import\(|fetch\(|XMLHttp", text, re.IGNORECASE) == []
    assert "{{" not in text
    assert "<title>three, seed 6</title>" in text


def test_the_page_has_the_shapes_of_its_numbers(run_dir: Path, data: dict[str, Any]) -> None:
    config = load_job(run_dir).config
    steps, size, actions = config.episode_length, 4, 2
    assert (data["seed"], data["envSteps"], data["horizon"], data["noisy"]) == (6, STEPS, HORIZON, True)
    assert data["times"] == [0, round((steps - 1) / 2), steps - 1]
    shapes = {
        "observations": (steps, size),
        "actions": (steps, actions),
        "rewards": (steps,),
        "places": (4, actions),
        "samples": (FRAMES, 200, 1 + actions),
        "rollouts": (FRAMES, ROLLOUTS),
        "quantiles": (FRAMES, 5),
        "followed": (steps,),
    }
    for name, shape in shapes.items():
        assert np.shape(data[name]) == shape, name
    assert [each["name"] for each in data["slopes"]["of"]] == [
        "simulator",
        "half step",
        "critics",
        "model 1",
        "model 5",
    ]
    assert data["direction"] is data["target"] is None  # the metric is not max-sliced


def test_the_numbers_of_the_page_are_those_of_numpy(data: dict[str, Any]) -> None:
    returns = np.array(data["samples"])[..., 0]
    for level, quantile in zip(data["levels"], np.transpose(data["quantiles"]), strict=True):
        np.testing.assert_allclose(quantile, np.quantile(returns, level, axis=1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(data["places"], axis=1), 1.0, rtol=1e-4)
    for t in range(len(data["rewards"]) - HORIZON + 1):
        total = sum(data["gamma"] ** k * data["rewards"][t + k] for k in range(HORIZON))
        assert data["followed"][t] == pytest.approx(total, rel=1e-3, abs=1e-5)
    truth = np.array(data["slopes"]["of"][0]["slope"])
    for each in data["slopes"]["of"]:
        slope = np.array(each["slope"])
        size = np.linalg.norm(slope, axis=1) / np.linalg.norm(truth, axis=1)
        cosine = np.sum(slope * truth, axis=1) / np.linalg.norm(slope, axis=1) / np.linalg.norm(truth, axis=1)
        np.testing.assert_allclose(each["size"], size, rtol=1e-2)
        np.testing.assert_allclose(each["cosine"], cosine, rtol=1e-2, atol=1e-2)


def test_the_page_shows_the_policy_of_its_seed(run_dir: Path, data: dict[str, Any]) -> None:
    a = sobolev.load_policy(run_dir, 6)(np.array(data["observations"]))
    np.testing.assert_allclose(data["actions"], a, rtol=1e-3, atol=1e-4)


def test_no_text_of_a_run_ends_the_data_of_its_page(data: dict[str, Any]) -> None:
    wrong = data | {"run": "</script><b>"}
    text = render(wrong)
    assert read_data(text)["run"] == "</script><b>"
    assert "<title>&lt;/script&gt;&lt;b&gt;, seed 6</title>" in text


def test_what_is_not_finite_is_null() -> None:
    assert plain(np.array([[1.23456789, math.nan], [math.inf, 0.0]])) == [[1.2346, None], [None, 0.0]]


def message_of(run_dir: Path, *arguments: str) -> str:
    """Of the mistake in which the program ends, before it has written anything."""
    with pytest.raises(ConfigError) as caught:
        program.run(program.make_parser().parse_args([str(run_dir), *arguments]))
    assert not (run_dir / "evaluation.csv").exists()
    return str(caught.value)


def test_mistakes_are_told(run_dir: Path, tmp_path: Path) -> None:
    assert message_of(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: no such directory"
    assert "holds no run" in message_of(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy, ignore=shutil.ignore_patterns("evaluation.csv"))
    assert message_of(copy, "--episodes=0") == "--episodes must be at least 1, got 0"
    assert message_of(copy, "--seed=4") == "--seed=4: the run has seeds [5, 6, 7]"
    assert message_of(copy, "--frames=-1") == "--frames must be at least 0, got -1"
    assert message_of(copy, "--horizon=0") == "--horizon must be at least 1, got 0"
    shutil.rmtree(copy / "checkpoints")
    assert "holds no checkpoint of seeds 5 to 7 in one program: train with train.checkpoint_every" in message_of(copy)


def test_a_folder_of_runs_is_evaluated_with_its_settings_apart(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ignored = shutil.ignore_patterns("evaluation.csv", "page.html")
    shutil.copytree(run_dir, tmp_path / "gamma=0.95" / "seeds5-7", ignore=ignored)
    shutil.copytree(run_dir, tmp_path / "gamma=0.9" / "seeds5-7", ignore=ignored)
    config = tmp_path / "gamma=0.9" / "seeds5-7" / "config.gin"
    config.write_text(config.read_text().replace("agent.gamma = 0.95", "agent.gamma = 0.9"))
    rows = evaluate(tmp_path)
    capsys.readouterr()
    of_run = {name: read_rows(tmp_path / name / "seeds5-7") for name in ("gamma=0.9", "gamma=0.95")}
    assert [row.pop("setting") for row in rows] == [name for name, found in of_run.items() for _ in found]
    assert rows == [row for found in of_run.values() for row in found]
    assert of(rows[: len(rows) // 2], seed="all", environment="clean")["statistic"] == "interquartile mean"
    shutil.rmtree(tmp_path / "gamma=0.9" / "seeds5-7" / "checkpoints")
    with pytest.raises(ConfigError, match=r"1 of 2 runs have not come to their end, the first: .*holds no checkpoint"):
        evaluate(tmp_path)
    assert "not evaluated: " in capsys.readouterr().out
    assert {row["setting"] for row in read_rows(tmp_path)} == {"gamma=0.95"}


def read_rows(directory: Path) -> list[dict[str, str]]:
    with open(directory / "evaluation.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_video_of_a_task_without_a_body_is_refused_at_the_end(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy, ignore=shutil.ignore_patterns("evaluation.csv", "page.html"))
    monkeypatch.setattr(video, "check_encoder", lambda: None)
    with pytest.raises(ConfigError, match="copy: no video: MuJoCo describes no body of this task"):
        evaluate(copy, "--video")
    assert (copy / "evaluation.csv").exists()
