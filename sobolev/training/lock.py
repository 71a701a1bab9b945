"""One run in a directory: the lock that it holds from its first moment to its last."""

import os
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """A context in which no other run writes into a directory.

    The operating system frees the lock of a process that has died, however it died.

    Args:
        run_dir: of the run; there.

    Raises:
        ValueError: another run holds it; the message names it.
    """
    path = run_dir / "lock"
    descriptor = _acquire(path)
    try:
        os.ftruncate(descriptor, 0)
        began = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(descriptor, f"process {os.getpid()} on {platform.node()} since {began}\n".encode())
        yield
    finally:
        if fcntl is None:  # where a file that is open cannot be removed
            os.close(descriptor)
            path.unlink(missing_ok=True)
        else:  # while it is locked, so that it is not another run's
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _acquire(path: Path) -> int:
    """The locked file that is at the path; one that another run has just removed is tried again."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise ValueError(f"{path.parent} is in use by {holder}: wait for it, or name another run_dir") from error
        except OSError as error:  # some file systems have no locks
            warnings.warn(
                f"{path.parent} cannot be locked ({error.strerror}): do not start two runs in it", stacklevel=3
            )
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
