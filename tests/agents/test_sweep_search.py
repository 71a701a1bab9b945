"""Searches of ``agents/sweep.py``: ranges, trials that are cut, and what the values are."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gin_messages import ConfigError
from agents.sweeps.grid import Setting
from agents.sweeps.record import begin_attempt, end_attempt
from agents.sweeps.search import Search, open_study, value_of
from agents.sweeps.space import parse_ranges, setting_at
from agents.sweeps.tasks import Loaded, Task, tasks_of
from sobolev.training import TrainConfig
from sobolev.training.lock import locked

optuna = pytest.importorskip("optuna")
RANGES = parse_ranges(["a.x=log(1e-3,1)", "a.n=int(1,9)"])
PURPOSE = {"space": [str(each) for each in RANGES], "seeds": "0-1", "configuration": "0a0a0a0a"}


# Ranges.


@given(st.floats(1e-6, 1e6), st.floats(1.001, 1e3), st.integers(0, 99), st.sampled_from(["uniform", "log"]))
def test_numbers_stay_in_their_range(low: float, factor: float, seed: int, form: str) -> None:
    (each,) = parse_ranges([f"x={form}({low!r},{low * factor!r})"])
    value = np.random.default_rng(seed).uniform(low, low * factor)
    read = float(each.text(value))
    assert low <= read <= low * factor
    assert math.isclose(read, value, rel_tol=1e-3)
    assert low <= float(each.middle) <= low * factor


def test_ranges_are_drawn_as_they_are_written() -> None:
    ranges = parse_ranges(["x=uniform(-1, 1)", "y=log(1e-4,1e-2)", "n=int(1,3)", "m=logint(1,1000)", "z=['a', 'b,c']"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found: dict[str, list[Any]] = {each.name: [] for each in ranges}
    for _ in range(300):
        trial = study.ask()
        for each in ranges:
            each.suggest(trial)
            found[each.name].append(trial.params[each.name])
    assert np.mean(np.array(found["x"]) < 0) == pytest.approx(0.5, abs=0.1)
    assert np.mean(np.array(found["y"]) < 1e-3) == pytest.approx(0.5, abs=0.1)
    assert set(found["n"]) == {1, 2, 3}
    assert np.mean(np.array(found["m"]) < 32) == pytest.approx(0.5, abs=0.1)
    assert set(found["z"]) == {"'a'", "'b,c'"}
    assert [each.middle for each in ranges] == ["0.0", "0.001", "2", "31", "'b,c'"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "write it as --space='agent.polyak=log(1e-4,1e-2)'"),
        ("x=3", "a range is one of uniform(low,high)"),
        ("x=lg(1,2)", "no range lg; did you mean log or logint?"),
        ("x=log(0,1)", "the ends of log must be positive"),
        ("x=uniform(2,1)", "the first end must be below the second"),
        ("x=uniform(1,inf)", "the first end must be below the second"),
        ("x=int(1,2.5)", "the ends of int are whole numbers"),
        ("x=log(a,b)", "the ends of log are numbers"),
        ("x=[]", "there is no value in the brackets"),
        ("x=[1", "a bracket or a string is not closed"),
        ("x=[1,1]", "1 is there twice"),
        ("train.seed=int(0,9)", "seeds are given by --seeds=0-9"),
    ],
)
def test_ranges_that_are_none_are_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ranges([text])
    assert str(caught.value).startswith(f"--space={text}: ")
    assert words in str(caught.value)


def test_a_name_is_searched_once() -> None:
    with pytest.raises(ConfigError, match="--space: x is there twice"):
        parse_ranges(["x=int(1,2)", "x=[3]"])


# Trials.


class Folder:
    """A sweep's directory whose tasks are done by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def search(self, trials: int) -> Search:
        return Search(open_study(self.path, PURPOSE), RANGES, trials, self.tasks_of, self.path, lambda line: None)

    def tasks_of(self, setting: Setting) -> list[Task]:
        config = TrainConfig(total_steps=40, eval_every=4, checkpoint_every=0, num_envs=2, warmup_steps=4)
        return tasks_of(Loaded(setting, config, "0a0a0a0a"), [0, 1], 1, self.path)

    def finish(self, task: Task) -> float:
        """A run whose return falls with the distance from x = 0.1 and n = 3; what it returns at last."""
        bound = dict(text.split(" = ") for text in task.loaded.setting.bindings)
        value = -((math.log10(float(bound["a.x"])) + 1) ** 2) - (int(bound["a.n"]) - 3) ** 2 / 4 + task.seeds[0]
        task.run_dir.mkdir(parents=True, exist_ok=True)
        rows = ({"env_steps": t, "seed": task.seeds[0], "eval/return": value - (40 - t)} for t in range(4, 41, 4))
        (task.run_dir / "metrics.jsonl").write_text("".join(str(row).replace("'", '"') + "\n" for row in rows))
        begin_attempt(task.run_dir, "0a0a0a0a", ["x"])
        end_attempt(task.run_dir, 0)
        return value - 4  # the mean of the last three evaluations


def drive(folder: Folder, search: Search, until: int) -> None:
    """Does the tasks of trials, as a sweep of one worker would, and stops after so many of them."""
    done = 0
    while done < until and (tasks := search.more(1)):
        for task in tasks:
            if done < until:
                folder.finish(task)
                search.ended(task, failed=False)
                done += 1


def trials_of(path: Path) -> list[Any]:
    return open_study(path, PURPOSE).trials


def test_the_value_of_a_trial_is_the_mean_over_its_seeds(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    search = folder.search(1)
    tasks = search.more(5)
    assert [task.run_dir.name for task in tasks] == ["seed0", "seed1"]
    values = []
    for task in tasks:
        assert not search.is_over()
        values.append(folder.finish(task))
        search.ended(task, failed=False)
    assert search.is_over()
    (trial,) = trials_of(tmp_path)
    assert trial.value == pytest.approx(np.mean(values))
    assert value_of(tasks) == trial.value


def test_a_search_that_is_cut_goes_on_as_it_would_have(tmp_path: Path) -> None:
    whole, cut = Folder(tmp_path / "whole"), Folder(tmp_path / "cut")
    drive(whole, whole.search(14), 1_000)
    for until in (3, 12, 1_000):  # within a trial, and between two
        drive(cut, cut.search(14), until)
    found = [[(t.params, t.value) for t in trials_of(folder.path)] for folder in (whole, cut)]
    assert len(found[0]) == 14
    assert found[0] == found[1]
    assert cut.search(14).is_over()
    drive(cut, cut.search(16), 1_000)
    assert len(trials_of(cut.path)) == 16


def test_a_search_finds_what_is_good(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    drive(folder, folder.search(30), 1_000)
    values = [trial.value for trial in trials_of(tmp_path)]
    assert max(values) > -4.0  # -3.5 is the best that there is
    assert np.mean(values[20:]) > np.mean(values[:10])


def test_two_searches_share_the_trials(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    one, other = folder.search(2), folder.search(2)
    (mine, _), (his, _) = one.more(1), other.more(1)
    assert mine.loaded.setting == his.loaded.setting  # a trial without a value belongs to nobody
    assert other.more(1)[0].loaded.setting != mine.loaded.setting
    with locked(tmp_path, name="search.lock"):
        assert one.more(1) == []
        assert not one.is_over()
    drive(folder, one, 1_000)
    for task in folder.tasks_of(mine.loaded.setting):
        folder.finish(task)
        for search in (one, other):
            search.ended(task, failed=False)
    assert len(trials_of(tmp_path)) == 2
    assert one.is_over()


def test_what_fails_has_no_value(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    search = folder.search(2)
    first, second = search.more(1)
    folder.finish(first)
    search.ended(first, failed=False)
    search.ended(second, failed=True)
    folder.tasks_of = lambda setting: _raise(ConfigError("no such part"))  # type: ignore[method-assign]
    wrong = folder.search(2)
    assert wrong.more(1) == []
    assert [trial.state.name for trial in trials_of(tmp_path)] == ["FAIL", "FAIL"]
    assert list(wrong.failed.values()) == ["no such part"]
    assert wrong.is_over()


def _raise(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize("name", PURPOSE)
def test_values_of_another_purpose_are_not_mixed(name: str, tmp_path: Path) -> None:
    open_study(tmp_path, PURPOSE)
    with pytest.raises(ConfigError, match=f"holds a search with {name} .*, not .*Name another --sweep_dir"):
        open_study(tmp_path, {**PURPOSE, name: ["a.x=log(1e-3,2)"]})


def test_a_trial_that_was_cut_as_it_was_drawn_does_not_count(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    study = open_study(tmp_path, PURPOSE)
    RANGES[0].suggest(study.ask())
    drive(folder, folder.search(2), 1_000)
    assert folder.search(2).is_over()
    assert sum(set(trial.params) == {"a.x", "a.n"} for trial in trials_of(tmp_path)) == 2


def test_settings_of_trials_have_short_names() -> None:
    setting = setting_at(RANGES, {"a.x": 0.00123456789, "a.n": 3})
    assert setting == Setting("a.n=3,a.x=0.001235", ("a.x = 0.001235", "a.n = 3"))
