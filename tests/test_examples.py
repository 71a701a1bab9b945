"""The examples: parts that do what they say, and that train from a folder outside the repository."""

import csv
import math
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sobolev.training
from sobolev import corrections, critics, environments, metrics, world_models
from sobolev.training import TrainConfig, read_run
from sobolev.types import Spec, Transition
from tests.helpers import QUICK_COMPILATION, tiny_agent

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES, GUIDE = ROOT / "examples", ROOT / "docs" / "extending.md"
NAMES = sorted(path.stem for path in EXAMPLES.glob("my_*.py"))

Scratch = Callable[[Any], Any]


def from_example(name: str, registry: Any, scratch: Scratch) -> Callable[..., Any]:
    """The one entry that an example adds to a registry, which forgets it again."""
    with scratch(registry):
        before = set(registry.names())
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name)
        (added,) = set(registry.names()) - before
        return registry.get(added)


def test_the_guide_has_the_examples_as_they_are() -> None:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(NAMES) == 6
    for name in NAMES:
        assert ("python", (EXAMPLES / f"{name}.py").read_text()) in blocks
        assert ("gin", (EXAMPLES / f"{name}.gin").read_text()) in blocks


def test_metric(scratch: Scratch) -> None:
    metric = from_example("my_metric", metrics.registry, scratch)(weight=3.0)
    x, y = jnp.array([[1.0, 0.0], [3.0, 2.0]]), jnp.array([[0.0, 4.0], [1.0, 4.0], [2.0, 4.0]])
    assert float(metric(jax.random.key(0), x, y)) == pytest.approx(3.0 * (1.0**2 + 3.0**2))  # means (2, 1) and (1, 4)


def test_kernel(scratch: Scratch) -> None:
    kernel = from_example("my_kernel", metrics.kernels.registry, scratch)(scale=2.0)
    x, y = jnp.array([1.0, 0.0, 2.0]), jnp.array([1.0, 3.0, -2.0])
    assert float(kernel(x, y)) == pytest.approx(-np.log(1.0 + 25.0 / 4.0))
    assert float(kernel.gap(x, y)) == pytest.approx(0.5 * (kernel(x, x) + kernel(y, y)) - kernel(x, y))
    points = np.random.default_rng(0).normal(size=(7, 3))
    gram = np.array([[float(kernel(jnp.array(p), jnp.array(q))) for q in points] for p in points])
    centering = np.eye(7) - 1 / 7
    assert np.linalg.eigvalsh(centering @ gram @ centering).min() > -1e-5  # conditionally positive definite


def test_correction(scratch: Scratch) -> None:
    correction = from_example("my_correction", corrections.registry, scratch)(share=0.34)
    samples = jnp.array([[[5.0, 0.1], [0.0, 0.2], [4.0, 0.3]], [[2.0, 0.4], [3.0, 0.5], [1.0, 0.6]]])
    kept = np.asarray(correction(samples))  # two of six are dropped: the returns 5 and 4
    np.testing.assert_allclose(kept[np.argsort(kept[:, 0])], [[0.0, 0.2], [1.0, 0.6], [2.0, 0.4], [3.0, 0.5]])


def test_critic(scratch: Scratch) -> None:
    critic = from_example("my_critic", critics.registry, scratch)(Spec(state_size=3, action_size=2), hidden_sizes=(8,))
    params, s, a = critic.init(jax.random.key(0)), jnp.array([0.5, -1.0, 2.0]), jnp.array([0.3, -0.2])
    low, middle, high = (float(critic.value(params, s, a, jnp.float32(xi))) for xi in (-1.0, 0.0, 1.0))
    assert high - middle == pytest.approx(middle - low, rel=1e-4)
    assert high > middle
    assert critic.noise(jax.random.key(1)).shape == ()


def test_world_model(scratch: Scratch) -> None:
    spec = Spec(state_size=3, action_size=2)
    model = from_example("my_world_model", world_models.registry, scratch)(spec, initial_std=0.5)
    params = model.init(jax.random.key(0))
    s, a, s_next = jnp.array([0.5, -1.0, 2.0]), jnp.array([0.3, -0.2]), jnp.array([0.1, 0.2, 0.3])
    step = Transition(s, a, r=jnp.float32(4.0), discount=jnp.float32(1.0), s_next=s_next)
    n = model.infer(params, jax.random.key(1), step)
    explained = model.simulate(params, s, a, n)
    np.testing.assert_allclose(explained[0], s_next, atol=1e-5)
    assert (float(explained[1]), float(explained[2])) == (pytest.approx(4.0, abs=1e-5), 1.0)
    weights = np.asarray(params["model"]["W"])
    density = 0.5 * np.sum(np.asarray(n.model) ** 2) + 4 * np.log(0.5)
    np.testing.assert_allclose(
        n.model, (np.array([-0.4, 1.2, -1.7, 4.0]) - weights @ np.array([*s, *a])) / 0.5, rtol=1e-5
    )
    loss = model.loss(params, jax.random.key(2), jax.tree.map(lambda leaf: leaf[None], step))
    assert float(loss) == pytest.approx(density, rel=1e-5)


def test_environment(scratch: Scratch) -> None:
    env = from_example("my_environment", environments.registry, scratch)(dt=0.5, sigma=0.2)
    s, a = jnp.array([1.0, 0.4]), jnp.array([0.6])
    s_next, r, going_on = env.simulator.simulate(s, a, jnp.float32(-1.5))
    np.testing.assert_allclose(s_next, [1.0 + 0.5 * 0.4, 0.4 + 0.5 * 0.6 - 0.3], rtol=1e-6)
    assert (float(r), float(going_on)) == (pytest.approx(np.exp(-(1.2**2))), 1.0)
    step = Transition(s, a, r, going_on, s_next)
    assert float(env.simulator.infer(jax.random.key(0), step)) == pytest.approx(-1.5, rel=1e-5)
    state = env.reset(jax.random.key(1))
    after = env.step(state, a)
    n = env.simulator.infer(jax.random.key(0), Transition(state.obs, a, after.reward, 1 - after.done, after.obs))
    np.testing.assert_allclose(env.simulator.simulate(state.obs, a, n)[0], after.obs, rtol=1e-6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder outside the repository with a copy of the examples."""
    for name in NAMES:
        for kind in ("py", "gin"):
            shutil.copy(EXAMPLES / f"{name}.{kind}", tmp_path)
    return tmp_path


POINT_MASS = ["train.environment = @environments.point_mass()", "train.noise = None"]
CONFIGURE_ALL = """
import sys
root, *names = sys.argv[1:]
sys.path[:] = [root, *sys.path[1:], "."]  # as agents/run.py has it
from agents import gin_names
from sobolev.training import build
for name in names:
    files, bindings = [name + ".gin"], ["widths = (8,)"]
    if name != "my_environment":
        bindings += POINT_MASS
    build(gin_names.load(files, bindings))
    gin_names.check_all_read(files, bindings)
    print(gin_names.operative_config())
print(gin_names.listing())
""".replace("POINT_MASS", repr(POINT_MASS))


def call(words: list[str], folder: Path) -> str:
    result = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_each_configures_a_run_and_is_listed(folder: Path) -> None:
    lines = call([sys.executable, "-c", CONFIGURE_ALL, str(ROOT), *NAMES], folder).splitlines()
    for configured in (
        "agent.metric = @metrics.mean_difference()",
        "msmmd.kernel = @kernels.logarithmic()",
        "agent.overestimation = @corrections.truncate_share()",
        "agent.critic = @critics.gaussian",
        "agent.world_model = @world_models.linear",
        "train.environment = @environments.pushed_mass()",
    ):
        assert configured in lines
        assert configured.split("@")[1].removesuffix("()") in lines


def test_command_of_the_guide_trains(folder: Path) -> None:
    (command,) = re.findall(r"^python /path/to/sobolev/agents/run\.py .*$", GUIDE.read_text(), re.MULTILINE)
    _, program, *options = shlex.split(command.replace("/path/to/sobolev", str(ROOT)))
    small = [
        *POINT_MASS,
        *("widths = (4,)", "model_widths = (4,)", "agent.num_samples = 2", "agent.batch_size = 4"),
        *("train.total_steps = 40", "train.warmup_steps = 16", "train.warmup_updates = 4"),
        *("train.eval_every = 24", "train.eval_episodes = 2"),
    ]
    call([sys.executable, program, *options, *(f"--gin_bindings={binding}" for binding in small)], folder)
    run_dir = folder / "runs" / "my_metric" / "seed0"
    with open(run_dir / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["env_steps"]) for row in rows] == [16, 24, 40]
    assert float(rows[-1]["train/critic_loss"]) > 0
    config = (run_dir / "config.gin").read_text().splitlines()
    assert config[0] == "import my_metric"
    assert "agent.metric = @metrics.mean_difference()" in config


def tiny_config(**numbers: Any) -> TrainConfig:
    """What an example's ``TrainConfig`` makes here: the same call with small networks, for forty steps."""
    agent = numbers["agent"]
    small: dict[str, Any] = {
        "agent": tiny_agent(gradient=agent.gradient, metric=agent.metric),
        "total_steps": 40,
        "num_envs": 2,
        "warmup_steps": 8,
        "warmup_updates": 4,
        "eval_every": 20,
        "eval_episodes": 2,
        "cpu_compiler_options": QUICK_COMPILATION,
    }
    return TrainConfig(**numbers | small)


@pytest.fixture
def run_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Runs an example as a program in a folder of its own, at tiny size where it trains; the lines that it prints."""

    def run(name: str, *arguments: str) -> list[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sobolev.training, "TrainConfig", tiny_config)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def test_train_in_python(run_example: Callable[..., list[str]], tmp_path: Path) -> None:
    told = run_example("train_in_python.py")
    rows = read_run(tmp_path / "runs" / "in_python").rows
    first, last = rows[0]["eval/return"], rows[-1]["eval/return"]
    assert [line for line in told if line.startswith("step ")] == [
        f"step {row['env_steps']}: {row['eval/return']:.2f}" for row in rows
    ]
    assert f"return {first:.2f} before learning, {last:.2f} after 40 environment steps" in told
    assert told[-1].startswith("return ")
    assert told[-1].endswith("over 100 other episodes")


def numbers_of(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", line)]


def test_metrics_alone(run_example: Callable[..., list[str]]) -> None:
    """With gradients the generator is closer between the places that it has seen, in every respect."""
    values, both = run_example("metrics_alone.py", "--steps=1000")
    assert values.startswith("values alone: ")
    assert both.startswith("values and gradients: ")
    assert all(
        with_gradients < 0.8 * without
        for with_gradients, without in zip(numbers_of(both), numbers_of(values), strict=True)
    )
    assert numbers_of(both)[0] < 0.15


def test_metrics_alone_loads_no_more_than_jax() -> None:
    program = (
        "import runpy, sys; sys.argv = ['x', '--steps=1']; "
        f"runpy.run_path({str(EXAMPLES / 'metrics_alone.py')!r}); "
        "print([name for name in ('haiku', 'optax', 'brax', 'distrax', 'flax') if name in sys.modules])"
    )
    assert call([sys.executable, "-c", program], ROOT).splitlines()[-1] == "[]"


def test_plug_in_a_part(run_example: Callable[..., list[str]], scratch: Scratch, tmp_path: Path) -> None:
    with scratch(metrics.registry):
        told = run_example("plug_in_a_part.py")
        metric = metrics.registry.make("marginal_energy")
    near, moved, far = numbers_of(told[0])
    assert near == pytest.approx(moved, abs=2e-3)
    assert abs(near) < 0.05
    # A unit normal against itself, 3 further: 2 E|u + 3| - 2 E|u|, u ~ N(0, 2), in one of four columns.
    shifted = 2 * (math.sqrt(2) * math.sqrt(2 / math.pi) * math.exp(-(3**2) / 4) + 3 * math.erf(3 / 2)) - 4 / math.sqrt(
        math.pi
    )
    assert far == pytest.approx(shifted / 4, abs=0.1)
    assert read_run(tmp_path / "runs" / "plug_in_a_part").rows[-1]["env_steps"] == 40
    x, y = np.random.default_rng(0).normal(size=(2, 7, 3))
    expected = np.mean([float(metrics.mmd2(x[:, [d]], y[:, [d]], metrics.Energy())) for d in range(3)])
    assert float(metric(jax.random.key(0), x, y)) == pytest.approx(expected, rel=1e-4)


def test_train_on_your_environment(run_example: Callable[..., list[str]], tmp_path: Path) -> None:
    told = run_example("train_on_your_environment.py")
    rows = read_run(tmp_path / "runs" / "boiler").rows
    assert [line for line in told if line.startswith("step ")] == [
        f"step {row['env_steps']}: return {row['eval/return']:.2f}" for row in rows
    ]
    assert told[-1].endswith("over 20 other episodes of 50 steps")
    assert numbers_of(told[-1])[0] < 0


def test_read_a_run(run_example: Callable[..., list[str]], tmp_path: Path) -> None:
    """First a run that it trains, then the same by its directory."""
    told = run_example("read_a_run.py")
    run_dir = tmp_path / "runs" / "read_a_run"
    steps, returns = read_run(run_dir).curve()
    assert returns.shape == (4, len(steps))
    assert f"final return of each seed: {', '.join(f'{value:.2f}' for value in returns[:, -1])}" in told
    last = np.mean(np.sort(returns[:, -1])[1:3])
    assert any(line.endswith(f"{last:.2f} after 40 environment steps") for line in told)
    picture = run_dir / "returns.png"
    assert told[-1] == f"drawn: {picture.relative_to(tmp_path)}"
    picture.unlink()
    assert run_example("read_a_run.py", str(run_dir))[-1] == f"drawn: {picture}"
    assert picture.read_bytes().startswith(b"\x89PNG")
