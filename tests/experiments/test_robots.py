"""The arms and the numbers of the experiment on simulated robots."""

import numpy as np
import pytest

from experiments import robots
from experiments.lib.learning import RETURN, load_job
from sobolev.gradient_scales import Balanced
from sobolev.training import Curve

STEPS = np.array([1_000, 2_000, 3_000, 4_000])


def of_seeds(first: int, *finals: float) -> robots.OfSeeds:
    """Seeds from ``first`` on, whose returns begin at 0 and stand at their finals from the second evaluation on."""
    values = np.array([[0.0, final, final, final] for final in finals])
    return robots.OfSeeds(list(range(first, first + len(finals))), Curve(STEPS, values))


def test_an_arm_is_a_method_with_differences() -> None:
    agent = load_job(robots.arm_of("halfcheetah_v5", "Sobolev, share 3, one to four")).config.agent
    assert agent.gradient_scale == Balanced(share=3.0)
    assert agent.horizon.steps == 4


@pytest.mark.parametrize(("name", "word"), [("Sobolef", "Sobolev"), ("TD3, share 4", "share 3")])
def test_names_that_are_not_known(name: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        robots.arm_of("halfcheetah_v5", name)


def test_the_best_arm_without_gradients_has_most_seeds() -> None:
    curves = {
        "TD3": of_seeds(0, 1.0, 2.0, 3.0, 4.0).curve,
        "point": of_seeds(0, 0.0, 1.0, 2.0, 3.0).curve,
        "MMD": of_seeds(0, 9.0, 9.0, 9.0).curve,
        "Sobolev": of_seeds(0, 8.0, 8.0, 8.0, 8.0).curve,
    }
    assert robots.strongest(curves) == "TD3"


def test_differences_are_over_common_seeds() -> None:
    text = robots.difference_at_common_seeds(of_seeds(1, 5.0, 7.0, 100.0), of_seeds(0, -100.0, 4.0, 4.0))
    assert text.startswith("+2.00")
    assert text.endswith("2 of 2 above 0")


def test_steps_to_a_share_of_the_way() -> None:
    best = of_seeds(0, 10.0, 10.0, 10.0).curve
    slow = Curve(STEPS, np.array([[0.0, 4.0, 5.0, 9.0]] * 3))
    assert robots.steps_to(slow, best, 0.5) == "3000"
    assert robots.steps_to(slow, best, 0.8) == "4000"
    assert robots.steps_to(slow, best, 0.95) == "> 4000"


def test_there_is_no_way_where_the_best_arm_gets_worse() -> None:
    worse = of_seeds(0, -10.0, -10.0, -10.0)
    assert robots.steps_to(worse.curve, worse.curve, 0.5) == ""
    assert robots.crossings_of({"TD3": worse}, worse.curve) == []
    better = of_seeds(0, 10.0, 10.0, 10.0)
    assert [row[0] for row in robots.crossings_of({"TD3": worse, "point": better}, better.curve)] == ["TD3", "point"]


def test_shorter_runs_are_left_out() -> None:
    rows = {
        "TD3": [{"seed": seed, "env_steps": steps, RETURN: 1.0} for seed in range(4) for steps in (1_000, 2_000)],
        "MMD": [{"seed": seed, "env_steps": 1_000, RETURN: 1.0} for seed in range(4)],
    }
    assert list(robots.curves_to(2_000, rows, range(4))) == ["TD3"]
    assert list(robots.curves_to(1_000, rows, range(3))) == ["TD3", "MMD"]


def test_the_widest_curves_are_those_of_most_seeds() -> None:
    """Seeds 0 to 3 come to 1 000 steps, three of them to 2 000."""
    ends = {0: 2_000, 1: 2_000, 2: 2_000, 3: 1_000}
    rows = [
        {"seed": seed, "env_steps": step, "eval/return": float(step + seed)}
        for seed, end in ends.items()
        for step in range(0, end + 1, 500)
    ]
    curves = {"TD3": rows, "Sobolev": [row for row in rows if row["seed"] < 3]}
    found = robots.widest({1_000, 2_000}, curves, range(4))
    assert [(arm, of.seeds, int(of.curve.env_steps[-1])) for arm, of in found.items()] == [
        ("TD3", [0, 1, 2, 3], 1_000),
        ("Sobolev", [0, 1, 2], 2_000),
    ]


def test_crossings_are_medians_over_seeds_with_intervals() -> None:
    best = Curve(np.array([0, 1_000, 2_000, 3_000]), np.array([[0.0, 10.0, 10.0, 10.0]] * 3))
    fast = Curve(best.env_steps[:3], np.array([[0.0, 5.0, 8.0], [0.0, 6.0, 8.0], [0.0, 0.0, 1.0]]))
    (row,) = robots.crossings_of({"fast": robots.OfSeeds([0, 1, 2], fast)}, best)
    assert row[:3] == ("fast", "3", "2000")
    assert row[3] == "1000 (1000 to > 2000)"
    assert row[4] == "2000 (2000 to > 2000)"
