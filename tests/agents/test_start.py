"""``agents/start.py``: how a program ends tells what to do next."""

from collections.abc import Callable

import jax
import pytest

from agents import exits, start
from agents.gin_messages import ConfigError
from sobolev.training.lock import InUseError
from sobolev.training.memory import DoesNotFitError

FULL = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.\nAllocator …")


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ConfigError("no such part"), 2, "error: no such part\n"),
        (InUseError("x is in use by process 3"), exits.IN_USE, "error: x is in use by process 3\n"),
        (DoesNotFitError("8 seeds do not fit"), exits.DOES_NOT_FIT, "error: 8 seeds do not fit\n"),
        (FULL, exits.DOES_NOT_FIT, "error: the device has no memory left: RESOURCE_EXHAUSTED: Out of memory while "),
    ],
)
def test_an_error_is_one_line_and_a_status(
    error: Exception, status: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "_cache_programs", lambda: None)
    with pytest.raises(SystemExit) as ended:
        start.to_its_end(_raising(error))
    assert ended.value.code == status
    written = capsys.readouterr().err
    assert written.startswith(told)
    assert written.count("\n") == 1


def test_other_errors_of_the_device_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_cache_programs", lambda: None)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        start.to_its_end(_raising(jax.errors.JaxRuntimeError("INTERNAL: a fault")))


def _raising(error: Exception) -> Callable[[], None]:
    def program() -> None:
        raise error

    return program
