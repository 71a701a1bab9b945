"""What all programs have in common: help, options that are called alike, exit status, one message for a mistake."""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sobolev
from agents import evaluate, exits, plot, repeat, run, runs, slopes, start
from agents.arguments import Parser
from agents.gin_messages import ConfigError
from agents.gin_sources import ROOT
from sobolev.training.lock import locked

PROGRAMS = (run, evaluate, plot, slopes, repeat)
OF_ONE_RUN = (evaluate, slopes, repeat)


def name_of(program: ModuleType) -> str:
    return program.__name__.rsplit(".", 1)[-1]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """``ended(program, *arguments)``: exit status, what is on stdout and on stderr."""
    monkeypatch.setattr(start, "_cache_programs", lambda: None)

    def of(program: ModuleType, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name_of(program), *map(str, arguments)])
        status: Any = 0
        try:
            program.main()
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return of


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_help_has_groups_examples_and_statuses_and_ends_with_zero(program: ModuleType, ended: Any) -> None:
    status, told, complaints = ended(program, "--help")
    assert (status, complaints) == (0, "")
    assert "\nexamples:\n" in told
    assert "\nexit status:\n  0  " in told
    assert f"python agents/{name_of(program)}.py " in told
    parser = program.make_parser()
    for action in parser._actions:
        assert action.help, action


@pytest.mark.parametrize("program", PROGRAMS, ids=name_of)
def test_the_examples_of_the_help_are_right(program: ModuleType) -> None:
    parser = program.make_parser()
    commands = [line.strip() for line in parser.format_help().splitlines() if line.startswith("    python agents/")]
    assert commands
    for command in commands:
        _, name, *arguments = shlex.split(command)
        assert name == f"agents/{name_of(program)}.py"
        options = parser.parse_args(arguments)
        assert all((ROOT / file).exists() for file in getattr(options, "gin_file", []))


def test_what_is_called_alike_is_alike() -> None:
    found: dict[str, set[tuple[Any, Any]]] = {}
    for program in PROGRAMS:
        for action in program.make_parser()._actions:
            for name in action.option_strings or [action.dest]:
                found.setdefault(name, set()).add((action.type, type(action)))
    assert {"--seed", "run_dir", "--horizon"} <= set(found)
    assert {name for name, kinds in found.items() if len(kinds) > 1} == set()
    assert all(name.replace("-", "").replace("_", "").isalpha() for name in found)


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        *((program, ["nowhere"], "nowhere: no such directory") for program in (*OF_ONE_RUN, plot)),
        *((program, ["."], "holds no config.gin") for program in OF_ONE_RUN if program is not evaluate),
        *((program, ["."], ". holds no run") for program in (evaluate, plot)),
        *((program, [], "the following arguments are required: RUN_DIR") for program in (*OF_ONE_RUN, plot)),
        (run, [], "nothing to train: give --gin_file="),
        (run, ["--gin_fil=x"], "unknown option --gin_fil; did you mean --gin_file"),
        (run, ["gin/td3.gin"], "unexpected argument 'gin/td3.gin': every option starts with --"),
        (run, ["--seed=one"], "argument --seed: invalid int value: 'one'"),
        (run, ["--track=wand"], "argument --track: invalid choice: 'wand'"),
        (run, ["--gin_file=gin/td4.gin"], "no gin file gin/td4.gin; did you mean gin/td3.gin"),
        (run, ["--gin_file=gin/td3.gin", "--patience=0"], "--patience must be at least 1, got 0"),
        (run, ["--gin_file=gin/td3.gin", "--process_id=0"], "needs --coordinator and --num_processes too"),
        (evaluate, [".", "--episodes"], "argument --episodes: expected one argument"),
        (slopes, [".", "--unroled", "1"], "unknown option --unroled; did you mean --unrolled"),
    ],
)
def test_a_mistake_ends_with_status_two_and_one_line(
    program: ModuleType, arguments: list[str], words: str, ended: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    status, told, complaint = ended(program, *arguments)
    assert (status, told) == (2, "")
    assert complaint.startswith("error: ")
    assert words in complaint
    assert complaint.count("\n") == 1
    assert not list(tmp_path.iterdir())


def written(folder: Path, text: str, version: str) -> Path:
    """A run directory, of which the configuration is there."""
    folder.mkdir()
    (folder / "config.gin").write_text(text)
    (folder / "environment.json").write_text(json.dumps({"sobolev": version}))
    return folder


@pytest.mark.parametrize("program", OF_ONE_RUN, ids=name_of)
def test_a_run_of_another_version_is_told_as_such(program: ModuleType, ended: Any, tmp_path: Path) -> None:
    run_dir = written(tmp_path / "run", "agent.colour = 'blue'\n", "0.0.7")
    status, _, complaint = ended(program, run_dir)
    assert status == 2
    assert "agent has no parameter colour" in complaint
    assert f"(sobolev 0.0.7 has written the run, this is {sobolev.__version__}: take that version for it)" in complaint
    assert complaint.count("\n") == 1


def test_a_run_of_this_version_is_not(ended: Any, tmp_path: Path) -> None:
    run_dir = written(tmp_path / "run", "agent.colour = 'blue'\n", sobolev.__version__)
    assert "has written the run" not in ended(evaluate, run_dir)[2]
    (run_dir / "environment.json").write_text("[]")
    with pytest.raises(ConfigError, match="agent has no parameter colour"):
        runs.load_job(run_dir)


def test_a_run_that_another_process_holds_is_left_alone(tiny: Path, ended: Any, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    with locked(run_dir):
        status, _, complaint = ended(run, f"--gin_file={tiny}", f"--run_dir={run_dir}", "--resume")
        assert [path.name for path in run_dir.iterdir()] == ["lock"]
    assert status == exits.IN_USE
    assert complaint.startswith(f"error: {run_dir} is in use by process {os.getpid()} on ")
    assert complaint.count("\n") == 1


# Packages that are missing.


def without(package: str, program: str, *arguments: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    """A program where a package is missing."""
    path = ROOT / "agents" / f"{program}.py"
    text = (
        f"import runpy, sys\nsys.modules[{package!r}] = None\nsys.argv = {[str(path), *map(str, arguments)]!r}\n"
        f"runpy.run_path({str(path)!r}, run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=200, check=False
    )


@pytest.mark.parametrize(
    ("package", "program", "arguments", "words"),
    [
        ("gin", "run", ["--help"], "the package gin is missing: pip install -e '.[agents]' in the folder of this"),
        ("haiku", "run", ["--help"], "the package haiku is missing: pip install 'sobolev[train]'"),
        ("matplotlib", "plot", ["run"], "the package matplotlib is missing: pip install 'sobolev[plot]'"),
    ],
)
def test_a_missing_package_is_told_with_what_installs_it(
    package: str, program: str, arguments: list[str], words: str, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    row = {"env_steps": 4, "seed": 0, "updates": 1, "eval/return": 1.0}
    (tmp_path / "run" / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    result = without(package, program, *arguments, folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {words}")
    assert result.stderr.count("\n") == 1


def test_nobody_needs_to_read_to_the_end(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(ROOT / 'agents' / 'run.py'))} --list | head -n 1"
    result = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_a_parser_says_what_a_value_is_and_its_default() -> None:
    parser = Parser("agents/draw.py", "Draws.", {"one run": "agents/draw.py runs/a"}, statuses="none")
    parser.add_argument("--count", type=int, default=0, help="of lines")
    parser.add_argument("--output", type=Path, help="where")
    parser.add_argument("--quick", action="store_true", help="in short")
    told = parser.format_help()
    assert "--count N" in told
    assert "of lines (default: 0)" in told
    assert "--output PATH" in told
    assert "in short\n" in told
    assert parser.parse_args(["--count=3"]) == argparse.Namespace(count=3, output=None, quick=False)
    with pytest.raises(ConfigError, match=r"unexpected argument 'x'"):
        parser.parse_args(["x"])
