"""Makes the lecture's slides of the stored notebooks, with nbconvert: `make slides`.

    .venv/bin/python notebooks/course/slides.py            # into build/course

`lecture.html` shows them without a network: one file that holds its pictures, with formulas as
MathML. nbconvert's own slides would ask a host for reveal.js, MathJax and more, so they get a small
template of ours (deck/). `lecture.ipynb` has the same cells, with slides marked as Jupyter does.
"""

import re
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from html import escape
from pathlib import Path
from runpy import run_path
from typing import Any

import nbformat
from lecture import SLIDES, Piece, Slide
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

HERE = Path(__file__).resolve().parent
BOOKS, ROOT = HERE.parent, HERE.parents[1]
TARGET = ROOT / "build" / "course"
TITLE = "TOAST: a network that learns from what it said itself"

CODE = re.compile(r"(```.*?```|`[^`]*`)", re.S)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.S)
FILE_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!https?:)[^)]*\)")
TOKEN = "zzformula{}zz"  # letters and digits, which no filter changes


def stored(begin: str) -> Any:
    """The notebook whose name begins so, as it is stored."""
    (path,) = BOOKS.glob(f"{begin}*.ipynb")
    return nbformat.read(path, as_version=4)


def one(found: list[Any], piece: Piece) -> Any:
    """What a piece names.

    Raises:
        LookupError: nothing there, or more than one thing.
    """
    if len(found) != 1:
        raise LookupError(
            f"{piece.words!r} stands {len(found)} times in notebook {piece.book}, not once; "
            "name other words in notebooks/course/lecture.py."
        )
    return found[0]


def code_cell(book: Any, piece: Piece) -> Any:
    """The code cell that has a piece's words."""
    return one([c for c in book.cells if c.cell_type == "code" and piece.words in c.source], piece)


def paragraph(book: Any, piece: Piece) -> str:
    """The paragraph that has a piece's words; a list is one."""
    texts = [c.source for c in book.cells if c.cell_type == "markdown"]
    parts = [part for text in texts for part in re.split(r"\n\s*\n", text)]
    return str(one([part for part in parts if piece.words in part], piece))


def said(cell: Any, word: str) -> str:
    """The card among a cell's outputs that begins so, as text."""
    texts = ["".join(o.get("data", {}).get("text/plain", "")) for o in cell.outputs]
    (card,) = [text for text in texts if text.startswith(f"{word}:")]
    return card


def picture(piece: Piece) -> str:
    """A picture that a page of the repository shows, with the text that it has there."""
    page = ROOT / piece.book
    shown = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    alt, path = one([(alt, path) for alt, path in shown if path == piece.words], piece)
    data = b64encode((page.parent / path).read_bytes()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}">'


def cell_of(piece: Piece, books: Callable[[str], Any]) -> Any:
    """The cell of a slide that shows a piece."""
    if piece.kind == "picture":
        return new_markdown_cell(picture(piece))
    book = books(piece.book)
    if piece.kind == "text":
        return new_markdown_cell(paragraph(book, piece))
    cell = code_cell(book, piece)
    if piece.kind == "ask":
        question, *choices = said(cell, "Predict").splitlines()[:-1]  # the last says how
        question = question.removeprefix("Predict: ")
        lines = [re.sub(r"^\s+(\w)\s+", r"* **\1**  ", line) for line in choices]
        return new_markdown_cell("\n".join([f"**{question}**", "", *lines]))
    if piece.kind == "answer":
        return new_markdown_cell(f"**{said(cell, 'Answer').splitlines()[0]}**")
    if piece.kind == "printed":
        kept = [
            new_output("stream", text=o.text) for o in cell.outputs if o.output_type == "stream"
        ]
    else:
        kept = [only_picture(o) for o in cell.outputs if "image/png" in o.get("data", {})]
    if not kept:
        raise LookupError(
            f"the cell with {piece.words!r} in notebook {piece.book} shows no {piece.kind}."
        )
    return new_code_cell("", outputs=kept)


def only_picture(output: Any) -> Any:
    """A figure without the text beside it, which is its alternative text."""
    return new_output(
        "display_data", {"image/png": output.data["image/png"]}, metadata=output.metadata
    )


def cells_of(slide: Slide, books: Callable[[str], Any]) -> Iterator[Any]:
    """A slide's cells, marked for Jupyter's slides: title, pieces, notes."""
    head = new_markdown_cell(f"## {slide.title}")
    head.metadata.slideshow = {"slide_type": "slide"}
    yield head
    for piece in slide.pieces:
        yield cell_of(piece, books)
    notes = new_markdown_cell(f"*{slide.part}, {slide.minutes:g} minutes.* {slide.notes}")
    notes.metadata.slideshow = {"slide_type": "notes"}
    yield notes


def lecture() -> Any:
    """The slides as a notebook."""
    books = cache(stored)
    cells = [cell for slide in SLIDES for cell in cells_of(slide, books)]
    for i, cell in enumerate(cells):
        cell["id"] = f"slide-{i:03d}"  # not drawn by lot
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return new_notebook(cells=cells, metadata={"title": TITLE, "kernelspec": kernel})


def is_start(cell: Any) -> bool:
    """Whether a slide begins with this cell."""
    return cell.metadata.get("slideshow", {}).get("slide_type") == "slide"


def page(book: Any, slides: bool) -> str:
    """A notebook as one HTML file that asks no other host: slides, or a lesson to be read."""
    mathml = run_path(str(ROOT / "docs" / "site" / "maths.py"))["mathml"]
    formulas: list[str] = []

    def keep(match: re.Match[str]) -> str:
        formulas.append(mathml(match[1] or match[2], match[1] is not None))
        return TOKEN.format(len(formulas) - 1)

    book = nbformat.from_dict(book)
    for cell in book.cells:
        if cell.cell_type == "markdown":
            parts = CODE.split(FILE_LINK.sub(r"\1", cell.source))
            parts[::2] = [FORMULA.sub(keep, part) for part in parts[::2]]
            cell.source = "".join(parts)
    starts = [i for i, c in enumerate(book.cells) if is_start(c)] if slides else []
    for i, cell in enumerate(book.cells):
        cell.metadata.update(starts=i in starts, ends=i + 1 in [*starts[1:], len(book.cells)])
    exporter = HTMLExporter(
        template_name="deck",
        template_file="index.html.j2" if slides else "lesson.html.j2",
        extra_template_basedirs=[str(HERE)],
        exclude_anchor_links=True,
    )
    html, _ = exporter.from_notebook_node(book)
    for i, formula in enumerate(formulas):
        html = html.replace(TOKEN.format(i), formula)
    return str(html)


def main(target: str = "") -> None:
    """Writes the slides into a folder, build/course unless another is named."""
    folder = Path(target or TARGET)
    folder.mkdir(parents=True, exist_ok=True)
    book = lecture()
    nbformat.write(book, folder / "lecture.ipynb")
    (folder / "lecture.html").write_text(page(book, slides=True), encoding="utf-8")
    minutes = sum(slide.minutes for slide in SLIDES)
    print(f"{folder / 'lecture.html'}: {len(SLIDES)} slides, {minutes:g} minutes")


if __name__ == "__main__":
    main(*sys.argv[1:])
