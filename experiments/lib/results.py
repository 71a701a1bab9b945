"""Where results and runs are, and CSV files of results."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from sobolev.training.logs import write_text

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
RUNS = ROOT / "runs"

Key = TypeVar("Key", bound=tuple[Any, ...])
Value = TypeVar("Value", bound=tuple[Any, ...])
_Record = TypeVar("_Record", bound=tuple[Any, ...])


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


class Results(Generic[Key, Value]):
    """Results by key, kept in a CSV file: what the file holds is not computed again.

    Args:
        path: of the file. Delete it, or rows of it, to compute them again.
        key: a NamedTuple; its fields are the file's first columns.
        value: a NamedTuple; its fields are the other columns. Fields are of the types int, float and str.
    """

    def __init__(self, path: Path, key: type[Key], value: type[Value]) -> None:
        self.path = path
        self._kinds = key, value
        self.rows: dict[Key, Value] = {_record(key, row): _record(value, row) for row in read_rows(path)}

    def find(self, key: Key, compute: Callable[[], Value]) -> Value:
        """The result of a key, computed, printed and written where the file does not hold it."""
        if key not in self.rows:
            value = compute()
            print(*key, value, flush=True)
            self.add({key: value})
        return self.rows[key]

    def add(self, rows: Mapping[Key, Value]) -> None:
        """Adds results and writes the file."""
        self.rows.update(rows)
        columns = [name for kind in self._kinds for name in get_type_hints(kind)]
        write_rows(self.path, columns, [(*key, *value) for key, value in self.rows.items()])


def _record(kind: type[_Record], row: Mapping[str, str]) -> _Record:
    """The fields of a NamedTuple from the cells of a row, converted as they are annotated."""
    fields = get_type_hints(kind).items()
    return kind(**{name: hint(row[name]) if hint in (int, float) else row[name] for name, hint in fields})
