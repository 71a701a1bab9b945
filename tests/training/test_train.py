"""A run as a whole: its files, its callbacks, its resumption, its programs."""

import dataclasses
import logging
import re
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs.base import Env, State, Wrapper

import sobolev
from sobolev.environments import PointMass
from sobolev.training import Run, TrainConfig, build, checkpoint, job, learner, memory, programs, read_run, trace, train
from sobolev.training.config import QUICK_COMPILATION
from sobolev.training.interrupts import Interrupted, Interrupts
from sobolev.training.job import full_precision, make_seed_axis
from tests.helpers import tiny_agent

Make = Callable[..., TrainConfig]
TIMES = ("train/updates_per_second", "train/env_steps_per_second", "time/learn_seconds", "time/evaluate_seconds")


def without_times(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """What of the rows the machine does not decide."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def finished(tiny: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[dict[str, float]]]:
    """A run of three seeds, and what its callback was given."""
    seen: list[dict[str, float]] = []
    return train(tiny(num_seeds=3, seed=4), tmp_path_factory.mktemp("run"), callbacks=[seen.append]), seen


def test_run_writes_its_files(finished: tuple[Run, Any]) -> None:
    run, _ = finished
    names = {path.name for path in run.run_dir.iterdir()}
    assert names == {
        "checkpoints",
        "environment.json",
        "learning_curve.png",
        "metrics.csv",
        "metrics.jsonl",
        "policies",
        "tensorboard",
    }
    assert {path.name for path in (run.run_dir / "checkpoints").iterdir()} == {"20.npz", "40.npz"}
    assert {path.name for path in (run.run_dir / "policies").iterdir()} == {f"seed{i}.jaxexport" for i in (4, 5, 6)}


def test_rows_are_one_per_seed_and_evaluation_and_callbacks_see_them(finished: tuple[Run, Any]) -> None:
    run, seen = finished
    assert seen == run.rows == read_run(run.run_dir).rows
    steps = [8, 10, 20, 30, 40]
    assert [(row["env_steps"], row["seed"]) for row in run.rows] == [(t, seed) for t in steps for seed in (4, 5, 6)]
    assert [row["updates"] for row in run.rows[::3]] == [4, 6, 16, 26, 36]
    header = (run.run_dir / "metrics.csv").read_text().splitlines()[0].split(",")
    assert header[:3] == ["env_steps", "seed", "updates"]
    assert set(header) == set().union(*run.rows)
    curve = run.curve("eval/return")
    assert curve.env_steps.tolist() == steps
    np.testing.assert_array_equal(curve.values.T.ravel(), [row["eval/return"] for row in run.rows])


def test_each_seed_is_its_own_single_run(finished: tuple[Run, Any], tiny: Make, tmp_path: Path) -> None:
    run, _ = finished
    for seed in (4, 6):
        single = train(tiny(seed=seed), tmp_path / str(seed))
        rows = [row for row in run.rows if row["seed"] == seed]
        for one, other in zip(without_times(single.rows), without_times(rows), strict=True):
            assert one.keys() == other.keys()
            for name, value in one.items():
                assert other[name] == pytest.approx(value, rel=2e-3, abs=1e-4), (one["env_steps"], name)
    assert len({row["eval/return"] for row in run.rows if row["env_steps"] == 40}) == 3


def test_resumed_seeds_end_where_unbroken_ones_do(finished: tuple[Run, Any], tiny: Make, tmp_path: Path) -> None:
    run, _ = finished
    config = tiny(num_seeds=3, seed=4)

    class CutError(Exception):
        pass

    def cut(row: dict[str, float]) -> None:
        if row["env_steps"] == 30:
            raise CutError

    with pytest.raises(CutError):
        train(config, tmp_path, callbacks=[cut])
    assert not (tmp_path / "checkpoints" / "40.npz").exists()
    assert sobolev.load_policy(tmp_path, seed=5)(np.zeros(4)).shape == (2,)
    resumed = train(config, tmp_path, resume=True)
    assert without_times(resumed.rows) == without_times(run.rows)
    last = "checkpoints/40.npz"
    with np.load(run.run_dir / last) as one, np.load(tmp_path / last) as other:
        assert one.files == other.files
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_finished_run_is_made_longer(finished: tuple[Run, Any], tiny: Make, tmp_path: Path) -> None:
    """It ends where one of that length does: its replay buffer was full, and is not any more."""
    whole = train(tiny(num_seeds=3, seed=4, total_steps=60), tmp_path / "whole")
    shutil.copytree(finished[0].run_dir, tmp_path / "longer")
    longer = train(tiny(num_seeds=3, seed=4, total_steps=60), tmp_path / "longer", resume=True)
    assert without_times(longer.rows) == without_times(whole.rows)
    one, other = (checkpoint.read(run.run_dir / "checkpoints" / "60.npz") for run in (whole, longer))
    assert one.keys() == other.keys()
    for name, array in one.items():
        if name != "digest":
            np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_a_run_is_not_made_shorter_and_nothing_is_lost(finished: tuple[Run, Any], tiny: Make) -> None:
    run, _ = finished
    before = {path: path.read_bytes() for path in run.run_dir.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"train\.total_steps = 20, but .*40\.npz"):
        train(tiny(num_seeds=3, seed=4, total_steps=20, eval_every=10), run.run_dir, resume=True)
    with pytest.raises(ValueError, match=r"40\.npz holds"):
        train(tiny(num_seeds=3, seed=4, total_steps=50, agent=tiny_agent(num_critics=1)), run.run_dir, resume=True)
    assert {path: path.read_bytes() for path in run.run_dir.rglob("*") if path.is_file()} == before


def test_a_damaged_checkpoint_is_passed_over_and_said(
    finished: tuple[Run, Any], tiny: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = shutil.copytree(finished[0].run_dir, tmp_path / "damaged")
    path = run_dir / "checkpoints" / "40.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (run_dir / "checkpoints" / "99.npz").mkdir()
    (run_dir / "checkpoints" / "-9.npz").write_bytes(b"")
    resumed = train(tiny(num_seeds=3, seed=4), run_dir, resume=True)
    assert without_times(resumed.rows) == without_times(finished[0].rows)
    told = capsys.readouterr().out
    assert "40.npz is no whole checkpoint" in told
    assert "resumed at 20" in told


def test_checkpoints_none_of_which_is_whole_are_refused_and_nothing_is_lost(
    finished: tuple[Run, Any], tiny: Make, tmp_path: Path
) -> None:
    run_dir = shutil.copytree(finished[0].run_dir, tmp_path / "damaged")
    for path in (run_dir / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"no checkpoint in .*checkpoints is whole"):
        train(tiny(num_seeds=3, seed=4), run_dir, resume=True)
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before


def test_files_are_written_once_nothing_speaks_against_the_run(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="memory_limit_gib"):
        train(tiny(memory_limit_gib=1e-6), tmp_path, files={"config.gin": "text"})
    assert list(tmp_path.iterdir()) == []
    train(tiny(total_steps=10), tmp_path, files={"config.gin": "text"})
    assert (tmp_path / "config.gin").read_text() == "text"
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("at", [24, 30])
def test_a_signal_saves_first_and_the_run_goes_on_from_there(
    finished: tuple[Run, Any], tiny: Make, tmp_path: Path, at: int
) -> None:
    """It comes within the interval between two evaluations, cut into pieces of one iteration, or at its end."""
    run, _ = finished
    config, number = tiny(num_seeds=3, seed=4), signal.SIGTERM
    before = signal.getsignal(number)
    learned = learner.Learner._piece

    def piece(self: Any, state: Any, iterations: int) -> Any:
        state = learned(self, state, 1)
        if int(state.env_steps[0]) == at:
            signal.raise_signal(number)
        return state

    def one(self: Any, state: Any, env_steps: int) -> Any:
        self._iterations_a_second = 0.0
        return learn(self, state, env_steps)

    learn = learner.Learner.learn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner.Learner, "_piece", piece)
        patch.setattr(learner.Learner, "learn", one)
        patch.setattr(learner, "PIECE_SECONDS", 1e-9)
        with pytest.raises(Interrupted, match=rf"{number.name}: saved .*{at}\.npz; resume") as caught:
            train(config, tmp_path)
    assert caught.value.number == number
    assert signal.getsignal(number) is before
    assert {path.name for path in tmp_path.iterdir()} >= {"learning_curve.png", "policies", "metrics.csv"}
    resumed = train(config, tmp_path, resume=True)
    assert without_times(resumed.rows) == without_times(run.rows)


def test_a_second_signal_ends_at_once() -> None:
    interrupts = Interrupts()
    with interrupts.taken():
        with interrupts.deferred():
            signal.raise_signal(signal.SIGINT)
            assert interrupts.number == signal.SIGINT
            with pytest.raises(Interrupted, match="at once"):
                signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="at once"):
            signal.raise_signal(signal.SIGTERM)


def test_rows_are_those_of_either_file(finished: tuple[Run, Any], tmp_path: Path) -> None:
    run, _ = finished
    lines = (run.run_dir / "metrics.jsonl").read_text().splitlines()
    table = (run.run_dir / "metrics.csv").read_text()
    (tmp_path / "metrics.csv").write_text(table)
    assert read_run(tmp_path).rows == run.rows
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines[:2], "garbage", *lines[3:]]) + "\n")
    assert read_run(tmp_path).rows == run.rows
    (tmp_path / "metrics.csv").unlink()
    assert read_run(tmp_path).rows == [*run.rows[:2], *run.rows[3:]]


def test_resuming_a_complete_run_changes_nothing(finished: tuple[Run, Any], tiny: Make) -> None:
    run, _ = finished
    before = (run.run_dir / "metrics.jsonl").read_bytes()
    assert train(tiny(num_seeds=3, seed=4), run.run_dir, resume=True).rows == run.rows
    assert (run.run_dir / "metrics.jsonl").read_bytes() == before


def test_groups_of_seeds_are_the_seeds_of_one_program(finished: tuple[Run, Any], tiny: Make, tmp_path: Path) -> None:
    run, _ = finished
    grouped = train(tiny(num_seeds=3, seed=4, seeds_at_once=1), tmp_path)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"seeds4-4", "seeds5-5", "seeds6-6"}
    assert [row["seed"] for row in grouped.rows] == [4] * 5 + [5] * 5 + [6] * 5
    one, other = run.curve("train/critic_mean"), grouped.curve("train/critic_mean")
    np.testing.assert_allclose(one.values, other.values, rtol=2e-3, atol=1e-4)


def test_loaded_policy_acts_as_the_agent(finished: tuple[Run, Any], tiny: Make) -> None:
    run, _ = finished
    job = build(tiny(num_seeds=3, seed=4))
    shapes = dict(trace(job))["init"].out_info
    state = checkpoint.restore(run.run_dir / "checkpoints" / "40.npz", shapes)
    s = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    for i, seed in enumerate((4, 5, 6)):
        params = jax.tree.map(lambda x, i=i: x[i], state.agent.params.actor)
        expected = jax.vmap(lambda s, params=params: job.agent.act(params, jax.random.key(0), s))(s)
        np.testing.assert_allclose(run.policy(seed)(s), expected, rtol=1e-4, atol=1e-6)


def test_directory_with_a_run_is_not_overwritten(finished: tuple[Run, Any], tiny: Make) -> None:
    run, _ = finished
    with pytest.raises(ValueError, match="holds a run already") as caught:
        train(tiny(), run.run_dir)
    assert str(run.run_dir) in str(caught.value)
    assert read_run(run.run_dir).rows == run.rows


class Paid(Wrapper):
    """An environment whose rewards are in another unit."""

    def __init__(self, env: Env, unit: float) -> None:
        super().__init__(env)
        self.unit = unit

    def step(self, state: State, action: jax.Array) -> State:
        state = self.env.step(state, action)
        return state.replace(reward=self.unit * state.reward)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_rewards_in_a_unit_that_is_not_learned_are_refused_with_their_size(
    tiny: Make, tmp_path: Path, unit: float
) -> None:
    config = tiny(environment=Paid(PointMass(num_locations=2), unit))
    size = rf"seed 0: the rewards .* have a size of \d\.?\d?e{'-0[67]' if unit < 1 else '.0[56]'} .*'fitted'"
    with pytest.raises(ValueError, match=size):
        train(config, tmp_path)
    fitted = dataclasses.replace(config, agent=dataclasses.replace(config.agent, reward_scale="fitted"))
    train(fitted, tmp_path)  # what was refused has left no run
    as_it_is = dataclasses.replace(config, agent=dataclasses.replace(config.agent, reward_scale=1.0))
    train(dataclasses.replace(as_it_is, total_steps=10), tmp_path / "as it is")


@pytest.mark.parametrize(("unit", "told"), [(1.0, False), (1e-6, True), (0.0, False)])
def test_critics_whose_mean_is_no_return_are_told(
    tiny: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: float, told: bool
) -> None:
    agent = tiny_agent(reward_scale=1.0)  # rewards as they are, of which critics of order 1 learn nothing
    run = train(tiny(environment=Paid(PointMass(num_locations=2), unit), agent=agent, seed=7), tmp_path)
    said = re.findall(
        r"seed 7: the critics' mean is (\S+), and the rewards .* beyond ([^:]+):", capsys.readouterr().out
    )
    means = [row["train/critic_mean"] for row in run.rows if "train/critic_mean" in row]
    assert [float(mean) for mean, _ in said] == [float(f"{mean:.3g}") for mean in means if told]
    bounds = [float(bound) for _, bound in said]
    assert bounds == sorted(bounds)  # of replay, which is not full yet
    assert all(0 < bound < 1e-5 / (1 - 0.9) for bound in bounds)


def test_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no metrics\.jsonl") as caught:
        read_run(tmp_path)
    assert str(tmp_path) in str(caught.value)


class Counting(Wrapper):
    """Counts how often Python runs through the environment, which is how often it is traced."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.traced: Counter[str] = Counter()

    def reset(self, rng: jax.Array) -> State:
        self.traced["reset"] += 1
        return self.env.reset(rng)

    def step(self, state: State, action: jax.Array) -> State:
        self.traced["step"] += 1
        return self.env.step(state, action)


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_physics_is_traced_once_for_all_programs(tiny: Make, num_seeds: int) -> None:
    env = Counting(PointMass())
    with full_precision():
        assert len(dict(trace(build(tiny(environment=env, num_seeds=num_seeds))))) == 4
    assert env.traced == {"reset": 1, "step": 1}


def test_programs_of_evaluations_do_without_an_option_that_the_compiler_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job, "_OLDER_FUSIONS", {"xla_no_such_option": False})
    job.assess_options.cache_clear()
    assert job.assess_options() == QUICK_COMPILATION
    monkeypatch.undo()
    job.assess_options.cache_clear()
    assert job.assess_options().items() >= QUICK_COMPILATION.items()


def test_compiler_options_are_checked_and_reach_the_program_that_learns(tiny: Make) -> None:
    wrong = tiny(cpu_compiler_options={"xla_no_such_option": 1})
    with pytest.raises(ValueError, match=r"train\.cpu_compiler_options") as caught:
        build(wrong)
    assert "xla_no_such_option" in str(caught.value)
    lowered = dict(trace(build(tiny())._replace(config=wrong)))
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        lowered["advance"].compile()


def test_a_run_of_any_length_compiles_four_programs(
    finished: tuple[Run, Any], tiny: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a shorter run, which has compiled all single operations. Policies are exported, and not compiled here."""
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        train(tiny(num_seeds=3, seed=4, total_steps=80, replay_capacity=40), tmp_path)
    messages = (re.match(r"Compiling (\S+)", record.getMessage()) for record in caplog.records)
    compiled = Counter(found.group(1) for found in messages if found)
    check_of_options = 1
    assert compiled.total() - compiled["jit(policy)"] == 4 + check_of_options, compiled


def test_a_program_is_waited_for_where_it_is_called() -> None:
    begin = threading.Event()

    class Slow:
        out_info = "shapes"

        def compile(self) -> Any:
            begin.wait(timeout=60)
            return lambda x: x + 1

    with ThreadPoolExecutor(1) as pool:
        program = programs.Compiling(Slow(), pool)
        assert program.out_info == "shapes"
        threading.Timer(0.05, begin.set).start()
        assert program(jnp.float32(1)) == 2
        assert begin.is_set()


def test_memory_is_counted_and_a_budget_exceeded_is_refused_before_anything_runs(tiny: Make, tmp_path: Path) -> None:
    config = tiny(num_seeds=3, replay_capacity=40)
    states = dict(trace(build(config)))["init"].out_info
    found = memory.budget(states, make_seed_axis(3), None, temporary=7)
    # Of each of 3 x 40 rows: s, s' (4 each), a (2), r and discount, 4 bytes each, and one byte for the episode's end.
    assert found.replay == 3 * 40 * (4 * (4 + 4 + 2 + 1 + 1) + 1)
    assert found.state > found.replay
    assert found.temporary == 7
    assert found.limit == memory.device_bytes()
    with pytest.raises(ValueError, match=r"3 seeds") as caught:
        train(tiny(num_seeds=3, memory_limit_gib=1e-6), tmp_path)
    for word in ("train.seeds_at_once", "train.replay_capacity", "train.memory_limit_gib"):
        assert word in str(caught.value)
    assert not (tmp_path / "metrics.csv").exists()


def test_products_are_in_full_precision_unless_another_is_configured(finished: tuple[Run, Any]) -> None:
    run, _ = finished
    assert '"matmul_precision": "float32"' in (run.run_dir / "environment.json").read_text()
    product = jax.jit(lambda x: x @ x)
    with full_precision():
        assert "HIGHEST" in product.lower(jnp.ones((2, 2))).as_text()
    with jax.default_matmul_precision("bfloat16"), full_precision():
        assert "HIGHEST" not in product.lower(jnp.ones((2, 2))).as_text()
