"""Every method learns: on the point mass with one place, three seeds of three come within 10% of the best return.

python -m pytest -m slow tests/agents/test_learning.py
"""

from functools import cache
from pathlib import Path

import pytest

from experiments import methods
from experiments.lib.learning import learn
from experiments.point_mass import best_returns

SEEDS = range(100, 103)


@cache
def best() -> float:
    """The highest mean return that ascending the actions themselves finds."""
    return float(best_returns(num_locations=1).mean())


@pytest.mark.slow
@pytest.mark.parametrize("method", methods.method_names())
def test_method_learns_the_point_mass(method: str, tmp_path: Path) -> None:
    returns = learn(methods.arm_of(method), SEEDS, tmp_path).curve().values[:, -1]
    assert len(returns) == len(SEEDS)
    assert returns.min() >= 0.9 * best(), returns
