"""Makes assignments for nbgrader of the notebooks' exercises, and marks them without it.

    .venv/bin/python notebooks/course/release.py                 # all, into build/course/nbgrader
    .venv/bin/python notebooks/course/release.py 02 03           # those whose names begin so
    .venv/bin/python notebooks/course/release.py --mark 02 handed_in/*.ipynb

Tasks and signatures come from notebooks/src, solutions, points, minutes and hidden inputs from the
registry of exercises. `source/` is for lecturers, `release/` for students: there solutions and
hidden tests are left out as `nbgrader generate_assignment` does. Beside each assignment stands the
lesson, to be read in a browser.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from runpy import run_path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from slides import BOOKS, TARGET, page, stored
from toastlab.course.judge import EXERCISES, solution
from toastlab.course.questions import QUESTIONS

READY = run_path(str(BOOKS / "readable.py"))["REWRITTEN"]
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
CODE_STUB, TEXT_STUB = "return ...", "YOUR ANSWER HERE"
PART = "{0}BEGIN {1}\n{2}\n{0}END {1}"  # as nbgrader marks what students do not get
LEFT_OUT = re.compile(
    r"^([ \t]*)### BEGIN (SOLUTION|HIDDEN TESTS)\n.*?^[ \t]*### END \2(?:\n|\Z)", re.M | re.S
)
CONFIG = """# Settings of nbgrader for these assignments: what stands in place of a solution, and time.
c = get_config()
c.CourseDirectory.course_id = "toastlab"
c.ClearSolutions.code_stub = {{"python": {code!r}}}
c.ClearSolutions.text_stub = {text!r}
c.ExecutePreprocessor.timeout = 120
"""
IMPORTS = "import torch\nfrom toastlab.course import check, hint"


def marked(cell: Any, name: str, **about: Any) -> Any:
    """A cell with nbgrader's metadata, version 3 of its schema.

    Args:
        cell: of a notebook; name: nbgrader's `grade_id`.
        about: `grade`, `solution`, `locked`, which are false where not given, and `points`.
    """
    fixed = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
    cell.metadata["nbgrader"] = {**fixed, "grade_id": name, **about}
    cell["id"] = name.replace("_", "-")
    return cell


def fixed(text: str, name: str) -> Any:
    """A text that students do not change."""
    return marked(new_markdown_cell(text.strip()), name, locked=True)


def code_task(name: str, head: str) -> Iterator[Any]:
    """The cell where a function is written, and the one that marks it.

    Args:
        name: of an exercise; head: the line of the notebook that begins its function.
    """
    points = EXERCISES[name].points
    body = solution(name).partition("\n")[2].rstrip()
    work = f'{head}\n{PART.format("    ### ", "SOLUTION", body)}\n\ncheck("{name}", {name})'
    yield marked(new_code_cell(work), name, solution=True)
    hidden = (
        "from toastlab.course import marks\n"
        f'assert marks("{name}", {name}) == {points}, "right for the inputs shown, wrong for others"'
    )
    test = (
        f"# {count(points)}, if it is right for other inputs, too: those are tried when it is marked.\n"
        "from toastlab.course import check\n"
        f'assert check("{name}", {name}).startswith("Right"), "not yet: see the card above"\n'
        f"{PART.format('### ', 'HIDDEN TESTS', hidden)}"
    )
    cell = marked(new_code_cell(test), f"{name}-test", grade=True, locked=True, points=points)
    cell.metadata["tags"] = ["raises-exception"]  # an open task does not stop *Run All*
    yield cell


def open_task(name: str) -> Iterator[Any]:
    """The cell of an open question, which a person marks: a point for each thing said."""
    question = QUESTIONS[name]
    said = "\n".join(f"* {one} (1 point)" for one in question.says)
    text = PART.format("### ", "SOLUTION", f"{question.model}\n\n{said}")
    yield marked(new_markdown_cell(text), name, grade=True, solution=True, points=question.points)


def count(points: int) -> str:
    """Points in words."""
    return f"{points} point{'s' if points > 1 else ''}"


def exercises(cells: list[Any]) -> Iterator[Any]:
    """The cells of the tasks that a notebook ends with.

    Raises:
        LookupError: a task is asked in another form than that of notebooks/README.md.
    """
    text = ""
    for cell in cells:
        source = cell.source.partition("## What to doubt")[0]
        if cell.cell_type == "markdown":
            text = source
            continue
        asked = re.search(r'^(check|discuss)\("(\w+)"', source, re.M)
        if not asked or not text.strip():
            raise LookupError(
                f"a cell among the exercises asks nothing, or without a text:\n{source}"
            )
        kind, name = asked.groups()
        about = EXERCISES[name] if kind == "check" else QUESTIONS[name]
        minutes = EXERCISES[name].ladder.minutes if kind == "check" else QUESTIONS[name].minutes
        yield fixed(
            f"{text.strip()}\n\n*{count(about.points)}, about {minutes} minutes.*", f"{name}-asked"
        )
        if kind == "discuss":
            yield from open_task(name)
        else:
            head = re.search(rf"^def {name}\(.*\):$", source, re.M)
            if not head:
                raise LookupError(f"no function {name} to be written in:\n{source}")
            yield from code_task(name, head[0])
        text = ""


def assignment(source: Path) -> Any:
    """The lecturer's notebook of a source: every exercise, with solutions and hidden tests.

    Args:
        source: a file of notebooks/src.
    """
    cells = run_path(str(BOOKS / "build.py"))["convert"](source).cells
    begin = next(i for i, cell in enumerate(cells) if "## Exercises" in cell.source)
    cells[begin].source = cells[begin].source.partition("## Exercises")[2]
    title = cells[0].source.partition("\n")[0].lstrip("# ")
    tasks = list(exercises(cells[begin:]))
    points = sum(cell.metadata.nbgrader.get("points", 0) for cell in tasks)
    head = (
        f"# Assignment {title}\n\nRead `lesson.html` first, which lies beside this file. "
        f"{count(points)} in all. A card below a function says what is missing, and "
        '`hint("name", 1)` to `hint("name", 3)` help. Write your answers to the open questions in '
        "plain words."
    )
    start = marked(new_code_cell(IMPORTS), "begin", locked=True)
    return new_notebook(cells=[fixed(head, "head"), start, *tasks], metadata={"kernelspec": KERNEL})


def left_out(source: str, code: bool) -> str:
    """A cell's text as students get it: stubs for solutions, nothing for hidden tests."""

    def instead(match: re.Match[str]) -> str:
        stub = CODE_STUB if code else TEXT_STUB
        return f"{match[1]}{stub}\n" if match[2] == "SOLUTION" else ""

    text = LEFT_OUT.sub(instead, source)
    return text if text == source else text.removesuffix("\n")


def checksum(cell: Any) -> str:
    """What nbgrader tells an unchanged cell by."""
    about = cell.metadata["nbgrader"]
    parts = [cell.source, cell.cell_type, *(about[key] for key in ("grade", "solution", "locked"))]
    parts += [about["grade_id"], *([float(about["points"])] if about["grade"] else [])]
    return hashlib.md5("".join(map(str, parts)).encode()).hexdigest()


def released(book: Any) -> Any:
    """The student's notebook of a lecturer's one."""
    book = nbformat.from_dict(book)
    for cell in book.cells:
        about = cell.metadata["nbgrader"]
        cell.source = left_out(cell.source, cell.cell_type == "code")
        cell.metadata["deletable"] = False
        if about["locked"]:
            cell.metadata["editable"] = False
        about.update(checksum=checksum(cell), cell_type=cell.cell_type)
    return book


def lesson(begin: str) -> str:
    """A notebook up to its exercises as one HTML file, figures with their alternative texts."""
    book = stored(begin)
    end = next(i for i, cell in enumerate(book.cells) if "## Exercises" in cell.source)
    book.cells[end].source = book.cells[end].source.partition("## Exercises")[0]
    del book.cells[end + 1 :]
    for cell in book.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data = {"image/png": output.data["image/png"]}
    book.metadata.title = book.cells[0].source.partition("\n")[0].lstrip("# ")
    return page(book, slides=False)


def write(source: Path, folder: Path) -> Any:
    """Writes both versions and the lesson of a source; gives back the lecturer's."""
    book, text = assignment(source), lesson(source.stem[:2])
    for version, content in {"source": book, "release": released(book)}.items():
        place = folder / version / source.stem
        place.mkdir(parents=True, exist_ok=True)
        nbformat.write(content, place / f"{source.stem}.ipynb")
        (place / "lesson.html").write_text(text, encoding="utf-8")
    return book


def mark(book: Any, handed_in: Any) -> dict[str, float | None]:
    """Points of what was handed in, as nbgrader gives them.

    Cells that a student may not change are put in again from the lecturer's version; then all are
    run. It is for a course that trusts its students: their code runs here as it is.

    Args:
        book: of `assignment`; handed_in: a student's notebook of it.

    Returns:
        grade_id -> points; None where a person has to read the answer.
    """
    whole = {cell.metadata["nbgrader"]["grade_id"]: cell for cell in book.cells}
    empty = {cell.metadata["nbgrader"]["grade_id"]: cell for cell in released(book).cells}
    run, seen = nbformat.from_dict(handed_in), set()
    for cell in run.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name in whole and whole[name].metadata["nbgrader"]["locked"]:
            cell.source = whole[name].source
        seen.add(name)
    NotebookClient(run, timeout=120, kernel_name="python3", allow_errors=True).execute()
    points: dict[str, float | None] = {}
    for name, cell in whole.items():
        about = cell.metadata["nbgrader"]
        if about["grade"]:
            points[name] = 0.0
        if not about["grade"] or name not in seen:
            continue
        (answer,) = [c for c in run.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name]
        if about["solution"]:
            points[name] = 0.0 if answer.source.strip() == empty[name].source.strip() else None
        elif not any(output.output_type == "error" for output in answer.outputs):
            points[name] = float(about["points"])
    return points


def mark_all(begin: str, *files: str) -> None:
    """Prints the points of files, a line each."""
    (source,) = (BOOKS / "src").glob(f"{begin}*.py")
    book = assignment(source)
    for file in files:
        points = mark(book, nbformat.read(file, as_version=4))
        each = ", ".join(
            f"{name} {'to be read' if p is None else f'{p:g}'}" for name, p in points.items()
        )
        print(
            f"{file}: {sum(filter(None, points.values())):g} points and what is to be read; {each}"
        )


def main(*begins: str) -> None:
    """Writes the assignments of the notebooks whose names begin so, or of all that are ready."""
    folder = TARGET / "nbgrader"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nbgrader_config.py").write_text(CONFIG.format(code=CODE_STUB, text=TEXT_STUB))
    for source in sorted((BOOKS / "src").glob("*.py")):
        if source.stem.startswith(begins or READY):
            book = write(source, folder)
            graded = [c.metadata.nbgrader for c in book.cells if c.metadata.nbgrader["grade"]]
            print(f"{source.stem}: {len(graded)} tasks, {count(sum(g.points for g in graded))}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--mark"]:
        mark_all(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
