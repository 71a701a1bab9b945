"""Every code block of README and docs runs as it stands: Python, the command line, links between pages."""

import contextlib
import importlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import sobolev.training
from sobolev.environments import PointMass
from sobolev.metrics import registry as metric_registry
from sobolev.registry import Registry
from sobolev.training import TrainConfig
from tests.helpers import QUICK_COMPILATION, tiny_agent

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/parts").glob("*.md")),
    *sorted((ROOT / "docs/tutorials").glob("*.md")),
    ROOT / "experiments/README.md",
]


class Block(NamedTuple):
    """A fenced block: the words after its fence, and its text."""

    words: list[str]
    text: str


def blocks(page: Path) -> Iterator[Block]:
    for words, text in re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield Block(words.split(), text)


def tiny_config(**numbers: Any) -> TrainConfig:
    """What a page's ``TrainConfig`` makes here: the same call on a job of forty steps."""
    small: dict[str, Any] = {
        "environment": PointMass(),
        "noise": None,
        "agent": tiny_agent(),
        "total_steps": 40,
        "num_envs": 2,
        "warmup_steps": 8,
        "warmup_updates": 4,
        "eval_every": 20,
        "eval_episodes": 2,
        "cpu_compiler_options": QUICK_COMPILATION,
    }
    return TrainConfig(**{**numbers, **{name: value for name, value in small.items() if name != "seed"}})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scratch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sobolev.training, "TrainConfig", tiny_config)
    namespace: dict[str, Any] = {"__name__": page.stem}
    with contextlib.ExitStack() as stack:
        for registry in registries():
            stack.enter_context(scratch(registry))
        for block in blocks(page):
            if block.words[:1] == ["python"]:
                exec(compile(block.text, str(page), "exec"), namespace)


def registries() -> list[Registry]:
    from sobolev import (
        actors,
        corrections,
        critics,
        environments,
        gradient_scales,
        horizons,
        metrics,
        optimizers,
        schedules,
        world_models,
    )

    parts = (actors, corrections, critics, gradient_scales, horizons, world_models, metrics.kernels, metrics.directions)
    rooms = (*parts, environments, environments.perturbations, optimizers, schedules)
    return [metric_registry, *(room.registry for room in rooms)]


def commands(start: str) -> list[tuple[str, str]]:
    """The commands of all pages that contain ``start``, from there on; a page and a command each."""
    found = []
    for page in PAGES:
        for block in blocks(page):
            if block.words[:1] in ([], ["sh"], ["bash"]):
                lines = block.text.replace("\\\n", " ").splitlines()
                found += [(page.name, line[line.index(start) :].split("  #")[0]) for line in lines if start in line]
    return sorted({(page, command) for page, command in found if "NAME" not in command})


@pytest.mark.parametrize(("page", "command"), commands("agents/run.py"))
def test_commands_of_the_command_line_are_right(page: str, command: str) -> None:
    """Each is parsed, its parts are built, and everything that it binds is read."""
    from agents import gin_names, run
    from sobolev.training import build

    options = run.make_parser().parse_args(shlex.split(command.split(" && ")[0])[1:])
    files = [file for file in options.gin_file if (ROOT / file).exists() or not file.startswith("my_")]
    if files and files == options.gin_file:  # a file of the reader's own is tested with the examples
        build(gin_names.load(files, options.gin_bindings))
        gin_names.check_all_read(files, options.gin_bindings)


@pytest.mark.parametrize(("page", "command"), commands("agents/sweep.py"))
def test_commands_of_sweeps_are_right(page: str, command: str) -> None:
    """Each is parsed, and the configurations of all settings are read."""
    from agents import sweep

    options = sweep.make_parser().parse_args(shlex.split(command)[1:])
    if options.backend == "ray":
        pytest.importorskip("ray", exc_type=ImportError)
    sweep.arguments.check(options)
    plan = sweep.plan_of(options)
    assert plan.ranges or len(plan.tasks) > 1


@pytest.mark.parametrize(("page", "command"), commands("-m experiments.") + commands("-m benchmarks."))
def test_commands_of_experiments_and_benchmarks_are_right(
    page: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module is there, and says of the command's options that it knows them."""
    _, name, *arguments = shlex.split(command)
    program = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    told = io.StringIO()
    with contextlib.redirect_stdout(told), pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 0
    for option in arguments:
        if option.startswith("--") and option.isascii():
            assert option.split("=")[0] in told.getvalue(), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target and not target.startswith("#"):
            path, _, anchor = target.partition("#")
            assert (page.parent / path).exists(), target
            if anchor and path.endswith(".md"):
                headings = re.findall(r"^#+ (.+)$", (page.parent / path).read_text(), re.MULTILINE)
                assert anchor in {slug(heading) for heading in headings}, target


def slug(heading: str) -> str:
    """The anchor that a heading gets on the usual hosts."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_readme_has_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "agents/run.py --gin_file=gin/msmmd_cvae.gin" in text
    assert "-m pytest" in next(line for line in text.splitlines() if "pytest" in line)
