"""A page as one file: the template with its style, its scripts, its data, and a policy that forbids everything else."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SCRIPTS = ("plot.js", "body.js", "fan.js", "cloud.js", "slopes.js", "page.js")
DATA_BEGINS = '<script type="application/json" id="data">'


def render(data: dict[str, Any]) -> str:
    """The page.

    Args:
        data: of :func:`agents.page.data.page_data`.
    """
    script = "\n".join(read(name) for name in SCRIPTS)
    parts = {
        "policy": content_policy(script),
        "title": html.escape(f"{data['run']}, seed {data['seed']}"),
        "style": read("page.css"),
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),  # no tag ends it
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], read("page.html"))


def content_policy(script: str) -> str:
    """What the browser allows the page: its own script, known by its digest, and styles. No request can leave it."""
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    allowed = ("default-src 'none'", f"script-src 'sha256-{digest}'", "style-src 'unsafe-inline'")
    return "; ".join((*allowed, "form-action 'none'", "base-uri 'none'"))


def read(name: str) -> str:
    """A file of the template."""
    return (FOLDER / name).read_text(encoding="utf-8")


def read_data(page: str) -> dict[str, Any]:
    """What :func:`render` has put into a page."""
    return json.loads(page.partition(DATA_BEGINS)[2].partition("</script>")[0])
