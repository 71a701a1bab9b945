"""Tries faults and wrong inputs, and tells for each kind how many there are and what was promised and not kept.

python -m tests.faults            those that take seconds
python -m tests.faults --full     also runs that diverge, are signalled and are killed: half an hour or so
"""

import argparse
import collections
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults import configurations, files, inputs, runs
from tests.faults.case import Case


def all_cases() -> Iterator[Case]:
    """Those of all modules."""
    for module in (configurations, files, inputs, runs):
        yield from module.cases()


def broken(case: Case, folder: Path) -> str:
    """What broke the promise; "" where it was kept."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        try:
            return case.attempt(Path(own))
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:300]}"


def main() -> None:
    """Prints a line for each kind, and one for each promise that was not kept."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="those that take long too")
    parser.add_argument("--kind", action="append", help="these kinds alone")
    options = parser.parse_args()
    tried: collections.Counter[str] = collections.Counter()
    failed: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for case in all_cases():
            if (options.full or not case.is_long) and (not options.kind or case.kind in options.kind):
                problem = broken(case, Path(folder))
                tried[case.kind] += 1
                if problem:
                    failed[case.kind] += 1
                    print(f"{case.kind}, {case.name}: {problem}", flush=True)
    print(f"\n{'kind':16} tried  not kept")
    for kind, count in tried.items():
        print(f"{kind:16} {count:5} {failed[kind]:9}")
    print(f"{'all':16} {tried.total():5} {failed.total():9}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
