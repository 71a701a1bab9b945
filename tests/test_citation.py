"""CITATION.cff: the version is the library's, and what is cited can be found."""

from pathlib import Path

import yaml

import sobolev

ROOT = Path(__file__).resolve().parent.parent


def test_citation() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == sobolev.__version__
    assert citation["authors"] == [{"name": "The sobolev authors"}]
    assert citation["license"] == "Apache-2.0"
    for reference in citation["references"]:
        assert {"type", "title", "authors", "year", "url"} <= set(reference)
        assert all("family-names" in author and "given-names" in author for author in reference["authors"])
        assert reference["url"].startswith("https://")


def test_the_method_of_the_readme_is_cited() -> None:
    urls = [reference["url"] for reference in yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]]
    assert "https://arxiv.org/abs/2601.20071" in urls
    assert urls[0] in (ROOT / "README.md").read_text()
