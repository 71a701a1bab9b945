"""One run in several processes: two on this machine, connected by its loopback, with two forced devices each."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest

from sobolev import actors, critics, metrics, world_models
from sobolev.training import TrainConfig, logs, read_run, train
from sobolev.training.lock import locked
from sobolev.training.processes import Processes, Word, _objection, connect
from tests.helpers import tiny_agent
from tests.training.conftest import tiny_numbers

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[..., TrainConfig]

# The second process is killed after its evaluation at 20 steps; when it is gone, the first one goes on, and is told to
# end at 30.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path

import jax

from sobolev.training import processes, train
from tests.training.test_processes import small

address, index, run_dir = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
processes.connect(address, 2, index, timeout=120)
assert (jax.device_count(), jax.local_device_count()) == (4, 2)
gone = run_dir.with_suffix(".gone")

def act(row):
    if (row["seed"], row["env_steps"]) == (7, 20):
        gone.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while (row["seed"], row["env_steps"]) == (4, 20) and not gone.exists():
        time.sleep(0.1)
    if (row["seed"], row["env_steps"]) == (5, 30):
        os.kill(os.getpid(), signal.SIGTERM)

train(small(), run_dir, callbacks=[act])
"""


def small(**changes: Any) -> TrainConfig:
    """Four seeds of what compiles fastest."""
    critic, actor = (
        partial(make, hidden_sizes=(4,)) for make in (critics.make_deterministic, actors.make_deterministic)
    )
    agent = tiny_agent(
        metric=metrics.L2(),
        critic=critic,
        actor=actor,
        world_model=world_models.make_recorded,
        gradient="none",
        num_samples=1,
        overestimation="min",
        critic_optimizer=optax.sgd(1e-3),
        actor_optimizer=optax.sgd(1e-3),
    )
    return TrainConfig(
        **{**tiny_numbers(), "agent": agent, "checkpoint_every": 10, "seed": 4, "num_seeds": 4, **changes}
    )


def free_address() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


def run_all(commands: Sequence[Sequence[str]], devices: int = 1) -> list[tuple[int, str, str]]:
    """Status, stdout and stderr of Python programs that run side by side."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    env = {**os.environ, "XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
    started = [
        subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    try:
        ended = [(*process.communicate(timeout=900), process) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(process.returncode, out, error) for out, error, process in ended]


def test_a_process_that_dies_leaves_the_others_to_save_and_any_number_goes_on(tmp_path: Path) -> None:
    run_dir, address = tmp_path / "two", free_address()
    first, second = run_all(
        [["-W", "ignore", "-c", PROGRAM, address, str(index), str(run_dir)] for index in range(2)], devices=2
    )
    assert second[0] == -9, second
    assert "SIGTERM: saved" in first[2], first[2][-3_000:]
    assert "seeds4-5/30.npz; resume" in first[2]
    assert "on each of 2 devices" in first[1]
    assert "env steps" not in second[1]

    ended = {4: [8, 10, 20, 30], 5: [8, 10, 20, 30], 6: [8, 10, 20], 7: [8, 10, 20]}
    rows = read_run(run_dir).rows
    assert {seed: [row["env_steps"] for row in rows if row["seed"] == seed] for seed in ended} == ended
    assert not (run_dir / "processes").exists()
    assert not (run_dir / "lock").exists()
    assert len((run_dir / "metrics.csv").read_text().splitlines()) == 1 + len(rows)

    with pytest.raises(ValueError, match=r"seeds 4 to 5 in one program: resume with train\.seeds_at_once = 2"):
        train(small(), run_dir, resume=True)
    resumed = train(small(seeds_at_once=2), run_dir, resume=True)
    unbroken = train(small(seeds_at_once=2), tmp_path / "unbroken")
    assert len(resumed.rows) == len(unbroken.rows) == 4 * 5
    for name in ("train/critic_mean", "eval/return"):
        one, other = resumed.curve(name), unbroken.curve(name)
        assert one.env_steps.tolist() == other.env_steps.tolist() == [8, 10, 20, 30, 40]
        np.testing.assert_allclose(one.values, other.values, rtol=2e-3, atol=1e-4, err_msg=name)
    assert len(np.unique(resumed.curve("eval/return").values[:, -1])) == 4


def test_all_end_with_one_message_where_something_speaks_against_the_run_in_one(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"

    def command(index: int, address: str, binding: str) -> list[str]:
        given = [f"--coordinator={address}", "--num_processes=2", f"--process_id={index}", f"--run_dir={run_dir}"]
        return ["agents/run.py", "--gin_file=gin/td3.gin", "--gin_bindings=train.num_seeds=4", *given, binding]

    address = free_address()
    other = [command(0, address, "--seed=0"), command(1, address, "--seed=1")]
    for status, _, error in run_all(other):
        assert status == 2, error
        assert "error: the configuration of process 1 has train.seed = 1, that of process 0 train.seed = 0" in error
    address = free_address()
    wrong = [command(0, address, "--seed=0"), command(1, address, "--gin_bindings=train.num_seed=4")]
    (status, _, error), (of_other, _, its_error) = run_all(wrong)
    assert (status, of_other) == (2, 2)
    assert "error: process 1 has ended: " in error
    assert its_error.partition("error: ")[2] in error
    assert not run_dir.exists() or list(run_dir.iterdir()) == []


def test_who_does_not_come_is_not_waited_for_for_ever() -> None:
    program = "import sys; from sobolev.training import processes; processes.connect(sys.argv[1], 2, 0, timeout=1)"
    ((status, _, error),) = run_all([["-W", "ignore", "-c", program, free_address()]])
    assert status != 0
    assert error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("host:1", 2, 2), r"must be in \[0, 1\].* got 2"), (("host", 2, 0), "host and a port.* got host")],
)
def test_what_cannot_be_connected_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        connect(*arguments)


def test_seeds_are_shared_out(tiny: Make) -> None:
    """Each seed is in one process, and a process alone has the configuration as it is."""
    config = tiny(num_seeds=12, seed=3)
    assert Processes().grouped(config) is config
    for count, size in ((1, None), (4, None), (3, 2), (2, 4)):
        parts = [Processes(index, count) for index in range(count)]
        grouped = [each.grouped(tiny(num_seeds=12, seed=3, seeds_at_once=size)) for each in parts]
        shares = [each.share(of_one) for each, of_one in zip(parts, grouped, strict=True)]
        assert sorted(seed for share in shares for group in share for seed in group) == list(range(3, 15))
        assert {len(group) for share in shares for group in share} == {size or 12 // count}
    with pytest.raises(ValueError, match=r"multiple of the 5 processes, got 12"):
        Processes(0, 5).grouped(config)
    with pytest.raises(ValueError, match=r"2 groups of seeds, fewer than 3 processes"):
        Processes(0, 3).grouped(tiny(num_seeds=12, seeds_at_once=6))


def test_the_first_error_counts_and_then_the_first_difference() -> None:
    words = [Word({"a": "x"}), Word({"a": "y"}), Word(error="no disk")]
    assert _objection(words) == "process 2 has ended: no disk"
    assert _objection(words[:2]) == "a of process 1 has y, that of process 0 x"
    assert _objection([Word({"a": "x"}), Word({"a": "x\nz"})]) == "a of process 1 has z, that of process 0 nothing more"
    assert _objection(words[:1] * 2) == ""


def test_processes_of_one_run_share_a_directory_and_the_last_one_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    with locked(tmp_path, at_end=lambda: told.append("first")) as first:
        with pytest.raises(ValueError, match="in use"), locked(tmp_path, joins=True):
            raise AssertionError
        first.admit_others()
        second = locked(tmp_path, joins=True, at_end=lambda: told.append("second"))
        assert second.__enter__().holder == first.holder
        with pytest.raises(ValueError, match="in use by process"), locked(tmp_path):
            raise AssertionError
    assert told == []
    assert (tmp_path / "lock").exists()
    with pytest.raises(ValueError, match="in use by process"), locked(tmp_path):
        raise AssertionError
    second.__exit__(None, None, None)
    assert told == ["second"]
    assert not (tmp_path / "lock").exists()


def test_rows_of_parts_take_the_place_of_those_before(tmp_path: Path) -> None:
    def write(folder: Path, rows: list[tuple[int, int, float]]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"env_steps": t, "seed": seed, "x": x}) for t, seed, x in rows]
        (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))

    write(tmp_path, [(10, 0, 0.1), (20, 0, 0.2), (10, 1, 1.1), (20, 1, 1.2), (10, 2, 2.1)])
    logs.begin_part(tmp_path, 0, [0], print)
    assert [row["x"] for row in logs.rows_of_run(logs.part_of(tmp_path, 0))] == [0.1, 0.2]
    write(logs.part_of(tmp_path, 1), [(10, 1, 1.15), (15, 1, 1.17)])
    logs.part_of(tmp_path, 2).mkdir()  # of a process that has written nothing yet
    expected = [(10, 0, 0.1), (10, 1, 1.15), (10, 2, 2.1), (15, 1, 1.17), (20, 0, 0.2)]
    for _ in range(2):
        rows = logs.rows_of_run(tmp_path)
        assert [(row["env_steps"], row["seed"], row["x"]) for row in rows] == expected
        logs.join_parts(tmp_path, print)
        assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "metrics.csv", "learning_curve.png"}
    assert re.match(r"env_steps,seed,x\n10,0,0\.1\n", (tmp_path / "metrics.csv").read_text())
