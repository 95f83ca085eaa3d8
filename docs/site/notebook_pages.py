"""Sphinx: what a notebook's page has beyond its cells.

Its figures get the alternative texts that the notebook stores beside them. The column at the right
gets the notebook as a file and, where the repository's address is known, links that run it on
Binder or Colab.

The address is `owner/name` in TOASTLAB_REPOSITORY, or in GITHUB_REPOSITORY, which a workflow has.
"""

import hashlib
import json
import os
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

ADDRESS = re.compile(r"[\w.-]+/[\w.-]+")


def repository() -> str:
    """`owner/name` on GitHub, or nothing where it is not known."""
    named = os.environ.get("TOASTLAB_REPOSITORY") or os.environ.get("GITHUB_REPOSITORY", "")
    return named if ADDRESS.fullmatch(named) else ""


def texts(book: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of each stored picture -> its alternative text.

    A picture without one is described by the sentence that comes with it, or by what its cell
    prints.
    """
    found = {}
    for cell in book["cells"]:
        outputs = cell.get("outputs", [])
        said = "".join("".join(x["text"]) for x in outputs if x["output_type"] == "stream")
        for output in outputs:
            sentence = "".join(output.get("data", {}).get("text/plain", "<"))
            beside = said if sentence.startswith("<") else sentence
            for kind, content in output.get("data", {}).items():
                if not kind.startswith("image/"):
                    continue
                about = output.get("metadata", {})
                alt = about.get(kind, {}).get("alt") or about.get("alt") or " ".join(beside.split())
                content = "".join(content)
                data = content.encode() if kind == "image/svg+xml" else b64decode(content)
                found[hashlib.sha256(data).hexdigest()] = alt
    return found


def describe(app: Sphinx, doctree: nodes.document) -> None:
    """Gives a notebook's pictures their texts; MyST-NB names each after its SHA-256."""
    source = Path(app.env.doc2path(app.env.docname))
    if source.suffix != ".ipynb":
        return
    known = texts(json.loads(source.read_text(encoding="utf-8")))
    for image in doctree.findall(nodes.image):
        alt = known.get(Path(image["uri"]).stem, "")
        if alt and not image.get("alt"):
            image["alt"] = alt


def launch(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Tells the template of the right column whether this is a notebook, and where it runs."""
    is_notebook = doctree is not None and Path(app.env.doc2path(page)).suffix == ".ipynb"
    context["notebook"] = page.rpartition("/")[2] if is_notebook else ""
    context["repository"] = repository()


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-read", describe)
    app.connect("html-page-context", launch)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
