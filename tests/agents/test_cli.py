"""The command line: run directories, resuming, and what it says to mistakes."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import gin
from agents import gin_names, train
from agents.gin_names import ROOT, ConfigError

TINY = """
include 'gin/base.gin'

agent.metric = @metrics.mmd()
agent.gradient = 'action'
agent.num_samples = 3
agent.batch_size = 8
agent.actor_start = 4
world_models.cvae.hidden_sizes = (8, 8)
critics.generative.hidden_sizes = (8, 8)
critics.generative.noise_size = 4
actors.deterministic.hidden_sizes = (8, 8)

train.environment = @environments.point_mass()
train.noise = None
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
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Cells = list[dict[str, str]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configuration") / "tiny.gin"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[list[str], dict[str, Any]]]:
    """The command line and how to start it; all share one cache of compiled programs."""
    cache = tmp_path_factory.mktemp("compiled")
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PLATFORMS": "cpu"}

    def of(*arguments: object) -> tuple[list[str], dict[str, Any]]:
        words = [sys.executable, str(ROOT / "agents" / "run.py"), *map(str, arguments)]
        return words, {"env": environment, "cwd": cache, "text": True}

    return of


@pytest.fixture(scope="module")
def call(command: Callable[..., tuple[list[str], dict[str, Any]]]) -> Run:
    def of(*arguments: object) -> "subprocess.CompletedProcess[str]":
        words, how = command(*arguments)
        return subprocess.run(words, **how, capture_output=True, timeout=280, check=False)

    return of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny: Path, call: Run) -> Path:
    """The run directory of an uninterrupted run."""
    run_dir = tmp_path_factory.mktemp("run") / "first"
    result = call(f"--gin_file={tiny}", f"--run_dir={run_dir}", "--seed=3")
    assert result.returncode == 0, result.stderr
    assert "160 / 160 env steps" in result.stdout
    return run_dir


def cells(run_dir: Path) -> Cells:
    """metrics.csv as text, apart from the columns that depend on the clock."""
    with open(run_dir / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))

    def timed(name: str) -> bool:
        return name.startswith("time/") or name.endswith("_per_second")

    return [{name: cell for name, cell in row.items() if not timed(name)} for row in rows]


def test_run_directory(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        *("config.gin", "environment.json", "metrics.csv", "metrics.jsonl"),
        *("tensorboard", "checkpoints", "learning_curve.png"),
    }
    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == ["120.npz", "160.npz"]
    assert (finished / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads((finished / "environment.json").read_text())
    assert facts["packages"]["jax"] == jax.__version__
    assert "--seed=3" in facts["argv"]
    config = (finished / "config.gin").read_text()
    assert re.search(r"^train.seed = 3$", config, re.MULTILINE)
    assert re.search(r"^agent.num_samples = 3$", config, re.MULTILINE)


def test_metrics_of_a_run(finished: Path) -> None:
    with open(finished / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["env_steps"]) for row in rows] == list(range(16, 161, 4))
    assert [int(row["updates"]) for row in rows] == list(range(4, 149, 4))
    for name in ("eval/return", "train/critic_loss", "train/world_model_loss", "train/updates_per_second"):
        values = [float(row[name]) for row in rows[1:]]
        assert all(abs(value) < 1e6 for value in values)
        assert len(set(values)) > 10
    assert rows[0]["train/critic_loss"] == ""
    assert all(float(row["eval/length"]) == 6 for row in rows)
    jsonl = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [float(row["eval/return"]) for row in rows] == [row["eval/return"] for row in jsonl]


def test_written_configuration_is_that_of_the_run(finished: Path, tmp_path: Path, call: Run) -> None:
    result = call(f"--gin_file={finished / 'config.gin'}", f"--run_dir={tmp_path / 'again'}")
    assert result.returncode == 0, result.stderr
    assert cells(tmp_path / "again") == cells(finished)


def test_other_seed_other_run(finished: Path, tmp_path: Path, tiny: Path, call: Run) -> None:
    result = call(f"--gin_file={tiny}", f"--run_dir={tmp_path / 'other'}", "--gin_bindings=train.seed = 4")
    assert result.returncode == 0, result.stderr
    other = cells(tmp_path / "other")
    assert [row["env_steps"] for row in other] == [row["env_steps"] for row in cells(finished)]
    for name in ("eval/return", "train/critic_loss"):
        assert all(a[name] != b[name] for a, b in zip(other[1:], cells(finished)[1:], strict=True))


def test_killed_run_resumes_to_the_same_metrics(
    finished: Path, tmp_path: Path, tiny: Path, call: Run, command: Callable[..., tuple[list[str], dict[str, Any]]]
) -> None:
    run_dir = tmp_path / "killed"
    arguments = (f"--gin_file={tiny}", f"--run_dir={run_dir}", "--seed=3")
    words, how = command(*arguments, "--resume")  # with nothing to resume from it starts afresh
    process = subprocess.Popen(words, **how, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics, deadline = run_dir / "metrics.csv", time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and metrics.read_text().count("\n") >= 13 and list((run_dir / "checkpoints").glob("*.npz")):
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    cut = cells(run_dir)
    assert 12 <= len(cut) < len(cells(finished))

    resumed = call(*arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r"resumed at (40|80|120) environment steps", resumed.stdout)
    assert cells(run_dir) == cells(finished)
    assert (run_dir / "learning_curve.png").exists()


def test_finished_run_is_not_overwritten(finished: Path, tiny: Path, call: Run) -> None:
    before = (finished / "metrics.csv").read_text()
    result = call(f"--gin_file={tiny}", f"--run_dir={finished}")
    assert result.returncode == 2
    assert "holds a run already: add --resume" in result.stderr
    assert "Traceback" not in result.stderr
    assert (finished / "metrics.csv").read_text() == before


def test_mistake_ends_with_status_two_and_one_message(tmp_path: Path, tiny: Path, call: Run) -> None:
    result = call(f"--gin_file={tiny}", "--gin_bindings=agent.num_sample = 3", f"--run_dir={tmp_path / 'x'}")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "agent has no parameter num_sample; did you mean num_samples" in result.stderr
    assert not (tmp_path / "x").exists()


def test_list_prints_every_entry(call: Run) -> None:
    result = call("--list")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    for family, registry in gin_names.FAMILIES.items():
        for name in registry.names():
            assert f"{family}.{name}" in lines
    assert {"agent", "train", "optimizers.adam"} <= set(lines)
    assert "    .num_samples" in lines
    assert not any(line.strip() in {".spec", ".env"} for line in lines)


@pytest.fixture
def parser() -> Iterator[None]:
    """gin with our names, and nothing bound."""
    gin_names.register()
    gin.clear_config()
    yield
    gin.clear_config()


def configure(files: list[str], bindings: list[str]) -> tuple[Any, ...]:
    """What a dry run does before it traces."""
    config = gin_names.load(files, bindings)
    env, agent = train.build(config)
    gin_names.check_all_read(files, bindings)
    return config, env, agent


def names_of(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern) if path.name != "base.gin")


SMALL = ["widths = (4,)", "agent.batch_size = 4"]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("method", names_of("gin/*.gin"))
def test_every_method_traces(method: str) -> None:
    files = [method, "gin/envs/point_mass.gin"]
    config, env, agent = configure(files, SMALL)
    programs = dict(train.trace(config, env, agent))
    assert programs["init"].out_info.replay.data.s.shape == (config.schedule.replay_capacity, 4)
    assert set(programs) == set(train.Programs._fields)
    assert all(lowered.as_text() for lowered in programs.values())
    assert f"agent.gradient = '{config.agent.gradient}'" in gin_names.operative_config()


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    "setting", [name for folder in ("noise", "scale", "schedules", "envs") for name in names_of(f"gin/{folder}/*.gin")]
)
def test_every_setting_goes_with_a_method(setting: str) -> None:
    files = ["gin/msmmd_cvae.gin", setting]
    config, env, agent = configure(files, SMALL)
    assert config.schedule.updates >= 1
    shapes = jax.eval_shape(env.reset, jax.random.key(0))
    params = jax.eval_shape(lambda key: agent.init(key).params.actor, jax.random.key(0))
    a = jax.eval_shape(agent.act, params, jax.random.key(0), shapes.obs)
    assert a.shape == (env.action_size,)
    if "/noise/" in setting:
        after = jax.eval_shape(env.step, shapes, jnp.zeros(env.action_size))
        assert jax.tree.structure(after) == jax.tree.structure(shapes)


MISTAKES = {
    "misspelt parameter": ("agent.num_sample = 3", "agent has no parameter num_sample; did you mean num_samples"),
    "misspelt parameter of a part": (
        "metrics.mmd.kernal = 3",
        "metrics.mmd has no parameter kernal; did you mean kernel",
    ),
    "unknown reference": (
        "agent.metric = @metrics.msmd()",
        "nothing is called metrics.msmd; did you mean metrics.msmmd",
    ),
    "unknown part": (
        "criticz.generative.noise_size = 3",
        "nothing is called criticz.generative; did you mean critics.gen",
    ),
    "string for a part": ("agent.metric = 'msmmd'", "wants a part, not the string 'msmmd': write @metrics.msmmd"),
    "factory for a part": ("agent.metric = @metrics.mmd", "wants the part itself: write @metrics.mmd(), with ()"),
    "part for a factory": (
        "agent.critic = @critics.generative()",
        "wants a factory: write @critics.generative, without ()",
    ),
    "number for a part": ("train.noise = True", "wants a part, got True"),
    "string for a number": ("agent.num_samples = '3'", "agent.num_samples must be int, got '3' (str)"),
    "fraction for a count": ("agent.num_samples = 2.5", "agent.num_samples must be int, got 2.5 (float)"),
    "truth for a number": ("agent.num_samples = True", "agent.num_samples must be int, got True (bool)"),
    "number for options": ("train.cpu_compiler_options = 3", "must be dict, got 3 (int)"),
    "bare word": ("agent.gradient = action", "a name needs quotes ('action')"),
    "lower-case truth": ("train.noise = true", "booleans are True and False"),
    "arithmetic": ("train.total_steps = 10 * 4", "gin does no arithmetic: write the number"),
    "binding of a part not in use": ("metrics.msmmd.num_steps = 3", "nothing reads metrics.msmmd.num_steps"),
    "macro that nothing uses": ("width = 3", "nothing reads width: no binding uses this macro"),
}


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("in_file", [True, False])
def test_mistakes_are_told_with_their_place(mistake: str, in_file: bool, tmp_path: Path, tiny: Path) -> None:
    binding, words = MISTAKES[mistake]
    files, bindings = [str(tiny)], [binding]
    if in_file:
        file = tmp_path / "wrong.gin"
        file.write_text(f"# A mistake.\ninclude '{tiny}'\n\n{binding}\n")
        files, bindings = [str(file)], []
    with pytest.raises(ConfigError) as caught:
        configure(files, bindings)
    message = str(caught.value)
    assert words in message
    assert message.startswith(f"{file}:4: " if in_file else "--gin_bindings")
    assert len(message.splitlines()) <= 3


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("binding", "words"),
    [
        ("agent.gradient = 'actions'", "unknown gradient 'actions'; did you mean 'action'"),
        ("agent.overestimation = 'minimum'", "unknown overestimation 'minimum'"),
        ("train.eval_every = 5", "train.eval_every must be a multiple of train.num_envs, got 5 and 2"),
        ("train.environment = @environments.brax()\nenvironments.brax.name = 'reecher'", "did you mean 'reacher'"),
        ("metrics.mmd.estimator = 'w'", "'w'"),
    ],
)
def test_values_that_parts_refuse_are_told(binding: str, words: str, tiny: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        configure([str(tiny)], [binding])
    message = str(caught.value)
    assert words in message
    assert "In call to" not in message
    assert len(message.splitlines()) <= 2


@pytest.mark.usefixtures("parser")
def test_missing_file_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no gin file gin/msmd_cvae.gin; did you mean gin/msmmd_cvae.gin"):
        configure(["gin/msmd_cvae.gin"], [])


@pytest.mark.usefixtures("parser")
def test_base_alone_lacks_a_method() -> None:
    with pytest.raises(ConfigError, match="not bound, and without a default: 'metric' and 'gradient'"):
        configure(["gin/base.gin"], [])


@pytest.mark.usefixtures("parser")
def test_later_files_and_bindings_win(tiny: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.gin"
    later.write_text("agent.num_samples = 4\nagent.gamma = 0.5\n")
    config, *_ = configure([str(tiny), str(later)], ["agent.gamma = 0.25"])
    assert (config.agent.num_samples, config.agent.gamma, config.agent.batch_size) == (4, 0.25, 8)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("binding", "part"),
    [
        ("agent.metric = @metrics.mmd()", "metrics.mmd"),
        ("metrics.msmmd.kernel = @kernels.energy()", "kernels.energy"),
        ("train.environment = @environments.point_mass()", "environments.point_mass"),
        ("agent.critic = @critics.quantile", "critics.quantile"),
        ("agent.gradient = 'none'", "agent.gradient = 'none'"),
        ("train.noise = @noises.additive_dynamics", "noises.additive_dynamics"),
    ],
)
def test_a_part_is_swapped_by_one_binding(binding: str, part: str) -> None:
    configure(["gin/msmmd_cvae.gin"], [*SMALL, binding] if "critic" not in binding else [binding])
    assert part in gin_names.operative_config()
