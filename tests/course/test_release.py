"""Assignments: in nbgrader's format, without solutions for students, and marked as they should be.

The format and the marks are held without nbgrader; where it is installed, it marks, too.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers import module_at
from toastlab.course.judge import EXERCISES, solution
from toastlab.course.questions import QUESTIONS

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "notebooks" / "course"
READY = module_at(ROOT / "notebooks" / "readable.py").REWRITTEN
SOURCES = [s for s in sorted((ROOT / "notebooks" / "src").glob("*.py")) if s.stem[:2] in READY]
# nbgrader's metadata of a cell, version 3 of its schema: key -> what it may be
SCHEMA: dict[str, Any] = {
    "schema_version": int,
    "grade_id": str,
    "grade": bool,
    "solution": bool,
    "locked": bool,
    "task": bool,
    "points": int,
    "checksum": str,
    "cell_type": str,
}
ALWAYS = {"schema_version", "grade_id", "grade", "solution", "locked", "task"}

# Right on the inputs that `check` shows, and on no others.
LEARNT = """one = EXERCISES["runner_up"]
known = {str(a): one.solution(*a) for a in one.inputs}
def runner_up(z, labels):
    return known.get(str((z, labels)), torch.zeros(1))
check("runner_up", runner_up)"""


@pytest.fixture(scope="module")
def release() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(COURSE))  # where it finds its neighbours when it is run
        yield module_at(COURSE / "release.py")


def about(cell: Any) -> dict[str, Any]:
    return dict(cell.metadata["nbgrader"])


def filled(book: Any, answer: Callable[[str, str], str]) -> Any:
    """What a student hands in: `answer` of name and text in each cell that is to be filled."""
    book = nbformat.from_dict(book)
    for cell in book.cells:
        if about(cell)["solution"]:
            cell.source = answer(about(cell)["grade_id"], cell.source)
    return book


def right(name: str, text: str) -> str:
    """Someone who can do everything."""
    if name in QUESTIONS:
        return QUESTIONS[name].model
    return f'from torch import Tensor\n{solution(name)}\ncheck("{name}", {name})'


def wrong(name: str, text: str) -> str:
    """Someone who gives back something, raises, or fills in nothing."""
    if name in QUESTIONS:
        return text
    instead = ("return torch.zeros(1)", "raise KeyError", "return ...")[len(name) % 3]
    return text.replace("return ...", instead)


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_the_format_is_that_of_nbgrader(source: Path, release: ModuleType) -> None:
    """What its schema and its checks ask of a cell, of both versions."""
    book = release.assignment(source)
    for version in (book, release.released(book)):
        nbformat.validate(version)
        assert version.metadata.kernelspec.language == "python"
        names = [about(cell)["grade_id"] for cell in version.cells]
        assert len(set(names)) == len(names)
        for cell in version.cells:
            kept = about(cell)
            assert ALWAYS <= kept.keys() <= SCHEMA.keys()
            for key, value in kept.items():
                assert type(value) is SCHEMA[key], key
            assert kept["schema_version"] == 3
            assert re.fullmatch(r"[a-zA-Z0-9_-]+", kept["grade_id"])
            assert ("points" in kept) == kept["grade"]
            assert kept["locked"] != kept["solution"]
            assert not kept["task"]
            if cell.cell_type == "markdown":
                assert kept["grade"] == kept["solution"], "open questions are read by a person"
            marks_of = "BEGIN SOLUTION" in cell.source, "BEGIN HIDDEN TESTS" in cell.source
            tests = kept["grade"] and kept["locked"]
            assert marks_of == ((kept["solution"], tests) if version is book else (False, False))


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_all_that_the_notebook_asks_is_worth_what_the_registry_says(
    source: Path, release: ModuleType
) -> None:
    text = source.read_text(encoding="utf-8")
    asked = re.findall(r"^(?:check|discuss)\(\"(\w+)\"", text, re.M)
    book = release.assignment(source)
    points = {about(c)["grade_id"]: about(c)["points"] for c in book.cells if about(c)["grade"]}
    wanted = {f"{n}-test": EXERCISES[n].points for n in asked if n in EXERCISES}
    wanted |= {n: QUESTIONS[n].points for n in asked if n in QUESTIONS}
    assert points == wanted
    assert list(points) == [n if n in QUESTIONS else f"{n}-test" for n in asked]
    numbers = re.findall(r"^\*\*(\d)\.\*\*", "\n".join(c.source for c in book.cells), re.M)
    assert numbers == [str(i + 1) for i in range(len(asked))]
    assert f"{sum(points.values())} points in all" in book.cells[0].source


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_students_get_stubs_and_nothing_that_is_hidden(source: Path, release: ModuleType) -> None:
    for cell in release.released(release.assignment(source)).cells:
        name = about(cell)["grade_id"]
        assert "marks(" not in cell.source
        assert cell.metadata["deletable"] is False
        assert (cell.metadata.get("editable") is False) == about(cell)["locked"]
        if name in QUESTIONS:
            assert cell.source == "YOUR ANSWER HERE"
        elif name in EXERCISES:
            stub = rf'def {name}\(.*\):\n    return \.\.\.\n\ncheck\("{name}", {name}\)'
            assert re.fullmatch(stub, cell.source)
            text = re.sub(r"\n+", "\n", source.read_text(encoding="utf-8"))
            assert re.sub(r"\n+", "\n", cell.source) in text


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_a_right_one_gets_all_points(source: Path, release: ModuleType) -> None:
    book = release.assignment(source)
    got = release.mark(book, filled(release.released(book), right))
    graded = {about(c)["grade_id"]: about(c) for c in book.cells if about(c)["grade"]}
    assert got == {n: None if a["solution"] else a["points"] for n, a in graded.items()}


def test_a_wrong_one_gets_none(release: ModuleType) -> None:
    """All assignments as one, since a kernel takes as long to start as they do to be marked."""
    book = release.assignment(SOURCES[0])
    more = [cell for source in SOURCES[1:] for cell in release.assignment(source).cells]
    book.cells += [cell for cell in more if about(cell)["solution"] or about(cell)["grade"]]
    got = release.mark(book, filled(release.released(book), wrong))
    assert len(got) == len(EXERCISES) + len(QUESTIONS)
    assert set(got.values()) == {0.0}


def test_what_nobody_can_help_himself_to(release: ModuleType) -> None:
    """Learning the inputs that are shown, rewriting the tests, taking them out."""
    source = next(s for s in SOURCES if s.stem.startswith("02"))
    book = release.assignment(source)

    def learns(name: str, text: str) -> str:
        start = "from toastlab.course.judge import EXERCISES\n"
        return start + LEARNT if name == "runner_up" else right(name, text)

    handed_in = filled(release.released(book), learns)
    for cell in handed_in.cells:
        if about(cell)["grade_id"] == "runner_up-test":
            cell.source = "pass"
    handed_in.cells = [c for c in handed_in.cells if about(c)["grade_id"] != "soften-test"]
    got = release.mark(book, handed_in)
    assert got.pop("runner_up-test") == got.pop("soften-test") == 0
    assert 0 not in got.values()


def test_a_student_can_run_it_where_it_lies(
    release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With toastlab and nothing else of the repository; open tasks say so and stop nothing."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    release.write(SOURCES[0], tmp_path)
    folder = tmp_path / "release" / SOURCES[0].stem
    before = sorted(folder.iterdir())
    assert [file.name for file in before] == [f"{SOURCES[0].stem}.ipynb", "lesson.html"]
    book = nbformat.read(before[0], as_version=4)
    about_folder = {"metadata": {"path": str(folder)}}
    NotebookClient(book, timeout=300, kernel_name="python3", resources=about_folder).execute()
    failed = [c for c in book.cells if any(o.output_type == "error" for o in c.get("outputs", []))]
    assert failed == [c for c in book.cells if about(c)["grade_id"].endswith("-test")]
    assert all(c.outputs[0].evalue == "not yet: see the card above" for c in failed)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_a_lesson_to_read(source: Path, release: ModuleType, tmp_path: Path) -> None:
    """The notebook's text and figures in one file that needs no other, without the exercises."""
    (tmp_path / "lesson.html").write_text(release.lesson(source.stem[:2]), encoding="utf-8")
    assert module_at(ROOT / "docs" / "site" / "check.py").check(tmp_path) == []
    text = (tmp_path / "lesson.html").read_text(encoding="utf-8")
    book = nbformat.read(ROOT / "notebooks" / f"{source.stem}.ipynb", as_version=4)
    pictures = sum(
        "image/png" in o.get("data", {}) for c in book.cells for o in c.get("outputs", [])
    )
    assert text.count("<img ") == pictures > 2
    lesson = source.read_text(encoding="utf-8").partition("## Exercises")[0]
    assert ("<math" in text) == ("$" in lesson)
    assert not [raw for raw in ("$$", "\\sum", "\\frac", "zzformula") if raw in text]
    assert "return ..." not in text


def test_a_notebook_in_another_form_is_named(release: ModuleType) -> None:
    cells = release.exercises([nbformat.v4.new_code_cell("print(1)")])
    with pytest.raises(LookupError, match="asks nothing"):
        list(cells)


def nbgrader(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "nbgrader", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nbgrader_itself_releases_and_marks(
    release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its release is ours, cell by cell, and it gives the points that ours gives."""
    api = pytest.importorskip("nbgrader.api", reason='not installed: pip install ".[course]"')
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    beside = str(Path(sys.executable).parent)  # it calls alembic by name
    monkeypatch.setenv("PATH", os.pathsep.join([beside, os.environ["PATH"]]))
    monkeypatch.setattr(release, "TARGET", tmp_path)
    source = SOURCES[0]
    release.main(source.stem)
    folder, name = tmp_path / "nbgrader", source.stem
    place = Path("release") / name / f"{name}.ipynb"
    ours = nbformat.read(folder / place, as_version=4)
    shutil.rmtree(folder / "release")
    nbgrader(folder, "generate_assignment", f"--assignment={name}")
    theirs = nbformat.read(folder / place, as_version=4)
    for a, b in zip(ours.cells, theirs.cells, strict=True):
        assert a.source == b.source
        assert a.metadata == b.metadata
    assert (folder / "release" / name / "lesson.html").exists()
    for student, answer in {"ada": right, "bob": lambda n, text: text, "cyd": wrong}.items():
        shutil.copytree(folder / "release" / name, folder / "submitted" / student / name)
        handed_in = folder / "submitted" / student / name / f"{name}.ipynb"
        nbformat.write(filled(theirs, answer), handed_in)
    nbgrader(folder, "autograde", f"--assignment={name}")
    with api.Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        for student in ("ada", "bob", "cyd"):
            marked = book.find_submission(name, student)
            tests = {g.name: g for g in marked.notebooks[0].grades}
            tasks = [about(c) for c in ours.cells if about(c)["grade"]]
            assert tests.keys() == {task["grade_id"] for task in tasks}
            for task in tasks:
                grade = tests[task["grade_id"]]
                assert grade.max_score == task["points"]
                if student == "ada" and task["solution"]:
                    assert grade.needs_manual_grade
                else:
                    assert grade.score == (task["points"] if student == "ada" else 0)
