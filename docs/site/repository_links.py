"""Sphinx: links that lead to files and folders of the repository, as a code host shows them.

Code of the library leads to its page among the sources, a room's folder to the room's page, a
folder under `data/` to the page that says what is stored there. Any other file is copied and
downloaded, which is what MyST does by itself. A link whose text is a page's name, `gpu.md`, has
the page's title on the site.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class RepositoryLinks(SphinxTransform):
    """Gives links to code and folders a page of the site."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        for kind in (addnodes.download_reference, addnodes.pending_xref):
            for node in list(self.document.findall(kind)):
                if node.get("reftype") != "myst":
                    continue
                if node.get("refdomain") != "doc":
                    self.turn(node)
                elif re.fullmatch(r"[\w./]+\.md", node.astext()):
                    node["refexplicit"] = False

    def turn(self, node: nodes.Element) -> None:
        """Changes one link, where it leads to such a place."""
        _, absolute = self.env.relfn2path(node["reftarget"], self.env.docname)
        path = Path(absolute)
        if not path.exists() or not path.is_relative_to(self.env.srcdir):
            return
        parts = path.relative_to(self.env.srcdir).parts
        if path.suffix == ".py" and parts[0] == "toastlab":
            module = "/".join(parts).removesuffix(".py").removesuffix("/__init__")
            up = "../" * self.env.docname.count("/")
            new: nodes.Element = nodes.reference(
                internal=True, refuri=f"{up}_modules/{module}.html"
            )
        elif path.is_dir() and parts[0] in ("toastlab", "data"):
            page = f"docs/api/{parts[1]}" if parts[0] == "toastlab" else "data/README"
            new = addnodes.pending_xref(
                refdomain="std", reftype="doc", reftarget=f"/{page}", refexplicit=True
            )
            new["refdoc"] = self.env.docname
        else:
            return
        new += node.children
        node.replace_self(new)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(RepositoryLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
