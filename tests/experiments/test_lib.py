"""The library of the experiments, by values worked out by hand."""

import argparse
import math
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import gradient, methods, peers
from experiments.lib import learning
from experiments.lib.arguments import seeds_of
from experiments.lib.comparison import difference_of_finals, final_returns, first_crossings, mean_interval
from experiments.lib.fit import fit
from experiments.lib.learning import Arm, Columns, consecutive, learn, learn_missing, read_curves, write_curves
from experiments.lib.pages import command, page, table
from experiments.lib.pictures import draw_curves, draw_dots, picture
from experiments.lib.results import Results, read_rows, write_rows
from sobolev.training import Curve, Run
from sobolev.types import Array, Key

# Two seeds, four evaluations. Final returns: (2 + 4 + 6) / 3 and (1 + 1 + 4) / 3.
CURVE = Curve(np.array([5, 10, 15, 20]), np.array([[0.0, 2.0, 4.0, 6.0], [3.0, 1.0, 1.0, 4.0]]))


class Case(NamedTuple):
    name: str
    seed: int


class Numbers(NamedTuple):
    error: float
    tries: int


@pytest.mark.parametrize(
    ("text", "seeds"), [("4", [4]), ("400-402", [400, 401, 402]), ("7,0-2", [0, 1, 2, 7]), ("1-2,2-3", [1, 2, 3])]
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "3-1", "1;2", "0-"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        seeds_of(text)


def test_consecutive() -> None:
    assert list(consecutive([])) == []
    assert list(consecutive([1, 2, 5, 7, 8])) == [range(1, 3), range(5, 6), range(7, 9)]


def test_final_returns_and_crossings() -> None:
    np.testing.assert_allclose(final_returns(CURVE), [4.0, 2.0])
    assert first_crossings(CURVE, 3.5) == [15.0, 20.0]
    assert first_crossings(CURVE, 3.0) == [15.0, 5.0]
    assert first_crossings(CURVE, 5.0) == [20.0, math.inf]


def test_difference_of_finals() -> None:
    others = CURVE._replace(values=CURVE.values - np.array([[1.0], [-2.0]]))
    # Differences 1 and -2; a resample has the mean 1, -0.5 or -2, the extremes a quarter of the time each.
    assert difference_of_finals(CURVE, others) == "-0.50 (-2.00 to +1.00), 1 of 2 above 0"
    first = (CURVE._replace(values=CURVE.values[:1]), others._replace(values=others.values[:1]))
    assert difference_of_finals(*first) == "+1.00, 1 of 1 above 0"


def test_mean_interval_is_about_two_standard_errors_wide() -> None:
    values = np.random.default_rng(0).normal(size=(400, 3))
    low, high = mean_interval(values)
    error = values.std(axis=0) / 20
    np.testing.assert_allclose(low, values.mean(axis=0) - 1.96 * error, atol=0.3 * error.max())
    np.testing.assert_allclose(high, values.mean(axis=0) + 1.96 * error, atol=0.3 * error.max())


def test_page_and_table() -> None:
    text = page("Title", "Text.", "", table(("", "mean"), [("a", 1.5), ("", None)]))
    assert text == "# Title\n\nText.\n\n| | mean |\n|---|---|\n| a | 1.5 |\n|  | None |\n"


def test_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/control.py", "--seeds=0-2", "--arm=no truncation"])
    assert command("control") == "`python -m experiments.control --seeds=0-2 '--arm=no truncation'`"


def test_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert read_rows(path) == []
    write_rows(path, ("name", "x"), [("a, b", 0.1), ("c", 2)])
    assert path.read_text() == 'name,x\n"a, b",0.1\nc,2\n'
    assert read_rows(path) == [{"name": "a, b", "x": "0.1"}, {"name": "c", "x": "2"}]


def test_results_are_computed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, computed = tmp_path / "found.csv", []

    def compute() -> Numbers:
        computed.append(1)
        return Numbers(0.1 + 0.2, 3)

    for _ in range(2):  # the second reads what the first has written
        results = Results(path, Case, Numbers)
        assert results.find(Case("a", 1), compute) == Numbers(0.1 + 0.2, 3)
    assert len(computed) == 1
    assert "a 1" in capsys.readouterr().out
    Results(path, Case, Numbers).add({Case("b", 2): Numbers(math.nan, 4)})
    found = Results(path, Case, Numbers).rows
    assert list(found) == [Case("a", 1), Case("b", 2)]
    assert math.isnan(found[Case("b", 2)].error)
    assert found[Case("b", 2)].tries == 4
    assert path.read_text().splitlines()[0] == "name,seed,error,tries"


def test_fit_reaches_the_fixed_point() -> None:
    # x = (target + 0.1) / 2 has the fixed point 0.1.
    def loss(x: Array, target: Array, key: Key) -> Array:
        return jnp.sum((x - 0.5 * (target + 0.1)) ** 2)

    found = fit(lambda key: jax.random.uniform(key, (3,)) * 0.01, loss, steps=1_000, seed=0, polyak=0.1)
    np.testing.assert_allclose(found, 0.1, atol=2e-3)


def test_dots_stand_on_the_lines_of_their_names(tmp_path: Path) -> None:
    with picture(tmp_path / "dots.png") as (_, (axes,)):
        draw_dots(axes, ["first", "second"], {"x": [("second", 2.0), ("first", 1.0)], "y": [("first", 3.0)]})
        x, y = axes.get_lines()
        assert x.get_xydata().tolist() == [[2.0, 0.0], [1.0, 1.0]]
        assert y.get_xydata().tolist() == [[3.0, 1.0]]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["second", "first"]
    assert (tmp_path / "dots.png").read_bytes().startswith(b"\x89PNG")


def test_curves_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    draw_curves({"arm": CURVE}, {"best known": 7.0, "uniform": -100.0}, path, "title")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_curves_are_read_as_they_were_written(tmp_path: Path) -> None:
    path, columns = tmp_path / "curves.csv", Columns(arm="method", value="return")
    points = [{"seed": s, "env_steps": t, learning.RETURN: s + 0.1 * t} for t in (5, 10) for s in (2, 1)]
    write_curves(path, {"td3": points, "sac": points[:1]}, columns)
    assert path.read_text().splitlines()[:3] == ["method,seed,env_steps,return", "td3,1,5,1.5", "td3,1,10,2.0"]
    read = read_curves(path, columns)
    assert list(read) == ["td3", "sac"]
    assert sorted(read["td3"], key=repr) == sorted(points, key=repr)


def test_only_missing_seeds_are_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def stub(arm: Arm, seeds: range, run_dir: Path, seeds_at_once: int | None = None) -> Run:
        trained.append((arm, seeds, run_dir.relative_to(tmp_path).as_posix(), seeds_at_once))
        return Run(
            run_dir, [{"seed": s, "env_steps": t, learning.RETURN: 10.0 * s + t, "x": 0} for s in seeds for t in (1, 2)]
        )

    monkeypatch.setattr(learning, "learn", stub)
    monkeypatch.setattr(learning, "RESULTS", tmp_path)
    monkeypatch.setattr(learning, "RUNS", tmp_path)
    arms = {"a": Arm(("a.gin",)), "b": Arm(("b.gin",))}
    assert learn_missing("name", {"a": arms["a"]}, [2])["a"].values.tolist() == [[21.0, 22.0]]
    curves = learn_missing("name", arms, [1, 2, 3], seeds_at_once=1)
    assert trained == [
        (arms["a"], range(2, 3), "name/a/seeds2-2", None),
        (arms["a"], range(1, 2), "name/a/seeds1-1", 1),
        (arms["a"], range(3, 4), "name/a/seeds3-3", 1),
        (arms["b"], range(1, 4), "name/b/seeds1-3", 1),
    ]
    for curve in curves.values():
        assert curve.env_steps.tolist() == [1, 2]
        assert curve.values.tolist() == [[11.0, 12.0], [21.0, 22.0], [31.0, 32.0]]
    assert len(read_rows(tmp_path / "name.csv")) == 12


def test_a_run_learns_all_seeds_and_is_not_run_again(tmp_path: Path) -> None:
    numbers = (
        *("train.total_steps = 24", "train.warmup_steps = 8", "train.warmup_updates = 0", "train.eval_every = 8"),
        *("train.episode_length = 5", "train.eval_episodes = 2", "agent.batch_size = 4", "widths = (4,)"),
    )
    arm = Arm(("gin/td3.gin", "gin/envs/point_mass.gin"), numbers)
    run = learn(arm, range(3, 5), tmp_path)
    assert run.curve().env_steps.tolist() == [8, 16, 24]
    assert run.curve().values.shape == (2, 3)
    assert {row["seed"] for row in run.rows} == {3, 4}
    assert learn(arm, range(3, 5), tmp_path).rows == run.rows
    with pytest.raises(ValueError, match=r"config\.gin"):
        learn(arm._replace(bindings=(*numbers, "agent.gamma = 0.5")), range(3, 5), tmp_path)


def test_cells_of_the_gradients() -> None:
    # Uniform 0, best 8: half of the way is 4, 80% of it 6.4.
    cells = gradient.row_of("action", CURVE, uniform=0.0, best=8.0)
    assert cells == ("action", "1.50", "18 (15, 20)", "inf", "3.00 (4.00, 2.00)", "38%")
    # From the mean start, 1.5, half of the way is 4.75.
    assert "(1.50)" in gradient.crossings_from_the_start({"action": CURVE}, best=8.0)
    assert gradient.crossings_from_the_start({"action": CURVE}, best=8.0).endswith("action inf.")


def test_cells_of_the_methods() -> None:
    cells = methods.row_of("td3", CURVE, methods.Speed(12.6, 99.5), best=5.0)
    assert cells == ("td3", 20, "6.0, 4.0", "80%", "1 of 2", "13", "100")


def test_cells_of_the_peers() -> None:
    finals = {"ours": (2.0, 4.0), "sb3": (1.0, 2.5)}
    found = {
        peers.Run("reacher", "td3", side, seed): peers.Final(value)
        for side, values in finals.items()
        for seed, value in enumerate(values)
    }
    row = peers.row_of("reacher", "td3", found, [0, 1])
    assert row == ("reacher", "td3", "3.00 (2.00, 4.00)", "1.75 (1.00, 2.50)", "above")
    assert peers.row_of("reacher", "td3", found, [0, 1, 2])[2] == "not run"
