import subprocess
import sys

import pytest

import sobolev

FOREIGN = ("haiku", "optax", "distrax", "brax", "gin", "tensorflow_probability", "flax", "orbax", "gymnasium")


def fresh(program: str) -> str:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_metrics_need_jax_and_numpy_alone() -> None:
    program = (
        "import sys\n"
        "from sobolev import metrics\n"
        "assert metrics.registry.names()\n"
        f"print([name for name in {FOREIGN!r} if name in sys.modules])"
    )
    assert fresh(program) == "[]"


def test_submodules_load_on_first_use() -> None:
    program = (
        "import sys, sobolev\n"
        "before = 'sobolev.joint' in sys.modules, 'jax' in sys.modules\n"
        "print(*before, sobolev.joint.block_sizes('action', 3, 2), 'sobolev.joint' in sys.modules)"
    )
    assert fresh(program) == "False False (1, 2) True"


def test_every_announced_submodule_loads() -> None:
    for name in dir(sobolev):
        assert getattr(sobolev, name) is not None
    assert {"metrics", "joint", "bellman", "world_models", "critics", "actors"} <= set(dir(sobolev))


def test_unknown_attributes() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'metric'; it has .*metrics"):
        _ = sobolev.metric
