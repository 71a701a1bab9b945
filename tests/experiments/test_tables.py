"""The rows of the experiments' tables, by values worked out by hand."""

import sys

import numpy as np
import pytest

from experiments import base, default_job, falls, peers_mujoco, scaling
from experiments.lib import comparison
from sobolev.training import Curve

# Two seeds; final returns (4 + 8 + 6) / 3 and (8 + 10 + 9) / 3.
CURVE = Curve(np.array([5, 10, 15, 20]), np.array([[2.0, 4.0, 8.0, 6.0], [1.0, 8.0, 10.0, 9.0]]))


def test_row_of_the_default_job() -> None:
    """From 1 to 11 half is 6: reached after 15 and 10 steps; the finals close 50% and 80% of the way."""
    row = default_job.row_of("arm", CURVE, untrained=1.0, best=11.0)
    assert row == ("arm", "7.50", "65%", "1 of 2", "6.00, 9.00", "12")


def test_intervals_need_three_seeds() -> None:
    three = Curve(CURVE.env_steps, np.concatenate([CURVE.values, CURVE.values[:1]]))
    # Of three draws of 6, 9 and 6, all are 6 with probability 8/27 and all 9 with 1/27, more than 2.5% both.
    assert default_job.row_of("arm", three, untrained=1.0, best=11.0)[1] == "7.00 (6.00 to 9.00)"


def test_differences_of_the_default_job_are_seed_by_seed() -> None:
    curves = {arm: Curve(CURVE.env_steps, CURVE.values - k) for k, arm in enumerate(default_job.ARMS)}
    lines = list(default_job.differences(curves))
    assert len(lines) == len(default_job.ARMS) - 1
    assert "default less without gradients" in lines[0]
    assert "1.00" in lines[0]
    assert "2.00" in lines[1]


def test_largest_losses() -> None:
    """From 8 to 6 and from 10 to 9; what falls before half of the best is reached does not count."""
    np.testing.assert_allclose(base.largest_losses(CURVE), [0.25, 0.1])
    early = Curve(CURVE.env_steps, np.array([[3.0, -2.0, 8.0, 10.0]]))
    np.testing.assert_allclose(base.largest_losses(early), [0.0])


def test_row_of_the_base() -> None:
    """A quarter of the way through four evaluations is the first, half of it the second."""
    row = base.row_of("arm", CURVE)
    assert row == ("arm", "7.5", "6, 9", "8, 10", "25%, 10%", "25%, 10%", "1.5", "6")


def test_unknown_arms_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["base", "--task=lqr", "--seeds=0", "--arm=TD4"])
    with pytest.raises(SystemExit) as stopped:
        base.main()
    assert stopped.value.code == 2
    assert "unknown arm 'TD4'; did you mean 'TD3'" in capsys.readouterr().err


def test_row_of_falls() -> None:
    """Of twenty episodes two and none end on the back: (18 · 100 + 20 · 200) / 38 of the others."""
    found = [falls.Falls(2, 100.0, -50.0), falls.Falls(0, 200.0, 0.0)]
    count = falls.EPISODES
    others = ((count - 2) * 100.0 + count * 200.0) / (2 * count - 2)
    assert falls.row_of("arm", found) == ("arm", "2", "2, 0", f"{others:.0f}", "-50")
    assert falls.row_of("arm", [falls.Falls(0, 200.0, 0.0)])[-1] == ""


def test_rows_beside_a_peer() -> None:
    """A row for each number of steps; a side of which a seed is missing is not run."""
    found = {
        peers_mujoco.Run("Hopper-v5", "td3", "ours", seed): peers_mujoco.Returns(100.0 * seed, 1000.0)
        for seed in range(2)
    }
    found[peers_mujoco.Run("Hopper-v5", "td3", "sbx", 0)] = peers_mujoco.Returns(1.0, 2.0)
    rows = peers_mujoco.rows_of("Hopper-v5", "td3", found, range(2))
    assert rows == [
        ("Hopper-v5", "td3", "10000", "50 (0, 100)", "not run"),
        ("Hopper-v5", "td3", "25000", "1000 (1000, 1000)", "not run"),
    ]


def test_a_setting_of_scaling_is_found_by_its_name() -> None:
    setting = scaling.Setting("MSMMD", "state_action", "lottery", "four updates", 32)
    assert scaling.setting_of(str(setting)) == setting


def test_the_known_step_is_that_without_noise() -> None:
    options = scaling.make_parser().parse_args(["--control=known", "--noise=none", "--noise=dynamics", "--actions=4"])
    assert {setting.noise for setting in scaling.wanted(options)} == {"none"}


def test_a_way_begins_at_the_untrained_policies_and_ends_at_the_optimum() -> None:
    """From 1.5 to 11.5 half is 6.5, reached after 15 and 10 steps, and 80% is 9.5."""
    measured = scaling.measure(CURVE, best=11.5)
    np.testing.assert_array_equal(measured.crossings[0.5], [15, 10])
    np.testing.assert_array_equal(measured.crossings[0.8], [np.inf, 15])
    np.testing.assert_allclose(measured.closed, [0.45, 0.75])


def test_medians_of_crossings_count_what_is_never_reached() -> None:
    assert comparison.median_of(np.array([100.0, 300.0, np.inf])) == (300.0, 100.0, np.inf)
    assert comparison.told(np.inf, 4_000) == "> 4000"


def test_exponents_are_those_of_a_power() -> None:
    """Steps of 100 A^0.7, on the second seed twice as many."""
    crossings = {size: np.array([100.0, 200.0]) * size**0.7 for size in (1, 4, 16)}
    np.testing.assert_allclose(scaling.slopes_of(crossings), 0.7)


def test_exponents_leave_out_where_a_seed_does_not_arrive() -> None:
    """Steps to half of 100 A with gradients and 100 A² without; to 80% one seed gets nowhere at 16."""

    def measured(steps: float, lost: float) -> scaling.Measured:
        return scaling.Measured(CURVE, 1.0, {0.5: np.full(2, steps), 0.8: np.array([steps, lost])}, np.ones(2))

    sizes = (1, 4, 16)
    groups = {
        scaling.Group("point", gradient, "none", "none"): {
            size: measured(100.0 * size**p, np.inf if size == 16 else 100.0 * size**p) for size in sizes
        }
        for gradient, p in (("none", 2), ("action", 1))
    }
    alone, gradients = scaling.exponents(groups)
    assert alone[4:] == ("+2.00 (+2.00 to +2.00); A = 1, 4, 16", "", "", "")
    assert gradients[4:6] == ("+1.00 (+1.00 to +1.00); A = 1, 4, 16", "+1.00 (+1.00 to +1.00); A = 1, 4, 16")
