"""Backends of ``agents/sweep.py`` beyond processes of this machine: Ray, and submitit with processes for jobs.

``python -m tests.sweeps --backend=ray`` has two sweeps on one cluster of Ray, and kills a third of 200 tasks.
"""

import os
import secrets
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.gin_messages import ConfigError
from agents.sweeps import backends, states
from agents.sweeps.backends import Backend, Options, slurm
from agents.sweeps.grid import Setting
from agents.sweeps.running import Sweep
from agents.sweeps.tasks import Loaded, Task, tasks_of
from sobolev.training import TrainConfig
from sobolev.training.interrupts import Interrupted, Interrupts
from tests.sweeps.__main__ import pid_of
from tests.sweeps.stand_in import ROOT

NUMBERS = {"total_steps": 40, "eval_every": 4, "checkpoint_every": 12, "num_envs": 2, "warmup_steps": 4}


def make_tasks(folder: Path, num_seeds: int) -> list[Task]:
    setting = Loaded(Setting("x=1", ("agent.gamma = 0.9",)), TrainConfig(**NUMBERS), "0a0a0a0a")
    return tasks_of(setting, range(num_seeds), 1, folder)


def words_of(task: Task, at_once: int | None) -> list[str]:
    numbers = {**NUMBERS, "seed": task.seeds[0], "num_seeds": len(task.seeds), "seeds_at_once": at_once}
    bindings = (*task.loaded.setting.bindings, *(f"train.{name} = {value}" for name, value in numbers.items()))
    options = (f"--gin_bindings={text}" for text in bindings)
    program = ROOT / "tests" / "sweeps" / "stand_in.py"
    return [sys.executable, str(program), *options, f"--run_dir={task.run_dir}", "--resume"]


def sweep_of(tasks: list[Task], backend: Backend, **changes: Any) -> Sweep:
    return Sweep(tasks, changes.get("words", words_of), backend, None, changes.get("tell", lambda line: None))


def statuses(task: Task) -> list[str]:
    lines = (task.run_dir / "log.txt").read_text().splitlines()
    return [line.rsplit(" ", 1)[1] for line in lines if line.startswith("<==")]


def wait_for(task: Task) -> int:
    """The process of a task, once it has a checkpoint."""
    deadline = time.monotonic() + 60
    while not (task.run_dir / "checkpoints" / "12.npz").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pid = pid_of(task.run_dir)
    assert pid
    return pid


class Acts(Interrupts):
    """Does something at the first look after a task has a checkpoint."""

    def __init__(self, task: Task, act: Any) -> None:
        self._task, self._act = task, act
        super().__init__()

    @property
    def number(self) -> int | None:
        if self._act is not None and (self._task.run_dir / "checkpoints" / "12.npz").exists():
            act, self._act = self._act, None
            self._number = act(wait_for(self._task))
        return self._number

    @number.setter
    def number(self, value: int | None) -> None:
        self._number = value


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in takes two seconds."""
    monkeypatch.setenv("STAND_IN_SECONDS", "0.2")


# Slurm, with submitit's own processes in the place of its jobs.


@pytest.fixture
def jobs(tmp_path: Path) -> Backend:
    """The backend."""
    pytest.importorskip("submitit")
    return backends.make("slurm", Options(slurm_executor="local", slurm=(("time", "60"),)), tmp_path)


def test_jobs_bring_tasks_to_their_end(jobs: Backend, tmp_path: Path) -> None:
    tasks = make_tasks(tmp_path, 2)
    done = sweep_of(tasks, jobs)
    done.run(Interrupts())
    assert done.failed == {}
    assert [states.state_of(task).kind for task in tasks] == ["done", "done"]
    assert [statuses(task) for task in tasks] == [["0"], ["0"]]


@pytest.mark.usefixtures("slow")
def test_a_job_that_is_to_make_room_saves_and_is_queued_again(jobs: Backend, tmp_path: Path) -> None:
    (task,) = make_tasks(tmp_path, 1)

    def preempt(pid: int) -> None:
        job = int((task.run_dir / "sweep.lock").read_text().split()[1])
        assert job != os.getpid()
        os.kill(job, signal.SIGUSR2)  # by which submitit tells a job

    done = sweep_of([task], jobs)
    done.run(Acts(task, preempt))
    assert done.failed == {}
    assert states.state_of(task).kind == "done"
    assert statuses(task) == ["-15", "0"]


@pytest.mark.usefixtures("slow")
def test_a_killed_program_of_a_job_is_started_again(jobs: Backend, tmp_path: Path) -> None:
    (task,) = make_tasks(tmp_path, 1)
    done = sweep_of([task], jobs)
    done.run(Acts(task, lambda pid: os.kill(pid, signal.SIGKILL)))
    assert done.failed == {}
    assert statuses(task) == ["-9", "0"]


def test_an_error_of_a_job_is_told(jobs: Backend, tmp_path: Path) -> None:
    (task,) = make_tasks(tmp_path, 1)
    failed = sweep_of([task], jobs, words=lambda task, at_once: [sys.executable, "-c", "raise KeyError('why')"])
    failed.run(Interrupts())
    assert failed.failed == {"x=1/seed0": "status 1: KeyError: 'why'"}
    missing = sweep_of([task], jobs, words=lambda task, at_once: ["/no/such/program"])
    missing.run(Interrupts())
    assert "No such file" in missing.failed["x=1/seed0"]


def test_parameters_of_slurm_are_checked(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(ConfigError, match=r"--slurm=partitio=…: no such parameter; did you mean partition\?"):
        backends.make("slurm", Options(slurm_executor="local", slurm=(("partitio", "gpu"),)), tmp_path)


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands in the place of Slurm's: the array that was asked for, and a queue that a file gives."""
    folder = tmp_path / "bin"
    folder.mkdir()
    commands = {
        "srun": "exit 1",
        "sbatch": f'cp "$1" {folder}/script; echo Submitted batch job 77',
        "squeue": f"cat {folder}/queue",
        "scancel": f'echo "$@" >> {folder}/cancelled; sed -i "/^$1$/d" {folder}/queue',
    }
    for name, text in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(stat.S_IRWXU)
    (folder / "queue").write_text("77_0\n77_1\n77_2\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.01)
    slurm.queue.cache_clear()
    return folder


def test_an_array_is_handed_to_slurm_and_what_is_queued_is_left_alone(fake_slurm: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    tasks = make_tasks(tmp_path / "sweep", 3)
    options = Options(workers=2, slurm=(("partition", "gpu"), ("time", "240"), ("cpus_per_task", "4"), ("mem", "8GB")))
    backend = backends.make("slurm", options, tmp_path / "sweep")
    found: list[states.State] = []
    interrupts = Interrupts()

    def tell(line: str) -> None:
        if line.startswith("x=1/seed2: started"):
            interrupts.number = signal.SIGTERM
            found.extend(states.state_of(task) for task in tasks)

    sweep = Sweep(tasks, words_of, backend, None, tell)
    with pytest.raises(Interrupted):
        sweep.run(interrupts)
    script = (fake_slurm / "script").read_text()
    for line in ("partition=gpu", "time=240", "cpus-per-task=4", "mem=8GB", "array=0-2%2", "signal=USR2@90"):
        assert f"#SBATCH --{line}\n" in script
    assert (fake_slurm / "cancelled").read_text() == "77_0\n77_1\n77_2\n"
    assert found == [("queued", f"by Slurm as job 77_{i}") for i in range(3)]
    assert [states.state_of(task) for task in tasks] == [("not begun", "")] * 3


# Ray.


CLUSTER = """
import sys
import ray
ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def ray_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The backend, on a cluster that another process has started: this one has threads of JAX."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # a cluster of this test alone
    os.environ.update(token)
    ray = pytest.importorskip("ray")
    how = {**os.environ, "STAND_IN_SECONDS": "0.1", "RAY_USAGE_STATS_ENABLED": "0"}
    words = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(words, env=how, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
        assert cluster.stdout
        address = cluster.stdout.readline().strip()
        try:
            yield backends.make("ray", Options(ray_address=address), tmp_path_factory.mktemp("sweep"))
        finally:
            ray.shutdown()
            cluster.communicate()
            for name in token:
                del os.environ[name]


def test_ray_tries_killed_tasks_again(ray_backend: Backend, tmp_path: Path) -> None:
    tasks = make_tasks(tmp_path, 2)
    done = sweep_of(tasks, ray_backend)
    done.run(Acts(tasks[0], lambda pid: os.kill(pid, signal.SIGKILL)))
    assert done.failed == {}
    assert [statuses(task) for task in tasks] == [["-9", "0"], ["0"]]
    assert [states.state_of(task).kind for task in tasks] == ["done", "done"]


def test_ray_gives_up_after_three_tries(ray_backend: Backend, tmp_path: Path) -> None:
    (task,) = make_tasks(tmp_path, 1)
    dies = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    dead = sweep_of([task], ray_backend, words=lambda task, at_once: dies)
    dead.run(Interrupts())
    assert dead.failed == {"x=1/seed0": "3 tries were ended by a signal, the last by SIGKILL"}
    assert statuses(task)[:3] == ["-9"] * 3
    assert states.state_of(task).kind == "failed"


def test_errors_are_told_through_ray_and_not_tried_again(ray_backend: Backend, tmp_path: Path) -> None:
    (task,) = make_tasks(tmp_path, 1)
    words = [sys.executable, "-c", "raise KeyError('why')"]
    failed = sweep_of([task], ray_backend, words=lambda task, at_once: words)
    failed.run(Interrupts())
    assert failed.failed == {"x=1/seed0": "status 1: KeyError: 'why'"}
    assert statuses(task) == ["1"]


def test_a_signal_ends_the_tasks_of_ray_which_save(ray_backend: Backend, tmp_path: Path) -> None:
    (task,) = make_tasks(tmp_path, 1)
    with pytest.raises(Interrupted):
        sweep_of([task], ray_backend).run(Acts(task, lambda pid: signal.SIGINT))
    assert statuses(task) == ["-15"]
    assert states.state_of(task).kind == "cut"


def test_what_the_cluster_does_not_have_is_refused(ray_backend: Backend) -> None:
    del ray_backend
    from agents.sweeps.backends.ray import check_resources

    with pytest.raises(ConfigError, match=r"--gpus_per_task=0\.5: the Ray cluster has 0 GPUs"):
        check_resources(Options(gpus_per_task=0.5))
    with pytest.raises(ConfigError, match=r"--cpus_per_task=8: the Ray cluster has 4 CPUs"):
        check_resources(Options(cpus_per_task=8))


def test_tasks_that_share_a_gpu_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from agents.sweeps.backends.ray import variables

    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    assert variables(0.25)["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.225"
    assert variables(0.25)["JAX_ENABLE_X64"] == "0"
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in variables(1.0)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.1")
    assert variables(0.25)["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.1"
