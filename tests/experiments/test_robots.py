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


def test_shorter_runs_are_left_out() -> None:
    rows = {
        "TD3": [{"seed": seed, "env_steps": steps, RETURN: 1.0} for seed in range(4) for steps in (1_000, 2_000)],
        "MMD": [{"seed": seed, "env_steps": 1_000, RETURN: 1.0} for seed in range(4)],
    }
    assert list(robots.curves_to(2_000, rows, range(4))) == ["TD3"]
    assert list(robots.curves_to(1_000, rows, range(3))) == ["TD3", "MMD"]
