"""How the programs start and end: quiet imports, a cache of compiled programs, and one message for a mistake."""

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from sobolev import extras

OF_PROGRAMS = ("absl", "gin", "jax")
"""What the programs need besides the library's extras."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A context in which to import the library; a package that is missing ends the program in one line.

    brax and mujoco announce on stdout that an optional package is absent, and later warn about their own internals.
    """
    warnings.filterwarnings("ignore", module=r"brax\..*|mujoco\..*|jaxopt\..*")
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            yield
        except ModuleNotFoundError as error:
            sys.stderr.write(f"error: {_missing(error)}\n")
            sys.exit(2)


def _missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """What to install; the error itself is raised where that is not known."""
    package = (error.name or "").split(".")[0]
    if package in OF_PROGRAMS:
        text = f"the package {package} is missing: pip install -e '.[agents]' in the folder of this repository"
        return ModuleNotFoundError(text)
    if package not in extras.EXTRAS:
        raise error
    return extras.missing(error)


with quiet():
    import jax
    from absl import logging

    from agents import exits
    from agents.gin_messages import ConfigError
    from sobolev.training.faults import DivergedError
    from sobolev.training.interrupts import Interrupted
    from sobolev.training.lock import InUseError
    from sobolev.training.memory import DoesNotFitError


def main(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None]) -> None:
    """Entry point of a program.

    Args:
        parser: of its options; a mistake in them ends the program as any other.
        run: everything after that.
    """
    to_its_end(lambda: run(parser.parse_args()))


def to_its_end(program: Callable[[], None]) -> None:
    """Runs a program to its end, or to a short message and an exit status.

    That is 2 for a mistake in what was asked, a package that is missing too, 1 for a run that has met a number that is
    not finite, those of :mod:`agents.exits`, and 128 and the number of the signal for one that a signal has ended.
    """
    logging.set_verbosity(logging.FATAL)  # errors are reported once, below
    try:
        _cache_programs()
        program()
        sys.stdout.flush()
    except BrokenPipeError:  # as by "| head": nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ConfigError as error:
        _end(error, 2)
    except InUseError as error:
        _end(error, exits.IN_USE)
    except DoesNotFitError as error:
        _end(error, exits.DOES_NOT_FIT)
    except jax.errors.JaxRuntimeError as error:
        if not str(error).startswith("RESOURCE_EXHAUSTED"):  # the name of a status, which is no attribute
            raise
        _end(f"the device has no memory left: {str(error).splitlines()[0]}", exits.DOES_NOT_FIT)
    except ModuleNotFoundError as error:
        _end(_missing(error), 2)
    except DivergedError as error:
        sys.stderr.write(f"error: {error}{_how_to_repeat(error)}\n")
        sys.exit(1)
    except Interrupted as error:
        sys.stderr.write(f"\n{error} (--resume)\n")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(128 + error.number)  # a thread may still be compiling


def _end(message: object, status: int) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(status)


def _how_to_repeat(error: DivergedError) -> str:
    """The end of a message about an update that was written."""
    if error.update is None:
        return ""
    run_dir, seed = error.update.parent.parent, error.update.name.removeprefix("seed")
    return f" `python agents/repeat.py {run_dir} --seed={seed}` repeats the update operation by operation."


def _cache_programs() -> None:
    """A cache of compiled programs."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sobolev"
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
