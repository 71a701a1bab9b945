"""Damaged files and directories in use: what is whole is taken, and the rest is told."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from sobolev.training import checkpoint, logs
from sobolev.training.lock import locked
from sobolev.training.train import check_free, rows_of_run
from tests.faults.case import Case, refused

ROWS = [{"env_steps": 10 * i, "seed": seed, "updates": i, "eval/return": i / 3} for i in range(4) for seed in (0, 1)]


def flip(data: bytes, place: float) -> bytes:
    """The bytes with one bit changed."""
    i = int(place * (len(data) - 1))
    return data[:i] + bytes([data[i] ^ 4]) + data[i + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut at the end": lambda data: data[:-1],
    "without its beginning": lambda data: data[10:],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"checkpoint",
    "reversed": lambda data: data[::-1],
    **{f"a bit at {place:.0%}": partial(flip, place=place) for place in np.linspace(0.02, 0.9, 12)},
}


def of_checkpoint(damage: Callable[[bytes], bytes], folder: Path) -> str:
    """Of a newest checkpoint that is damaged: it is refused and said, and the one before is taken."""
    tree = {"x": jnp.arange(3_000.0), "y": jnp.int32(7)}
    for env_steps in (5, 10):
        checkpoint.save(folder, env_steps, tree)
    path = folder / "10.npz"
    path.write_bytes(damage(path.read_bytes()))
    told: list[str] = []
    found = checkpoint.newest(folder, told.append)
    if found == path:  # the bit has no meaning: what is read must be what was written
        return "" if np.array_equal(checkpoint.restore(found, tree)["x"], tree["x"]) else "other numbers were read"
    if found != folder / "5.npz":
        return f"{found} was taken"
    return "" if len(told) == 1 and "10.npz" in told[0] else f"told: {told}"


def of_name(name: str, folder: Path) -> str:
    """Of a file or folder among the checkpoints with an odd name."""
    checkpoint.save(folder, 5, {"x": jnp.int32(1)})
    if name.endswith("/"):
        (folder / name).mkdir()
    else:
        (folder / name).write_bytes((folder / "5.npz").read_bytes())
    found = checkpoint.newest(folder)
    return "" if found == folder / "5.npz" else f"{found} was taken"


ROW_DAMAGE: dict[str, tuple[str, Callable[[list[str]], list[str]]]] = {
    "garbage in the middle": ("metrics.jsonl", lambda lines: [*lines[:3], "\x00garbage", *lines[4:]]),
    "a line that was cut off": ("metrics.jsonl", lambda lines: [*lines[:-1], lines[-1][:9]]),
    "an empty line": ("metrics.jsonl", lambda lines: [*lines[:2], "", *lines[2:]]),
    "a list for a row": ("metrics.jsonl", lambda lines: ["[1, 2]", *lines[1:]]),
    "a row without a seed": ("metrics.jsonl", lambda lines: ['{"env_steps": 3}', *lines[1:]]),
    "cut at the end of a line": ("metrics.jsonl", lambda lines: lines[:3]),
    "nothing in it": ("metrics.jsonl", lambda lines: []),
    "all of it": ("metrics.jsonl", lambda lines: ["?"] * len(lines)),
    "a cell that is no number": ("metrics.csv", lambda lines: [lines[0], "x,y,z,w", *lines[2:]]),
    "no header": ("metrics.csv", lambda lines: lines[1:]),
}


def write_rows(folder: Path) -> None:
    """The two files of a run."""
    (folder / "metrics.jsonl").write_text("".join(logs.to_json(row) + "\n" for row in ROWS))
    lines = [",".join(ROWS[0]), *(",".join(map(repr, row.values())) for row in ROWS)]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def of_rows(name: str, change: Callable[[list[str]], list[str]], folder: Path) -> str:
    """Of one damaged file: no row is lost."""
    write_rows(folder)
    path = folder / name
    path.write_text("".join(line + "\n" for line in change(path.read_text().splitlines())))
    return "" if rows_of_run(folder) == ROWS else "rows were lost"


def cut_in_a_number(folder: Path) -> str:
    """Of a table that ends within a number, where it is the only one: the row is left out, and not another one."""
    write_rows(folder)
    (folder / "metrics.jsonl").unlink()
    text = (folder / "metrics.csv").read_text()
    (folder / "metrics.csv").write_text(text[:-3])
    told: list[str] = []
    found = rows_of_run(folder, told.append)
    return "" if found == ROWS[:-1] and any("metrics.csv: line 9 " in line for line in told) else f"{found[-1]} {told}"


def of_missing_rows(name: str, folder: Path) -> str:
    """Of one file that is gone: no row is lost."""
    write_rows(folder)
    (folder / name).unlink()
    return "" if rows_of_run(folder) == ROWS else "rows were lost"


def in_use(folder: Path) -> str:
    """Of a directory that another run uses."""
    with locked(folder):
        return refused(ValueError, lambda: enter(folder), f"process {os.getpid()}")


def enter(folder: Path) -> None:
    """Takes the lock."""
    with locked(folder):
        pass


def stale(folder: Path) -> str:
    """Of the lock that a dead process has left."""
    (folder / "lock").write_text("process 1 on elsewhere since long ago\n")
    enter(folder)
    return "the lock stayed" if (folder / "lock").exists() else ""


def taken(folder: Path) -> str:
    """Of a directory that holds a run."""
    write_rows(folder)
    return refused(ValueError, lambda: check_free(folder), "holds a run already")


def half_written(folder: Path) -> str:
    """Of a text whose writing fails."""
    path = folder / "config.gin"
    logs.write_text(path, "whole")
    (folder / "config.gin.partial").mkdir()
    problem = refused(OSError, lambda: logs.write_text(path, "other"))
    return problem or ("" if path.read_text() == "whole" else "the file has changed")


def not_finite(value: float, folder: Path) -> str:
    """Of a number that JSON does not have."""
    del folder
    row: dict[str, Any] = {"env_steps": 1, "seed": 0, "x": value}
    return refused(ValueError, lambda: logs.to_json(row))


def cases() -> Iterator[Case]:
    """All of them."""
    for name, damage in DAMAGE.items():
        yield Case("checkpoint", name, partial(of_checkpoint, damage))
    for name in ("-5.npz", "-99999999999.npz", "٩.npz", "1e9.npz", "9.9.npz", "9.npz.partial", " 9.npz", "9.npz/"):
        yield Case("checkpoint", f"named {name!r}", partial(of_name, name))
    for name, (file, change) in ROW_DAMAGE.items():
        yield Case("rows", f"{file}: {name}", partial(of_rows, file, change))
    for file in ("metrics.jsonl", "metrics.csv"):
        yield Case("rows", f"{file} is gone", partial(of_missing_rows, file))
    yield Case("rows", "metrics.csv: cut in a number, and no metrics.jsonl", cut_in_a_number)
    for value in (float("nan"), float("inf"), -float("inf")):
        yield Case("rows", f"a number that is {value}", partial(not_finite, value))
    yield Case("directory", "in use by another run", in_use)
    yield Case("directory", "a lock that a dead process left", stale)
    yield Case("directory", "holds a run already", taken)
    yield Case("directory", "a text whose writing fails", half_written)
