"""Sphinx: explorers as pages of the site, which live without a kernel.

One is made here, of the run that all notebooks share. Those that notebooks save in
`notebooks/explorers/` keep their place beside the notebooks' pages.
"""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from toastlab import analyse
from toastlab.course.runs import course_runs, course_store
from toastlab.studies.layouts import load_layouts
from toastlab.widgets import Explorer
from toastlab.widgets.explorer.places import stored

PAGE = "explorers/toast.html"  # in the built site
SAVED = "notebooks/explorers"  # in the repository, and there


def put(app: Sphinx, error: Exception | None) -> None:
    """Puts them into the built site."""
    if error is not None or app.builder.name != "html":
        return
    source, target = Path(app.srcdir) / SAVED, Path(app.outdir)
    if source.is_dir():
        shutil.copytree(source, target / SAVED, dirs_exist_ok=True)
    runs = course_runs(course_store())
    analysis = analyse(runs["TOAST"])
    places = stored(load_layouts(runs), "TOAST", len(analysis.table))
    page = target / PAGE
    page.parent.mkdir(exist_ok=True)
    Explorer(analysis, places=places).save(page)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", put)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
