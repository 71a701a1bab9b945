"""Which files of the repository are pages of the site, and how links between files become links between pages."""

import posixpath
import re
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
# Pages that are files outside docs/, by their name on the site.
OUTSIDE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "experiments.md": "experiments/README.md",
}
_SCRIPT = re.compile(r"^\[`(?P<path>[\w/]+\.(?:py|gin))`\]\(\S+\)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
_LANGUAGES = {".py": "python", ".gin": "python", ".toml": "toml", ".csv": "text", ".txt": "text"}


def origin(page: str) -> str:
    """The file of the repository that a page of the site comes from."""
    return OUTSIDE.get(page, f"docs/{page}")


def page_of(path: str) -> str:
    """The page, or the file, of the site that shows a file of the repository.

    Example:
        >>> page_of("docs/theory.md"), page_of("README.md"), page_of("gin/td3.gin")
        ('theory.md', 'index.md', 'source/gin/td3.gin.md')
    """
    for page, file in OUTSIDE.items():
        if file == path:
            return page
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}.md"


def linked_files(text: str, page: str) -> list[str]:
    """The files of the repository that a page's text links to.

    Raises:
        ValueError: there is no such file.
    """
    folder = posixpath.dirname(origin(page))
    paths = [posixpath.normpath(posixpath.join(folder, found["path"])) for found in _LINK.finditer(text)]
    for path in paths:
        if not (ROOT / path).exists():
            raise ValueError(f"{origin(page)} links to {path}, which does not exist")
    return paths


def with_links_of_the_site(text: str, page: str) -> str:
    """A page's text, whose links to files of the repository are links to pages of the site.

    Example:
        >>> with_links_of_the_site("[the file](../gin/td3.gin)", "methods.md")
        '[the file](source/gin/td3.gin.md)'
    """
    folder = posixpath.dirname(origin(page))

    def replaced(found: re.Match[str]) -> str:
        target = page_of(posixpath.normpath(posixpath.join(folder, found["path"])))
        return f"]({posixpath.relpath(target, posixpath.dirname(page) or '.')}{found['anchor'] or ''})"

    return _LINK.sub(replaced, text)


def with_scripts_shown(text: str) -> str:
    """A page's text, in which a paragraph that is only a link to a script is followed by the script.

    The snippet is read from the file as the site is built.

    Example:
        >>> print(with_scripts_shown("[`examples/my_metric.py`](../examples/my_metric.py)"))
        [`examples/my_metric.py`](../examples/my_metric.py)
        <BLANKLINE>
        ```python
        --8<-- "examples/my_metric.py"
        ```
    """
    return _SCRIPT.sub(lambda found: f'{found[0]}\n\n```python\n--8<-- "{found["path"]}"\n```', text)


def with_all_pictures(text: str) -> str:
    """The text of the gallery, with the pictures of docs/results that it lacks at its end."""
    lines = []
    for picture in sorted((ROOT / "docs/results").glob("*.png")):
        if f"results/{picture.name}" not in text:
            title = picture.with_suffix(".md").read_text().partition("\n")[0].removeprefix("# ")
            lines += ["", f"**[{title}](results/{picture.stem}.md)**", "", f"![{title}](results/{picture.name})"]
    return text + "\n".join(["", "## Others", *lines, ""] if lines else [])


def source_page(path: str) -> str:
    """The page that shows a file, or the files of a folder, of the repository; the search leaves it out."""
    head = f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n"
    if (ROOT / path).is_dir():
        names = sorted(file.name for file in (ROOT / path).iterdir() if file.is_file())
        return f"{head}Files of this folder of the repository: {', '.join(f'`{name}`' for name in names)}.\n"
    language = _LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"{head}````{language}\n{(ROOT / path).read_text()}````\n"
