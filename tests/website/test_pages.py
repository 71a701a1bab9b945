"""The site: it is built without a warning, loads nothing from elsewhere, and has all pictures and public names."""

import importlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from website import api, docstrings, pages

ROOT = Path(__file__).resolve().parents[2]


def test_links_to_files_become_links_to_pages() -> None:
    text = "[a](../../tests/metrics/test_mmd.py) [b](../metrics.md#mmd) [c](https://x.org/y.md) [d](#here)"
    assert pages.with_links_of_the_site(text, "parts/metrics.md") == (
        "[a](../source/tests/metrics/test_mmd.py.md) [b](../metrics.md#mmd) [c](https://x.org/y.md) [d](#here)"
    )
    assert pages.with_links_of_the_site("[a](docs/theory.md)", "index.md") == "[a](theory.md)"
    assert pages.with_links_of_the_site("[a](../docs/results/x.md)", "experiments.md") == "[a](results/x.md)"


def test_a_link_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"docs/theory.md links to nothing.py, which does not exist"):
        pages.linked_files("[a](../nothing.py)", "theory.md")


def test_docstrings_link_to_what_is_documented() -> None:
    text = ":class:`MSMMD`, :func:`sobolev.metrics.mmd2`, :mod:`sobolev.joint` and :class:`Nothing`"
    assert docstrings.with_links(text, "sobolev.metrics.max_sliced") == (
        "[`MSMMD`][sobolev.metrics.max_sliced.MSMMD], [`sobolev.metrics.mmd2`][sobolev.metrics.mmd.mmd2], "
        "[`sobolev.joint`][sobolev.joint] and `Nothing`"
    )


def test_the_gallery_gets_the_pictures_that_it_lacks() -> None:
    text = (ROOT / "docs/gallery.md").read_text()
    without = "\n".join(line for line in text.splitlines() if "scaling" not in line) + "\n"
    title = (ROOT / "docs/results/scaling.md").read_text().splitlines()[0].removeprefix("# ")
    assert f"![{title}](results/scaling.png)" in pages.with_all_pictures(without).partition("## Others")[2]
    shown = re.findall(r"\]\((results/\w+\.png)\)", pages.with_all_pictures(without))
    assert sorted(shown) == sorted(f"results/{path.name}" for path in (ROOT / "docs/results").glob("*.png"))


@pytest.fixture(scope="module")
def site() -> Iterator[Path]:
    """The site, built as CI builds it: warnings are errors."""
    pytest.importorskip("mkdocs", reason="the site needs pip install 'sobolev[docs]'")
    folder = Path(tempfile.mkdtemp(prefix="sobolev_site_"))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    yield folder
    shutil.rmtree(folder)


def test_the_reference_has_every_public_name(site: Path) -> None:
    for module in api.MODULES:
        names = api.public_names(importlib.import_module(module))
        page = (site / f"api/{module}.html").read_text()
        missing = [full for full, at in api.published().items() if at == module and f'id="{full}"' not in page]
        assert not missing
        assert names or module in ("sobolev", "sobolev.environments.exact")


def test_a_tutorial_shows_its_script(site: Path) -> None:
    text = unescape(re.sub(r"<[^>]+>", "", (site / "tutorials/metrics_alone.html").read_text()))
    assert (ROOT / "examples/metrics_alone.py").read_text().strip() in text


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?([^\s\">]+)", path.read_text())
        assert not [target for target in loaded if "//" in target], path
    for path in site.rglob("*.css"):
        assert not re.findall(r"url\(\s*['\"]?(?:https?:)?//", path.read_text()), path


def test_the_search_works_from_disk(site: Path) -> None:
    """In a browser: a query in the address finds pages, and no listing of a file among them."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no browser")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", f"--user-data-dir={profile}", "--virtual-time-budget=8000"),
            *("--dump-dom", f"file://{site}/index.html?q=cross-fitting"),
        ]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    results = re.findall(r'<a href="([^"]+)" class="md-search-result__link"', shown)
    assert any("theory.html" in result for result in results), shown[-2_000:]
    assert not [result for result in results if "/source/" in result]
