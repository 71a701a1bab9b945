"""Every experiment imports, has a help text and a line in the index, and takes the commands that pages show."""

import importlib
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.lib import learning
from experiments.lib.pages import VERDICTS, verdict
from experiments.lib.results import RESULTS, ROOT

BENCHMARKS = [f"benchmarks.{name}" for name in ("methods", "metrics", "update")]
NAMES = sorted(path.stem for path in (ROOT / "experiments").glob("*.py") if path.stem != "__init__")
PAGES = {path.stem: path.read_text() for path in sorted(RESULTS.glob("*.md"))}
COMMANDS = {
    page: match[1] for page, text in PAGES.items() if (match := re.search(r"`(python -m experiments\..+?)`", text))
}
# Those that are written anew in seconds: no program is compiled, and the .csv holds all that the command asks for.
QUICK = [page for page in COMMANDS if page.startswith(("alive", "correc", "critic_truth", "rates", "shipped_point"))]


def call_of(page: str) -> tuple[Any, list[str]]:
    """The module and the arguments of a page's command."""
    _, _, module, *arguments = shlex.split(COMMANDS[page])
    return importlib.import_module(module), arguments


@pytest.mark.parametrize("name", [f"experiments.{name}" for name in NAMES] + BENCHMARKS)
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        importlib.import_module(name).make_parser().parse_args(["--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m {name} ")


def test_the_index_has_each_experiment() -> None:
    index = (ROOT / "experiments" / "README.md").read_text()
    assert set(re.findall(r"python -m experiments\.(\w+)", index)) == set(NAMES)


def test_the_index_has_each_page() -> None:
    index = (ROOT / "experiments" / "README.md").read_text()
    assert set(re.findall(r"docs/results/(\w+)\.md", index)) == set(COMMANDS)


@pytest.mark.parametrize("page", COMMANDS)
def test_the_command_of_a_page_is_one_that_its_experiment_takes(page: str) -> None:
    module, arguments = call_of(page)
    if "rows below by its arguments" not in PAGES[page]:
        module.make_parser().parse_args(arguments)


def refuse(*_: object) -> None:
    raise AssertionError("all results are known: nothing is to be trained")


@pytest.mark.parametrize("page", QUICK)
def test_a_finished_experiment_writes_its_page_again(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, arguments = call_of(page)
    data = (RESULTS / f"{page}.csv").read_bytes()
    (tmp_path / f"{page}.csv").write_bytes(data)
    for place in (module, learning):
        monkeypatch.setattr(place, "RESULTS", tmp_path)
    monkeypatch.setattr(learning, "learn", refuse)
    monkeypatch.setattr(module, "run", refuse, raising=False)
    monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
    module.main()
    assert (tmp_path / f"{page}.md").read_text() == PAGES[page]
    assert (tmp_path / f"{page}.csv").read_bytes() == data


@pytest.mark.parametrize("path", sorted(VERDICTS.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_has_its_verdict(path: Path) -> None:
    assert verdict(path.stem) in PAGES[path.stem]


def test_modules_need_no_search_path_of_their_own() -> None:
    for folder in ("experiments", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert "sys.path" not in path.read_text(), path
