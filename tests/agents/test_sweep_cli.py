"""``agents/sweep.py``: what is asked for, names, where tasks stand, and sweeps that are killed on the way."""

import ast
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import sweep
from agents.exits import IN_USE
from agents.gin_messages import ConfigError
from agents.gin_sources import ROOT
from agents.methods import make_methods
from agents.sweeps import results, states
from agents.sweeps.attempt import Order, Started, complete
from agents.sweeps.backends.local import Local
from agents.sweeps.grid import Axis, Setting, parse_grid, settings_of
from agents.sweeps.names import LONGEST, name_of_setting, name_of_value
from agents.sweeps.record import CLAIM
from agents.sweeps.running import Sweep
from agents.sweeps.seeds import parse_seeds, text_of_seeds
from agents.sweeps.tasks import Loaded, Task, tasks_of
from sobolev.training import TrainConfig, read_run
from sobolev.training.interrupts import Interrupted, Interrupts
from sobolev.training.lock import holder_of, locked
from sobolev.training.statistics import bootstrap_interval
from tests.sweeps.__main__ import pid_of, stress
from tests.sweeps.stand_in import value_of

STAND_IN = ROOT / "tests" / "sweeps" / "stand_in.py"
NUMBERS = {"total_steps": 40, "eval_every": 4, "checkpoint_every": 12, "num_envs": 2, "warmup_steps": 4}

scalars = st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none() | st.text(max_size=8)
values = scalars | st.lists(scalars, max_size=3).map(tuple)


# What is asked for.


@given(st.sets(st.integers(0, 60), min_size=1))
def test_seeds_are_read_as_they_are_written(seeds: set[int]) -> None:
    assert parse_seeds(text_of_seeds(sorted(seeds))) == sorted(seeds)


@pytest.mark.parametrize("text", ["", "a", "1,", "3-1", "-1", "1-2-3", "1,0-3", "0-99999999999", "1.5", "٣"])
def test_seeds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--seeds=") as caught:
        parse_seeds(text)
    assert "\n" not in str(caught.value)


@given(st.lists(values, min_size=1, max_size=4, unique_by=repr))
def test_grids_are_split_at_the_outermost_commas(given_values: list[Any]) -> None:
    axis = parse_grid(f"critic/part.x = [{', '.join(map(repr, given_values))}]")
    assert axis.name == "critic/part.x"
    assert [ast.literal_eval(text) for text in axis.values] == given_values


def test_parts_and_macros_are_values() -> None:
    axis = parse_grid("agent.metric=[@metrics.mmd(), @critic/metrics.l2, %widths, (1, 'a,b'),]")
    assert axis.values == ("@metrics.mmd()", "@critic/metrics.l2", "%widths", "(1,'a,b')")


@pytest.mark.parametrize(
    "text",
    [
        *("x", "x=3", "x=[]", "x=[ ]", "x=[1,,2]", "x=[(1]", "x=[1)]", "x=['a]", "x=[1],[2]", "[1]", "=[1]", "x y=[1]"),
        *("x=[1e-3,0.001]", "train.seed=[0,1]", "x=[1,\n(2]", "x=[1],y=[2]"),
    ],
)
def test_grids_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--grid="):
        parse_grid(text)


@given(values, values)
def test_names_of_values_are_safe_and_tell_them_apart(one: Any, other: Any) -> None:
    names = [name_of_value(repr(value)) for value in (one, other)]
    assert all(set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") for name in names)
    assert all(1 <= len(name) < 60 for name in names)
    assert (names[0].lower() == names[1].lower()) == (repr(one) == repr(other))


def test_names_of_values_that_look_alike_differ() -> None:
    alike = ("1", "1.0", "True", "'1'", "'true'", "'True'", "None", "'none'", "'None'", "'a b'", "'a_b'", "'A_b'")
    texts = [*alike, "(8, 8)", "[8, 8]", "8.8", "'8.8'", "@metrics.mmd()", "@metrics.mmd", "'metrics.mmd'", "%mmd"]
    assert len({name_of_value(text).lower() for text in texts}) == len(texts)
    assert name_of_value("(8,8)") == name_of_value("(8, 8)")


def test_settings_are_all_combinations_and_names_do_not_depend_on_the_order() -> None:
    axes = [Axis("b.y", ("1", "2")), Axis("c/a.x", ("'u'", "'v'"))]
    found = settings_of(axes, "td3")
    assert [setting.bindings for setting in found] == [
        ("b.y = 1", "c/a.x = 'u'"),
        ("b.y = 1", "c/a.x = 'v'"),
        ("b.y = 2", "c/a.x = 'u'"),
        ("b.y = 2", "c/a.x = 'v'"),
    ]
    assert [setting.name for setting in found][1] == "b.y=1,c-a.x=v"
    assert {setting.name for setting in settings_of(axes[::-1], "td3")} == {setting.name for setting in found}
    assert settings_of([], "td3") == [Setting("td3", ())]
    with pytest.raises(ConfigError, match=r"b\.y is swept twice"):
        settings_of([axes[0], axes[0]], "td3")
    long = [name_of_setting({f"a.{'n' * 60}{i}": str(k) for i in range(4)}, "") for k in range(3)]
    assert len(set(long)) == 3
    assert max(map(len, long)) <= LONGEST


# Where tasks stand.


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    """A setting."""
    return Loaded(Setting("x=1", ("agent.gamma = 0.9",)), TrainConfig(**NUMBERS), "0a0a0a0a")


def words_of(task: Task, at_once: int | None) -> list[str]:
    numbers = {**NUMBERS, "seed": task.seeds[0], "num_seeds": len(task.seeds), "seeds_at_once": at_once}
    bindings = (*task.loaded.setting.bindings, *(f"train.{name} = {value}" for name, value in numbers.items()))
    options = (f"--gin_bindings={text}" for text in bindings)
    return [sys.executable, str(STAND_IN), *options, f"--run_dir={task.run_dir}", "--resume"]


def run(tasks: list[Task], **changes: Any) -> tuple[Sweep, list[str]]:
    """Runs tasks with the stand-in; what was told."""
    told: list[str] = []
    unfinished = [task for task in tasks if not states.is_done(task)]
    made = Sweep(unfinished, changes.get("words", words_of), Local(), changes.get("workers", 2), told.append)
    made.run(Interrupts())
    return made, told


def order_of(task: Task, words: list[str] | None = None) -> Order:
    """What a sweep orders that knows of no start."""
    words = words or words_of(task, None)
    return Order(str(task.run_dir), task.seeds, task.loaded.fingerprint, 0, words, os.getcwd(), {})


def starts(run_dir: Path) -> int:
    return (run_dir / "log.txt").read_text().count("==> ")


def test_tasks_are_groups_of_consecutive_seeds_and_keep_their_directories(loaded: Loaded, tmp_path: Path) -> None:
    def names(seeds: list[int], at_once: int | None = None) -> list[str]:
        return [task.run_dir.name for task in tasks_of(loaded, seeds, at_once, tmp_path)]

    assert names([0, 1, 2, 7]) == ["seeds0-2", "seed7"]
    assert names([0, 1, 2, 3, 4], 2) == ["seeds0-1", "seeds2-3", "seed4"]
    (tmp_path / "x=1" / "seeds2-3").mkdir(parents=True)
    assert names([0, 1, 2, 3, 4]) == ["seeds0-4"]  # nothing has begun there
    (tmp_path / "x=1" / "seeds2-3" / "log.txt").touch()
    assert names([0, 1, 2, 3, 4]) == ["seeds0-1", "seeds2-3", "seed4"]


def test_the_life_of_a_task(loaded: Loaded, tmp_path: Path) -> None:
    (task,) = tasks_of(loaded, [0, 1, 2], None, tmp_path)
    assert states.state_of(task) == ("not begun", "")
    started = Started(order_of(task))
    while not (task.run_dir / "checkpoints" / "12.npz").exists():
        assert started.poll() is None
        time.sleep(0.001)
    pid = pid_of(task.run_dir)
    assert pid
    os.kill(pid, signal.SIGSTOP)
    kind, told = states.state_of(task)
    assert (kind, told.split(" on ")[0]) == ("running", f"by process {pid}")
    started.stop(signal.SIGKILL)
    while started.poll() is None:
        time.sleep(0.001)
    assert started.poll() == (-signal.SIGKILL, "")
    assert states.state_of(task) == ("cut", f"at step {min(states.saved_steps(task))} of 40")
    assert min(states.saved_steps(task)) in (12, 24, 36)
    run([task])
    assert states.state_of(task) == ("done", "")
    assert not (task.run_dir / "sweep.lock").exists()
    assert starts(task.run_dir) == 2
    assert run([task])[1] == []
    other = task._replace(loaded=loaded._replace(fingerprint="ffffffff"))
    assert states.state_of(other) == ("cut", "at its end, step 40: whether the configuration is the same is not known")
    run([other])
    assert starts(task.run_dir) == 3
    longer = TrainConfig(**{**NUMBERS, "total_steps": 80})
    assert not states.is_whole(other._replace(loaded=loaded._replace(config=longer)))


def test_a_task_that_fails_is_told_and_the_others_go_on(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_REFUSES", "0.5")
    refused = loaded._replace(setting=Setting("x=2", ("agent.gamma = 0.5",)))
    tasks = [tasks_of(which, [0], None, tmp_path)[0] for which in (refused, loaded)]
    done, _ = run(tasks, workers=1)
    assert done.failed == {"x=2/seed0": "this gamma is refused"}
    assert [states.state_of(task) for task in tasks] == [("failed", "this gamma is refused"), ("done", "")]
    silent, _ = run(tasks[:1], words=lambda task, at_once: [sys.executable, "-c", "raise KeyError('why')"])
    assert silent.failed == {"x=2/seed0": "status 1: KeyError: 'why'"}
    lazy, _ = run(tasks[:1], words=lambda task, at_once: [sys.executable, "-c", ""])
    assert lazy.failed == {"x=2/seed0": "it ended without rows or checkpoints of its last step"}
    assert states.state_of(tasks[0]).kind == "failed"


def test_three_tries_are_made_where_signals_end_a_task(loaded: Loaded, tmp_path: Path) -> None:
    (task,) = tasks_of(loaded, [0], None, tmp_path)
    dies = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    dead, told = run([task], words=lambda task, at_once: dies)
    message = "3 tries were ended by a signal, the last by SIGKILL"
    assert dead.failed == {"x=1/seed0": message}
    assert states.state_of(task) == ("failed", message)
    assert starts(task.run_dir) == 3
    assert sum("again, try" in line for line in told) == 2
    assert run([task])[0].failed == {}


def test_seeds_that_do_not_fit_the_memory_are_trained_in_smaller_groups(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FITS", "2")
    (task,) = tasks_of(loaded, list(range(6)), None, tmp_path)
    asked: list[int | None] = []

    def words(task: Task, at_once: int | None) -> list[str]:
        asked.append(at_once)
        return words_of(task, at_once)

    made, _ = run([task], words=words)
    assert (asked, made.failed) == ([None, 3, 1], {})
    assert states.state_of(task).kind == "done"
    (task.run_dir / "checkpoints" / "seeds4-4" / "40.npz").unlink()
    assert states.state_of(task) == ("cut", "at step 36 of 40")
    run([task], words=words)
    assert asked == [None, 3, 1, 1]  # as the run has begun


def test_a_process_keeps_its_claim_where_the_sweep_has_gone(loaded: Loaded, tmp_path: Path) -> None:
    (task,) = tasks_of(loaded, [0], None, tmp_path)
    order = order_of(task, ["sleep", "60"])
    program = f"from agents.sweeps.attempt import Order, complete; complete({order!r})"
    sweep_process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program])
    while not (task.run_dir / "log.txt").exists() or not children(sweep_process.pid):
        assert sweep_process.poll() is None
        time.sleep(0.01)
    (pid,) = children(sweep_process.pid)
    sweep_process.kill()
    sweep_process.wait()
    assert states.state_of(task).kind == "running"
    status, told = complete(order)
    assert status == IN_USE
    assert f"{task.run_dir} is in use by process {sweep_process.pid} on " in told
    os.kill(pid, signal.SIGKILL)
    while holder_of(task.run_dir, CLAIM) is not None:
        time.sleep(0.001)
    assert states.state_of(task) == ("cut", "at step 0 of 40")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    words = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in words for child in path.read_text().split()]


def test_what_another_has_done_meanwhile_is_not_done_again(loaded: Loaded, tmp_path: Path) -> None:
    (task,) = tasks_of(loaded, [0], None, tmp_path)
    run([task])
    assert complete(order_of(task)) == (0, "")
    assert starts(task.run_dir) == 1
    assert complete(order_of(task)._replace(starts=1)) == (0, "")  # what the sweep knew, and did not take for done
    assert starts(task.run_dir) == 2


def test_a_task_of_another_is_waited_for_and_taken_where_it_is_left(loaded: Loaded, tmp_path: Path) -> None:
    tasks = [tasks_of(loaded, [seed], None, tmp_path)[0] for seed in (0, 1)]
    tasks[0].run_dir.mkdir(parents=True)
    waits: list[str] = []
    with ExitStack() as other:
        other.enter_context(locked(tasks[0].run_dir))

        def tell(line: str) -> None:
            waits.append(line)
            if line.startswith("waiting"):
                assert not (tasks[0].run_dir / "log.txt").exists()
                other.close()

        Sweep(tasks, words_of, Local(), 2, tell).run(Interrupts())
    assert "waiting for 1 task that others have in hand" in waits
    assert [states.state_of(task).kind for task in tasks] == ["done", "done"]


def test_seeds_of_another_directory_are_not_trained_again(loaded: Loaded, tmp_path: Path) -> None:
    (task,) = tasks_of(loaded, [0, 1, 2], None, tmp_path)
    (late,) = tasks_of(loaded, [2, 3], None, tmp_path)  # by a sweep that has begun at the same time
    run([task])
    assert "seeds0-2 has some of the same seeds" in run([late])[0].failed["x=1/seeds2-3"]
    assert not late.run_dir.exists()


def test_a_signal_ends_the_tasks_which_save_and_the_next_call_goes_on(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_SECONDS", "5")  # a step takes longer than the signal
    tasks = [tasks_of(loaded, [seed], None, tmp_path)[0] for seed in (0, 1, 2)]
    interrupts = Interrupts()

    def tell(line: str) -> None:
        if line.endswith("log.txt"):
            interrupts.number = signal.SIGTERM

    with pytest.raises(Interrupted) as caught:
        Sweep(tasks, words_of, Local(), 1, tell).run(interrupts)
    assert caught.value.number == signal.SIGTERM
    assert [states.state_of(task).kind for task in tasks] == ["cut", "not begun", "not begun"]
    assert "status -15" in (tasks[0].run_dir / "log.txt").read_text()
    monkeypatch.delenv("STAND_IN_SECONDS")
    run(tasks)
    assert [states.state_of(task).kind for task in tasks] == ["done"] * 3


# Results.


def test_results_are_those_of_what_is_done(loaded: Loaded, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x=1" / "seed9").mkdir(parents=True)
    results.write_results(tmp_path)
    assert "no results" in capsys.readouterr().out
    (tmp_path / "x=1" / "seed9" / "metrics.jsonl").write_text('{"env_steps": 4, "seed": 9, "eval/return": 1e9}')
    tasks = tasks_of(loaded, [0, 1, 2, 5], None, tmp_path)
    two = loaded._replace(setting=Setting("x=2", ("agent.gamma = 0.8",)))
    run([*tasks, *tasks_of(two, [0, 1], None, tmp_path)])
    results.write_results(tmp_path)
    with open(tmp_path / "results.csv", newline="") as file:
        first, second = csv.DictReader(file)
    finals = np.array([np.mean([value_of(seed, step) for step in (32, 36, 40)]) for seed in (0, 1, 2, 5)])
    middle = np.mean(np.sort(finals)[1:3])
    low, high = bootstrap_interval([finals])
    assert (first["setting"], first["seeds"], first["num_seeds"], first["env_steps"]) == ("x=1", "0-2,5", "4", "40")
    columns = ("interquartile_mean", "interval_low", "interval_high")
    np.testing.assert_allclose([float(first[name]) for name in columns], [middle, low, high], rtol=1e-12)
    assert (second["num_seeds"], second["interval_low"]) == ("2", "")
    assert "an interval needs 3 seeds" in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("*.png")} == {"curves.png", "improvement.png"}


def test_pictures_have_no_more_settings_than_colours(loaded: Loaded, tmp_path: Path) -> None:
    for i in range(results.MOST + 1):
        (tmp_path / f"{i}").mkdir()
        (tmp_path / f"{i}" / "metrics.jsonl").write_text(
            json.dumps({"env_steps": 4, "seed": 0, "eval/return": float(-i)})
        )
    methods = make_methods((f"{i}", [tmp_path / f"{i}"]) for i in range(results.MOST + 1))
    best = results._best(methods, [results.result_of(method, [0]) for method in methods])
    assert [method.name for method in best] == [str(i) for i in range(results.MOST)]
    assert len({method.colour for method in best}) == results.MOST


# The program.


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """``main(*arguments)``: the exit status of the program, in this process."""
    monkeypatch.setattr(sweep.start, "_cache_programs", lambda: None)
    platforms = jax.config.jax_platforms  # type: ignore[attr-defined]

    def status(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["agents/sweep.py", *map(str, arguments)])
        try:
            with pytest.raises(SystemExit) as ended:
                sweep.main()
        finally:
            jax.config.update("jax_platforms", platforms)
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return status


def common(tiny: Path, folder: Path) -> tuple[str, ...]:
    numbers = (f"--gin_bindings=train.{name} = {value}" for name, value in NUMBERS.items())
    return (f"--gin_file={tiny}", f"--sweep_dir={folder / 'sweep'}", f"--program={STAND_IN}", *numbers)


ANY = ("--gin_file=gin/td3.gin", "--sweep_dir=x")
GAMMA = "--space=agent.gamma=uniform(0.9,0.95)"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to train: give --gin_file"),
        (["--gin_file=gin/td3.gin"], "nowhere to train: give --sweep_dir"),
        (["--gin_file=gin/td4.gin", "--sweep_dir=x"], "no gin file gin/td4.gin; did you mean gin/td3.gin"),
        (["--gin_file=gin/td3.gin", "--sweep_dir=x", "--grid=agent.num_samples=[]"], "there is no value"),
        (["--gin_file=gin/td3.gin", "--sweep_dir=x", "--grid=agent.num_samples=4"], "write it as --grid="),
        (["--gin_file=gin/td3.gin", "--sweep_dir=x", "--grid=agent.num_sample=[4]"], "--grid, agent.num_sample = 4"),
        (["--gin_file=gin/td3.gin", "--sweep_dir=x", "--grid=agent.batch_size=[4,'x']"], "must be int, got 'x'"),
        (["--gin_file=gin/td3.gin", "--sweep_dir=x", "--seeds=9-0"], "--seeds=9-0: 0 is below 9"),
        (["--gin_file=gin/td3.gin", "--sweep_dir=x", "--backend=locl"], "no backend locl; did you mean local?"),
        (["--gin_file=gin/td3.gin", "--sweep_dir=x", "--workers=0"], "--workers must be at least 1, got 0"),
        (["--gin_file=gin/td3.gin", "--sweep_dir=x", "--worker=1"], "unrecognized arguments: --worker=1"),
        ([*ANY, "--gpus_per_task=0.5"], "--gpus_per_task is for --backend=ray"),
        ([*ANY, "--slurm=time=5"], "--slurm is for --backend=slurm"),
        ([*ANY, "--backend=slurm", "--slurm=time"], "--slurm=time: write it as --slurm=partition=gpu"),
        ([*ANY, "--backend=slurm"], "there is no Slurm here; --slurm_executor=local tries it without"),
        ([*ANY, "--backend=ray", "--cpus_per_task=0"], "--cpus_per_task must be above 0, got 0"),
        (
            [*ANY, "--backend=ray", "--gpus_per_task=1.5"],
            "--gpus_per_task must be in [0, 1] or a whole number, got 1.5",
        ),
        ([*ANY, "--space=agent.gamma=[1]"], "--space is for a search: give --search=tpe too"),
        ([*ANY, "--trials=3"], "--trials is for a search: give --search=tpe too"),
        ([*ANY, "--search=tp"], "no search tp; did you mean tpe? There are: tpe"),
        ([*ANY, "--search=tpe"], "nothing to search: give --space="),
        ([*ANY, "--search=tpe", "--grid=agent.gamma=[1]"], "--grid and --search: give either"),
        ([*ANY, "--search=tpe", GAMMA], "no end: give --trials=50"),
        ([*ANY, "--search=tpe", GAMMA, "--trials=0"], "--trials must be at least 1, got 0"),
        ([*ANY, "--search=tpe", GAMMA, "--trials=3", "--backend=slurm"], "--search: give --workers"),
        ([*ANY, "--search=tpe", "--space=agent.gama=log(0.1,1)", "--trials=3"], "--space, agent.gama = 0.3162"),
    ],
)
def test_wrong_arguments_end_in_one_line_and_status_two(
    arguments: list[str], words: str, main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(*arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert words in told
    assert told.count("\n") == 1


def test_dry_run_and_status_write_nothing(
    tiny: Path, tmp_path: Path, main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (*common(tiny, tmp_path), "--grid=agent.gamma=[0.9, 0.95]", "--seeds=0-2,4")
    assert main(*arguments, "--dry_run") == 0
    told = capsys.readouterr().out
    assert told.count("agent.gamma = 0.95\n") == 1
    assert all(
        told.count(f"/agent.gamma={value}/{group}") == 1 for value in (0.9, 0.95) for group in ("seeds0-2", "seed4")
    )
    assert main(*arguments, "--status") == 0
    assert capsys.readouterr().out.endswith("\n4 not begun\n")
    assert not (tmp_path / "sweep").exists()


def test_status_is_one_where_a_task_has_failed(
    tiny: Path, tmp_path: Path, main: Callable[..., int], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("STAND_IN_REFUSES", "0.95")
    arguments = (*common(tiny, tmp_path), "--grid=agent.gamma=[0.9,0.95]", "--seeds=0-2")
    assert main(*arguments) == 1
    told = capsys.readouterr()
    assert told.err == "failed: agent.gamma=0.95/seeds0-2: this gamma is refused\n"
    assert (tmp_path / "sweep" / "results.csv").read_text().count("\n") == 2
    monkeypatch.delenv("STAND_IN_REFUSES")
    assert main(*arguments) == 0
    assert starts(tmp_path / "sweep" / "agent.gamma=0.9" / "seeds0-2") == 1
    assert main(*arguments, "--status") == 0
    assert capsys.readouterr().out.endswith("\n2 done\n")


@pytest.mark.parametrize(
    ("arguments", "option", "package"),
    [
        (["--backend=ray"], "--backend=ray", "ray"),
        (["--backend=slurm"], "--backend=slurm", "submitit"),
        (["--search=tpe", GAMMA, "--trials=3"], "--search=tpe", "optuna"),
    ],
)
def test_a_missing_package_is_told_with_the_extra_that_has_it(
    arguments: list[str], option: str, package: str, main: Callable[..., int], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, package, None)
    assert main(*ANY, *arguments) == 2
    told = f"error: {option} needs the package {package}: pip install 'sobolev[sweep]'\n"
    assert capsys.readouterr().err == told


def test_a_search_from_its_plan_to_its_results_and_on(
    tiny: Path, tmp_path: Path, main: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    arguments = (*common(tiny, tmp_path), "--search=tpe", GAMMA, "--seeds=0,2", "--workers=2")
    assert main(*arguments, "--trials=2", "--dry_run") == 0
    told = capsys.readouterr().out
    assert told.startswith("# 2 trials of agent.gamma=uniform(0.9,0.95); one in the middle:\n# agent.gamma=0.925\n")
    assert main(*arguments, "--trials=2", "--status") == 0
    assert capsys.readouterr().out == "no trial is begun\n"
    assert not (tmp_path / "sweep").exists()
    assert main(*arguments, "--trials=2") == 0
    value = np.mean([np.mean([value_of(seed, step) for step in (32, 36, 40)]) for seed in (0, 2)])
    told = capsys.readouterr().out
    assert "2 of 2 trials have ended, 0 of them failed\nbest: trial " in told
    assert f"with a mean return of {value:.4g}: agent.gamma = 0.9" in told
    assert main(*arguments, "--trials=3") == 0
    assert "2 of 2 trials have ended" in capsys.readouterr().out
    assert main(*arguments, "--trials=3", "--status") == 0
    told = capsys.readouterr().out
    assert told.startswith("3 of 3 trials have ended, 0 of them failed\n")
    assert told.endswith("\n6 done\n")
    assert (tmp_path / "sweep" / "results.csv").read_text().count("\n") == 4
    assert main(*arguments, "--trials=3", "--seeds=0") == 2
    assert "holds a search with seeds 0,2, not 0. Name another --sweep_dir" in capsys.readouterr().err


# Whole sweeps that are killed.


def test_a_stress_of_stand_ins(tmp_path: Path) -> None:
    """``python -m tests.sweeps`` has 200 tasks."""
    outcome = stress(tmp_path, num_seeds=6, share=1 / 3, workers=2)
    assert outcome.problems == [], (tmp_path / "out").read_text()
    assert outcome.killed >= 1


def test_a_sweep_of_real_runs_of_which_one_and_itself_are_killed(
    tiny: Path, tmp_path: Path, command: Callable[..., tuple[list[str], dict[str, Any]]]
) -> None:
    _, how = command()
    words = [sys.executable, str(ROOT / "agents" / "sweep.py"), f"--gin_file={tiny}", "--grid=agent.gamma=[0.9]"]
    words += ["--seeds=0-2", "--seeds_at_once=1", f"--sweep_dir={tmp_path / 'sweep'}"]
    folder, rng = tmp_path / "sweep" / "agent.gamma=0.9", random.Random(0)

    def kill_within(run_dir: Path, who: Callable[[], int | None]) -> None:
        while not (run_dir / "metrics.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.1))
        pid = who()
        assert pid, "it has ended before"
        os.kill(pid, signal.SIGKILL)

    deadline = time.monotonic() + 500
    with open(tmp_path / "out", "w") as out:
        first = subprocess.Popen(words, **how, stdout=out, stderr=out)
        kill_within(folder / "seed0", lambda: pid_of(folder / "seed0"))
        kill_within(folder / "seed1", lambda: first.pid)
        first.wait()
        second = subprocess.run(words, **how, stdout=out, stderr=out, timeout=500, check=False)
    assert second.returncode == 0, (tmp_path / "out").read_text()
    for seed in range(3):
        run_dir = folder / f"seed{seed}"
        rows = read_run(run_dir).rows
        assert [(row["seed"], row["env_steps"]) for row in rows] == [(seed, step) for step in range(16, 161, 4)]
        assert (run_dir / "checkpoints" / "160.npz").exists()
    assert [starts(folder / f"seed{seed}") for seed in (0, 2)] == [2, 1]
    assert starts(folder / "seed1") == 2  # its run has outlived the sweep, which alone keeps the record
    assert "in use" not in "".join((folder / f"seed{seed}" / "log.txt").read_text() for seed in range(3))
    assert (tmp_path / "sweep" / "curves.png").exists()
