"""docs/theory.md names a test for every statement, and these tests are all there are."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "theory.md").read_text()
    named, path = 0, None
    for found_path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", page):
        path = found_path or path
        if name:
            assert path
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"
            named += 1
        elif found_path:
            assert (ROOT / found_path).exists()
    assert named > 40


def test_every_theorem_is_on_the_page() -> None:
    page = (ROOT / "docs" / "theory.md").read_text()
    for path in sorted((ROOT / "tests" / "theory").glob("test_*.py")):
        if path.stem != "test_page":
            theorems = re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
            assert theorems
            assert not [name for name in theorems if f"::{name}`" not in page], path
