"""One run in a directory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sobolev.training.lock import locked

HOLDS = """
import sys, time
from pathlib import Path
from sobolev.training.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another process that holds the lock of tmp_path."""
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "held\n" in iter(process.stdout.readline, "")
        yield process
        process.kill()


def test_a_directory_in_use_is_refused_and_its_holder_named(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"in use by process {holder.pid} on .* since"), locked(tmp_path):
        raise AssertionError
    assert (tmp_path / "lock").exists()


def test_the_lock_of_a_killed_process_is_free(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    assert (tmp_path / "lock").exists()
    with locked(tmp_path):
        pass
    assert not (tmp_path / "lock").exists()


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), locked(tmp_path):
        raise RuntimeError("inside")
    with locked(tmp_path), pytest.raises(ValueError, match="in use"), locked(tmp_path):
        raise AssertionError
