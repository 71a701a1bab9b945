"""How the programs start and end: quiet imports, a cache of compiled programs, and one message for a mistake."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
from absl import logging


def quiet() -> contextlib.AbstractContextManager[object]:
    """A context in which to import the library.

    brax and mujoco announce on stdout that an optional package is absent, and later warn about their own internals.
    """
    warnings.filterwarnings("ignore", module=r"brax\..*|mujoco\..*|jaxopt\..*")
    return contextlib.redirect_stdout(io.StringIO())


with quiet():
    from agents.gin_messages import ConfigError


def to_its_end(program: Callable[[], None]) -> None:
    """Runs a program; a mistake in what it was asked ends it with a short message and exit status 2."""
    logging.set_verbosity(logging.FATAL)  # errors are reported once, below
    try:
        _cache_programs()
        program()
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def _cache_programs() -> None:
    """A cache of compiled programs."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sobolev"
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
