"""One run in a directory."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sobolev.training.lock import holder_of, locked

HOLDS = """
import sys, time
from pathlib import Path
from sobolev.training.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


PASSES_ON = """
import os, signal, subprocess, sys
from pathlib import Path
from sobolev.training.lock import locked
with locked(Path(sys.argv[1])) as lock:
    child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, pass_fds=(lock.descriptor,))
    print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
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


def test_its_holder_is_told_to_who_looks(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    assert (holder_of(tmp_path) or "").startswith(f"process {holder.pid} on ")
    assert holder_of(tmp_path, "other") is None
    assert holder_of(tmp_path / "missing") is None
    with locked(tmp_path, name="other"):
        assert (holder_of(tmp_path, "other") or "").startswith(f"process {os.getpid()} on ")
    holder.kill()
    holder.wait()
    assert (tmp_path / "lock").exists()
    assert holder_of(tmp_path) is None


def test_who_looks_at_it_for_an_instant_does_not_keep_a_run_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lock").touch()
    with open(tmp_path / "lock") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        monkeypatch.setattr("sobolev.training.lock.time.sleep", lambda seconds: fcntl.flock(file, fcntl.LOCK_UN))
        with locked(tmp_path):
            assert holder_of(tmp_path) is not None


def test_a_child_that_inherits_it_keeps_it(tmp_path: Path) -> None:
    parent = subprocess.run(
        [sys.executable, "-c", PASSES_ON, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    assert holder_of(tmp_path) is not None
    os.kill(int(parent.stdout.split()[-1]), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while holder_of(tmp_path) is not None:
        assert time.monotonic() < deadline


def test_it_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), locked(tmp_path):
        raise RuntimeError("inside")
    with locked(tmp_path), pytest.raises(ValueError, match="in use"), locked(tmp_path):
        raise AssertionError
