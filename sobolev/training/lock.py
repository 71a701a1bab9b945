"""One run in a directory: the lock that it holds from its first moment to its last."""

import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no lock
    fcntl = None  # type: ignore[assignment]


LOCK = "lock"
"""The name of the file."""
_TRIES, _SECONDS = 4, 0.05
"""Who only looks whether a directory is in use holds it for an instant."""


class InUseError(ValueError):
    """Another run has the directory."""


class Lock:
    """What a process holds of a directory: all of it, or its place among the processes of one run.

    Args:
        descriptor: of the locked file.
        shared: whether others hold it too.

    Attributes:
        descriptor: as given; a child that inherits it holds the lock too, until both have ended.
        holder: who has it, in words; of several processes the first.
    """

    def __init__(self, descriptor: int, shared: bool) -> None:
        self.descriptor, self._shared = descriptor, shared
        self.holder = "" if not shared else _holder(descriptor)

    def sign(self) -> None:
        """Writes down that this process has it."""
        self.holder = f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}"
        os.ftruncate(self.descriptor, 0)
        os.write(self.descriptor, f"{self.holder}\n".encode())

    def admit_others(self) -> None:
        """Lets other processes of this run in, and still no other run."""
        self._shared = True
        if fcntl is None:
            return
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:  # this gives the lock up for an instant
            raise InUseError("another run has just taken the directory: name another run_dir") from error
        except OSError:
            pass  # no locks, which a warning has said

    def is_last(self) -> bool:
        """Whether no other process holds it; where one does, or no lock can tell, this one gives it up."""
        if fcntl is None:
            return not self._shared
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return not self._shared
        return True


@contextmanager
def locked(
    run_dir: Path, *, name: str = LOCK, joins: bool = False, at_end: Callable[[], None] = lambda: None
) -> Iterator[Lock]:
    """A context in which no other run writes into a directory.

    The operating system frees the lock of a process that has died, however it died.

    Args:
        run_dir: of the run; there.
        name: of the file, where something else than a run has the directory.
        joins: whether this is a further process of the run that is there.
        at_end: is called at the end of the last process of a run.

    Raises:
        InUseError: another run holds it; the message names it.
    """
    path = run_dir / name
    descriptor = _acquire(path, joins)
    lock = Lock(descriptor, joins)
    try:
        if not joins:
            lock.sign()
        yield lock
    finally:
        is_last = lock.is_last()
        try:
            if is_last:
                at_end()
        finally:
            if fcntl is None:  # where a file that is open cannot be removed
                os.close(descriptor)
            if is_last:  # while it is locked, so that it is not another run's
                path.unlink(missing_ok=True)
            if fcntl is not None:
                os.close(descriptor)


def _acquire(path: Path, joins: bool) -> int:
    """The locked file that is at the path; one that another run has just removed is tried again."""
    tries = 0
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if joins else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(descriptor) or "another process"
            os.close(descriptor)
            tries += 1
            if tries < _TRIES:
                time.sleep(_SECONDS)
                continue
            raise InUseError(f"{path.parent} is in use by {holder}: wait for it, or name another run_dir") from error
        except OSError as error:  # some file systems have no locks
            warnings.warn(
                f"{path.parent} cannot be locked ({error.strerror}): do not start two runs in it", stacklevel=3
            )
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def holder_of(run_dir: Path, name: str = LOCK) -> str | None:
    """Who holds a directory, in words; None where nobody does, or where there are no locks.

    Args:
        run_dir: of a run; it may be missing.
        name: of the file, as in :func:`locked`.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(run_dir / name, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor) or "another process"
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return None


def _holder(descriptor: int) -> str:
    return os.read(descriptor, 200).decode(errors="replace").strip()
