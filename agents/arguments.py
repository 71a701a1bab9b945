"""The arguments of the programs: options in groups, examples below the help, and one line for a wrong one.

Options that several programs have are here, so that they are called and explained alike.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from agents.gin_messages import ConfigError, did_you_mean

STATUSES = """exit status:
  0  all was done
  1  a number was not finite, where none may be
  2  a mistake in what was asked, told in one message
  130, 143  ended by SIGINT (Ctrl-C) or SIGTERM"""


class Parser(argparse.ArgumentParser):
    """A command line.

    Args:
        program: as it is called, "agents/run.py".
        description: what it does.
        examples: command lines, without "python", each after a line that says what it is for.
        statuses: the end of the help.

    Raises:
        ConfigError: from ``parse_args``, for arguments that it does not take.

    Example:
        >>> parser = Parser("agents/draw.py", "Draws.", {"one run": "agents/draw.py runs/a"})
        >>> _ = parser.add_argument("--output")
        >>> parser.parse_args(["--outptu=x"])
        Traceback (most recent call last):
            ...
        agents.gin_messages.ConfigError: unknown option --outptu; did you mean --output? --help shows all of them
    """

    def __init__(self, program: str, description: str, examples: dict[str, str], statuses: str = STATUSES) -> None:
        lines = [f"  {what}\n    python {command}" for what, command in examples.items()]
        super().__init__(
            program,
            description=description,
            epilog="\n".join(["examples:", *lines, "", statuses]),
            formatter_class=_Formatter,
            allow_abbrev=False,
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """The options; ``sys.argv`` has them where none are given."""
        options, unknown = self.parse_known_args(args, namespace)
        for word in unknown:
            name = word.split("=")[0]
            if not name.startswith("-"):
                raise ConfigError(f"unexpected argument {word!r}: every option starts with --")
            raise ConfigError(
                f"unknown option {name}{did_you_mean(name, self._option_string_actions)} --help shows all of them"
            )
        return options

    def error(self, message: str) -> NoReturn:
        """Raises a ConfigError."""
        raise ConfigError(f"{message}; --help shows all options")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves description and examples as they are, and says each default that is a value, and what a value is."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        is_value = action.default not in (None, [], argparse.SUPPRESS) and action.default is not False
        is_told = "%(default)" in (action.help or "")
        return f"{action.help} (default: %(default)s)" if is_value and not is_told else action.help

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        names = {int: "N", float: "X", Path: "PATH"}
        return names[action.type] if action.type in names else super()._get_default_metavar_for_optional(action)


def add_configuration(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The group of the options that say what is trained."""
    group = parser.add_argument_group("what is trained")
    group.add_argument(
        "--gin_file", action="append", default=[], metavar="FILE", help="a gin file; may be repeated, later files win"
    )
    group.add_argument(
        "--gin_bindings",
        action="append",
        default=[],
        metavar="BINDING",
        help="a binding such as 'agent.batch_size=64'; may be repeated, wins over files",
    )
    return group


def add_run_dir(parser: argparse.ArgumentParser) -> None:
    """The directory of one run, which exists."""
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="a directory that agents/run.py has written")


def check_seed(seed: int | None, seeds: Iterable[int]) -> None:
    """Raises a ConfigError where a run has not the seed that --seed asks for."""
    seeds = list(seeds)
    if seed is not None and seed not in seeds:
        raise ConfigError(f"--seed={seed}: the run has seeds {seeds}")
