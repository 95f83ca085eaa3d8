"""The notebooks as they are stored: made of their sources, run in order, clean. nbval runs them."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
SOURCES = sorted((FOLDER / "src").glob("*.py"))
BOOKS = sorted(FOLDER.glob("*.ipynb"))


def load(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def build_module() -> Any:
    spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_source_has_a_notebook() -> None:
    assert SOURCES
    assert [s.stem for s in SOURCES] == [b.stem for b in BOOKS]


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_the_cells_are_those_of_the_source(source: Path) -> None:
    wanted = build_module().convert(source)
    stored = load(FOLDER / f"{source.stem}.ipynb")
    assert len(wanted.cells) == len(stored["cells"])
    for a, b in zip(wanted.cells, stored["cells"], strict=True):
        assert a.cell_type == b["cell_type"]
        assert a.source == "".join(b["source"]), "built from an older source: notebooks/build.py"
        assert a["id"] == b["id"]


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_stored_as_run_in_order_and_clean(book: Path) -> None:
    text = book.read_text(encoding="utf-8")
    content = load(book)
    code = [c for c in content["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    outputs = [o for c in code for o in c["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert not [o for o in outputs if o.get("name") == "stderr"]
    assert "widgets" not in content["metadata"]
    assert "widget-view+json" not in text
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert not re.search(r"(?<![\w.])/(?:home|root|work|tmp)/\w", text)
    ignored = [c for c in code if "nbval-ignore-output" in c["metadata"].get("tags", [])]
    assert len(ignored) <= len(code) / 5
    assert not [c for c in code if "nbval-skip" in c["metadata"].get("tags", [])]


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_form(book: Path) -> None:
    """Goals, a question to predict, two exercises, doubts; a picture for each panel."""
    content = load(book)
    prose = "\n".join(
        "".join(c["source"]) for c in content["cells"] if c["cell_type"] == "markdown"
    )
    for must in ("**Goals.**", "**Predict first:**", "## Exercises", "**2.**", "## What to doubt"):
        assert must in prose, must
    assert re.search(r"\*\w+(-\w+)? minutes of reading; .*runs in under \d+ seconds", prose)
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and re.search(r"^\w+Panel\(", source, re.M):
            (output,) = cell["outputs"]
            assert "image/png" in output["data"], "a picture for readers without a kernel"
            assert len("".join(output["data"]["text/plain"])) > 40
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                said = [o for o in cell["outputs"] if o.get("name") == "stdout"]
                words = "".join(output["data"]["text/plain"])
                assert said or not words.startswith("<Picture"), "a picture without words"


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_readme_lists_it_with_a_picture_and_its_minutes(book: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    row = next(x for x in readme.splitlines() if f"](notebooks/{book.name})" in x)
    found = re.search(r"!\[.{20,}\]\((notebooks/pictures/\w+\.png)\)", row)
    assert found
    assert (ROOT / found[1]).stat().st_size > 1000
    assert re.search(r"\| \d+ \|$", row)


def test_small_enough() -> None:
    stored = [*BOOKS, *(ROOT / "data" / "runs").rglob("*"), *(ROOT / "data").glob("*.*")]
    stored += (FOLDER / "pictures").glob("*.png")
    tables = [*(ROOT / "data" / "peers").iterdir(), *(ROOT / "data" / "regime").iterdir()]
    assert sum(p.stat().st_size for p in [*stored, *tables] if p.is_file()) < 25e6
    assert sum(p.stat().st_size for p in tables) < 5e6
