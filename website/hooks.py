"""What MkDocs calls while it builds the site (``hooks`` of mkdocs.yml)."""

import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

# MkDocs is started as a program, to which the root of the repository is not known.
sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from website import api, pages, parts  # noqa: E402


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fills the section of the API reference."""
    sections: list[dict[str, Any]] = config.nav or []
    for section in sections:
        if section.get("API") == "api/":
            section["API"] = [{name: f"api/{name}.md"} for name in api.MODULES]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not files of docs/."""
    texts = {page: (pages.ROOT / file).read_text() for page, file in pages.OUTSIDE.items()}
    for file in files.documentation_pages():
        texts[file.src_uri] = file.content_string
    for name in api.MODULES:
        files.append(File.generated(config, f"api/{name}.md", content=api.page(name)))
    for page in pages.OUTSIDE:
        files.append(File.generated(config, page, content=texts[page]))
    linked = {path for page, text in texts.items() for path in pages.linked_files(text, page)}
    for path in sorted(linked):
        if pages.page_of(path).startswith("source/"):
            files.append(File.generated(config, pages.page_of(path), content=pages.source_page(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Completes the pages of parts, and turns links to files into links to pages."""
    uri = page.file.src_uri
    if uri.startswith(("api/", "source/")):
        return markdown
    if uri == "gallery.md":
        markdown = pages.with_all_pictures(markdown)
    try:
        return pages.with_links_of_the_site(pages.with_scripts_shown(parts.completed(markdown, uri)), uri)
    except ValueError as error:
        raise PluginError(str(error)) from error
