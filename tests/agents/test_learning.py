"""Every method learns: on the point mass with one place, three seeds of three come within 10% of the best.

python -m pytest -m slow tests/agents/test_learning.py
"""

import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@cache
def best() -> float:
    """The highest mean return that climbing the actions themselves finds."""
    from experiments.point_mass import best_returns

    return float(best_returns(num_locations=1).mean())


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(path.stem for path in (ROOT / "gin").glob("*.gin") if path.stem != "base"))
def test_method_learns_the_point_mass(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # the experiments put the root in their own folder's place
    from experiments import methods

    returns = methods.learn(method, first_seed=100)["returns"][-1]
    assert len(returns) == methods.SEEDS
    assert min(returns) >= 0.9 * best(), returns
