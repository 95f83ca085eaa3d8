"""Sphinx: which page stands under which in the site's navigation.

The pages themselves are read on a code host too, where lists for Sphinx would be noise; so they are
added here, as each page is read. A page that is named nowhere stands under *All pages*.
"""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ALL = "docs/README"
# Page -> what stands under it; a star is any name, in the order of the alphabet.
SECTIONS: dict[str, tuple[str, ...]] = {
    "notebooks/README": ("notebooks/[0-9]*.ipynb", "notebooks/course/*.md"),
    "docs/how_to": (
        *("docs/no_install.md", "docs/own_loop.md", "docs/analyse.md", "docs/explorer.md"),
        *("docs/command_line.md", "docs/data.md", "docs/gpu.md"),
    ),
    "docs/method": ("docs/glossary.md", "docs/architecture.md"),
    "docs/results": (
        *("docs/claims.md", "docs/readings.md", "docs/scores.md", "docs/benchmarks.md"),
        *("docs/recipes.md", "docs/reliability.md", "data/README.md"),
    ),
}
HEADS = ("docs/index", "docs/api/index", ALL, *SECTIONS)


def under(root: Path, page: str) -> list[str]:
    """The pages that stand under one, as Sphinx names them."""
    files = [file for pattern in SECTIONS[page] for file in sorted(root.glob(pattern))]
    return [file.relative_to(root).with_suffix("").as_posix() for file in files]


def add_list(app: Sphinx, page: str, source: list[str]) -> None:
    """Ends a page that heads a section with the list of what stands under it."""
    if page in SECTIONS:
        pages = under(Path(app.srcdir), page)
    elif page == ALL:
        placed = {name for head in SECTIONS for name in under(Path(app.srcdir), head)}
        rest = [name for name in app.env.found_docs if not name.startswith("docs/api/")]
        pages = sorted(set(rest) - placed - set(HEADS), key=lambda name: name.lower())
    else:
        return
    entries = "\n".join(
        f"toastlab on one page </{name}>" if name == "README" else f"/{name}" for name in pages
    )
    source[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", add_list)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
