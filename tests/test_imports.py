"""What loads what: the metrics alone, the storeys, and who may know gin."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sobolev

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ("haiku", "optax", "distrax", "brax", "gin", "tensorflow_probability", "flax", "orbax", "gymnasium")
# The storeys of the library, lowest first: a room imports from its own storey and those below.
STOREYS = (
    {"types", "registry", "checks", "extras"},
    {"numerics", "normalizer", "control_flow"},
    {
        "joint",
        "metrics",
        "networks",
        "linearise",
        "contraction",
        "gradient_scales",
        "policy",
        "optimizers",
        "schedules",
    },
    {"bellman"},
    {"corrections", "horizons", "world_models", "critics", "actors"},
    {"agent", "environments"},
    {"training"},
)


def fresh(program: str) -> str:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_metrics_and_loaded_policies_need_jax_and_numpy_alone() -> None:
    program = (
        "import sys\n"
        "from sobolev import load_policy, metrics\n"
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


def test_every_announced_name_loads() -> None:
    for name in dir(sobolev):
        assert getattr(sobolev, name) is not None
    rooms = {
        path.stem for path in (ROOT / "sobolev").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"__init__", "policy"} == set(dir(sobolev)) - {"__version__", "load_policy"}


def test_unknown_attributes_are_told_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="'metric'") as caught:
        _ = sobolev.metric
    assert "metrics" in str(caught.value)


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "sobolev":
                yield from (f"sobolev.{alias.name}" for alias in node.names)


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", sources("sobolev"), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_of_the_library_runs_upwards(path: Path) -> None:
    level = {room: i for i, storey in enumerate(STOREYS) for room in storey}
    room = path.relative_to(ROOT / "sobolev").parts[0].removesuffix(".py")
    for module in imports(path):
        top, *rest = module.split(".")
        assert top not in ("gin", "absl", "agents", "experiments"), f"{path} imports {module}"
        if top == "sobolev" and rest and room != "__init__":
            assert level[rest[0]] <= level[room], f"{path} imports {module}"


def test_only_programs_know_gin_and_only_they_touch_the_path() -> None:
    for folder in ("sobolev", "experiments", "benchmarks", "examples"):
        for path in sources(folder):
            assert "gin" not in {module.split(".")[0] for module in imports(path)}, path
            assert "sys.path" not in path.read_text(), path
    touching = [path.name for path in sources("agents") if "sys.path" in path.read_text()]
    assert touching == ["evaluate.py", "plot.py", "repeat.py", "run.py", "slopes.py", "sweep.py"]


def test_the_library_names_no_program() -> None:
    for path in sources("sobolev"):
        found = re.findall(r"\bagents/|from agents|import agents|\bgin\b|--\w+", path.read_text())
        assert found == [], path
