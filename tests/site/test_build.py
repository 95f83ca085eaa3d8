"""A small site, built with the settings of the real one, and looked through."""

import base64
import json
import re
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from tests.helpers import module_at

ROOT = Path(__file__).parents[2]
CONF = ROOT / "docs" / "site"
PIXEL = base64.b64encode(b"\x89PNG: nobody decodes it").decode()
PAGES = {
    "docs/index.md": """# Front

{.doors}
- [Notebooks](../notebooks/README.md)

```{toctree}
/docs/README
/docs/how_to
/docs/method
/docs/results
/notebooks/README
```
""",
    "docs/README.md": "# All\n\n[a](../toastlab/loop.py) [b](../data/rows) [c](../LICENSE)\n",
    "docs/how_to.md": "# How\n\n[Over there](method.md#one-step)\n",
    "docs/method.md": "# Method\n\n## One step\n\nWith $a_i$:\n\n$$L = \\log p\\big(x\\big)$$\n",
    "docs/results.md": "# Results\n",
    "docs/more.md": "# More\n",
    "docs/no_install.md": "# Nothing installed\n",
    "data/README.md": "# Data\n",
    "data/rows/a.csv": "a\n",
    "notebooks/README.md": "# Notebooks\n\n[1](1_first.ipynb)\n",
    "toastlab/loop.py": "",
    "LICENSE": "MIT",
}


def notebook() -> str:
    picture = {
        "output_type": "display_data",
        "data": {"image/png": PIXEL, "text/plain": "<Figure>"},
        "metadata": {"image/png": {"alt": "One dark dot."}},
    }
    code = {
        "cell_type": "code",
        "execution_count": 1,
        "id": "b",
        "metadata": {},
        "outputs": [picture],
        "source": "raise SystemExit('never run')",
    }
    text = {
        "cell_type": "markdown",
        "id": "a",
        "metadata": {},
        "source": "# First\n\n[M](../docs/method.md)",
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps(
        {"cells": [text, code], "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    )


@pytest.fixture(scope="module")
def conf() -> ModuleType:
    return module_at(CONF / "conf.py")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, conf: ModuleType) -> Path:
    """Without docstrings, code pages and the explorer, which take most of the time."""
    root = tmp_path_factory.mktemp("repository")
    for name, text in {**PAGES, "notebooks/1_first.ipynb": notebook()}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    left_out = (
        "rooms",
        "docstrings",
        "explorer_pages",
        "sphinx.ext.viewcode",
        "sphinx.ext.autodoc",
    )
    kept = [name for name in conf.extensions if name not in (*left_out, "sphinx.ext.napoleon")]
    said, out = StringIO(), root / "build" / "site"
    with pytest.MonkeyPatch.context() as patch, patch_docutils(), docutils_namespace():
        patch.setenv("TOASTLAB_REPOSITORY", "a/b")
        app = Sphinx(
            *(root, CONF, out, root / "build" / "doctrees", "html"),
            confoverrides={"extensions": kept},
            status=None,
            warning=said,
        )
        app.build()
    assert not said.getvalue()
    # Pages of code are made by viewcode
    (out / "_modules" / "toastlab").mkdir(parents=True)
    (out / "_modules" / "toastlab" / "loop.html").write_text("")
    return out


def test_it_has_no_fault(built: Path) -> None:
    assert module_at(CONF / "check.py").check(built) == []


def test_its_address_leads_to_the_front_page(built: Path) -> None:
    assert 'content="0; url=docs/index.html"' in (built / "index.html").read_text("utf-8")


def test_formulas_are_mathml_without_a_script(built: Path) -> None:
    text = (built / "docs" / "method.html").read_text("utf-8")
    assert text.count("<math") == 2
    assert '<div class="formula"><math' in text
    assert not re.search("<script[^>]*mathjax", text, re.I)


def test_a_notebook_is_shown_and_not_run(built: Path) -> None:
    text = (built / "notebooks" / "1_first.html").read_text("utf-8")
    assert 'alt="One dark dot."' in text
    assert "never run" in text
    source = re.search(r'href="([^"]+)" download', text)
    assert source
    stored = json.loads((built / "notebooks" / source[1]).read_text("utf-8"))
    assert stored["cells"][1]["source"] == "raise SystemExit('never run')"
    assert "https://mybinder.org/v2/gh/a/b/main?urlpath=lab/tree/notebooks/1_first.ipynb" in text
    assert "https://colab.research.google.com/github/a/b/blob/colab/1_first.ipynb" in text
    assert "mybinder" not in (built / "docs" / "method.html").read_text("utf-8")


def test_links_into_the_repository_lead_to_pages(built: Path) -> None:
    text = (built / "docs" / "README.html").read_text("utf-8")
    assert 'href="../_modules/toastlab/loop.html"' in text
    assert 'href="../data/README.html"' in text
    assert re.search(r'href="\.\./_downloads/\w+/LICENSE"', text)


def test_every_page_stands_somewhere(built: Path) -> None:
    """`more`, which no section names, under all pages; else the build had warned."""
    assert 'href="more.html"' in (built / "docs" / "README.html").read_text("utf-8")


def test_it_can_be_searched_without_a_server(built: Path) -> None:
    index = (built / "searchindex.js").read_text("utf-8")
    assert index.startswith("Search.setIndex(")
    assert "docs/method" in index
