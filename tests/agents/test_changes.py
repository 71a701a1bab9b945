"""What a resumed run would change of its configuration."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

from agents import changes, gin_names
from agents.gin_messages import ConfigError
from sobolev.training import checkpoint

STORED = """
# Macros:
# ==============
polyak = 0.02

# Parameters for agent:
agent.gamma = 0.95
agent.metric = @metrics.mmd()
train.total_steps = 160
train.cpu_compiler_options = \\
    {'xla_backend_optimization_level': 1,
     'xla_other': 2}
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    for folder, env_steps in (("", 40), ("seeds0-1", 120)):
        checkpoint.save(tmp_path / "checkpoints" / folder, env_steps, {"x": jnp.zeros(3)})
    for name in ("seeds0-1/160.npz", "80.partial", "-5.npz"):
        (tmp_path / "checkpoints" / name).touch()
    (tmp_path / "config.gin").write_text(STORED)
    return tmp_path


def test_values_are_those_that_gin_prints() -> None:
    assert changes.values(STORED) == {
        "polyak": "0.02",
        "agent.gamma": "0.95",
        "agent.metric": "@metrics.mmd()",
        "train.total_steps": "160",
        "train.cpu_compiler_options": "{'xla_backend_optimization_level': 1, 'xla_other': 2}",
    }


def test_every_value_of_a_configuration_is_read(tiny: Path, configure: Any) -> None:
    configure([str(tiny)], [])
    found = changes.values(gin_names.operative_config())
    assert found["agent.num_samples"] == "3"
    assert found["train.episode_length"] == "6"
    assert found["cvae.hidden_sizes"] == "(8,)"
    assert len(found) > 60
    assert all(found.values())


def test_the_same_configuration_is_recorded_once_more(run_dir: Path) -> None:
    assert changes.of_run(run_dir, STORED, allowed=False) == {"config.gin": STORED}


def test_what_may_change_is_recorded_with_the_step(run_dir: Path) -> None:
    longer = STORED.replace("160", "320").replace("'xla_other': 2", "'xla_other': 3")
    assert changes.of_run(run_dir, longer, allowed=False) == {"config_until_120.gin": STORED, "config.gin": longer}


@pytest.mark.parametrize(
    ("was", "now", "named"),
    [
        ("0.95", "0.5", "agent.gamma was 0.95, is 0.5"),
        ("@metrics.mmd()", "@metrics.msmmd()", "agent.metric was @metrics.mmd(), is @metrics.msmmd()"),
        ("polyak = 0.02", "", "polyak was 0.02, is not there"),
        ("agent.gamma", "agent.n_step = 3\nagent.gamma", "agent.n_step was not there, is 3"),
    ],
)
def test_anything_else_is_shown_and_refused_unless_it_is_allowed(run_dir: Path, was: str, now: str, named: str) -> None:
    text = STORED.replace(was, now)
    with pytest.raises(ConfigError, match="--allow_changes") as caught:
        changes.of_run(run_dir, text, allowed=False)
    assert named in str(caught.value)
    assert changes.of_run(run_dir, text, allowed=True) == {"config_until_120.gin": STORED, "config.gin": text}


def test_a_second_change_at_a_step_keeps_the_configuration_before_the_first(run_dir: Path) -> None:
    (run_dir / "config_until_120.gin").write_text(STORED)
    first, second = (STORED.replace("160", steps) for steps in ("320", "480"))
    (run_dir / "config.gin").write_text(first)
    assert changes.of_run(run_dir, second, allowed=False) == {"config.gin": second}


def test_a_configuration_that_is_gone_is_said(run_dir: Path) -> None:
    (run_dir / "config.gin").unlink()
    with pytest.raises(ConfigError, match="gone"):
        changes.of_run(run_dir, STORED, allowed=False)
    assert changes.of_run(run_dir, STORED, allowed=True) == {"config.gin": STORED}


def test_without_a_checkpoint_anything_may_change(tmp_path: Path) -> None:
    (tmp_path / "config.gin").write_text(STORED)
    assert changes.of_run(tmp_path, "agent.gamma = 0.1", allowed=False) == {"config.gin": "agent.gamma = 0.1"}
