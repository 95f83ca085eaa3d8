"""The lecturer's plan and slides: made of what the notebooks have, seen without a network."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbconvert import SlidesExporter

from tests.helpers import module_at
from toastlab.course.judge import EXERCISES
from toastlab.course.questions import QUESTIONS

ROOT = Path(__file__).parents[2]
COURSE = ROOT / "notebooks" / "course"
PLAN = (COURSE / "README.md").read_text(encoding="utf-8")
LECTURE, *LABS = re.split(r"^## (?=The lecture|Lab \d|What students)", PLAN, flags=re.M)[1:-1]


@pytest.fixture(scope="module")
def slides() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(COURSE))  # where it finds its neighbours when it is run
        yield module_at(COURSE / "slides.py")


@pytest.fixture(scope="module")
def folder(slides: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("course")
    slides.main(str(made))
    return made


def rows(part: str) -> list[tuple[int, int, str]]:
    """The table of a part of the plan: from minute, to minute, all that the row says."""
    found = re.findall(r"^\| (\d+)–(\d+) \|(.*)\|$", part, re.M)
    return [(int(a), int(b), text) for a, b, text in found]


def source(number: str) -> str:
    (path,) = (ROOT / "notebooks" / "src").glob(f"{int(number):02d}_*.py")
    return path.read_text(encoding="utf-8")


def test_slides_have_figures_with_texts_and_ask_no_host(folder: Path, slides: ModuleType) -> None:
    assert module_at(ROOT / "docs" / "site" / "check.py").check(folder) == []
    text = (folder / "lecture.html").read_text(encoding="utf-8")
    pictures = [p for s in slides.SLIDES for p in s.pieces if p.kind in ("figure", "picture")]
    alts = re.findall(r'<img [^>]*alt="([^"]+)"|<img alt="([^"]+)"', text)
    assert len(alts) == text.count("<img ") >= len(pictures) > 10
    assert all(len(a or b) > 40 for a, b in alts)
    assert not re.search(r'(?:src|href)="(?!data:)', text), "one file is all there is"
    assert "<math" in text
    assert not [raw for raw in ("$$", "\\sum", "\\frac", "zzformula", "](") if raw in text]


def test_each_slide_is_one_with_its_notes(folder: Path, slides: ModuleType) -> None:
    text = (folder / "lecture.html").read_text(encoding="utf-8")
    parts = re.findall(r"<section>.*?</section>", text, re.S)
    assert len(parts) == len(slides.SLIDES) == text.count("<section>") > 20
    for part, slide in zip(parts, slides.SLIDES, strict=True):
        assert f">{slide.title}</h2>" in part
        assert part.count('<aside class="notes">') == 1
        assert f"{slide.minutes:g} minutes." in part


def test_jupyter_makes_slides_of_them_too(folder: Path, slides: ModuleType) -> None:
    book = nbformat.read(folder / "lecture.ipynb", as_version=4)
    nbformat.validate(book)
    text, _ = SlidesExporter().from_notebook_node(book)
    assert text.count('<aside class="notes">') == len(slides.SLIDES)
    assert len(re.findall(r"<section[^>]*>\s*<section", text)) == len(slides.SLIDES)


def test_pieces_come_from_the_notebooks(slides: ModuleType) -> None:
    """Word for word, in the cell they name; every prediction asked is answered later."""
    kinds = Counter(p.kind for s in slides.SLIDES for p in s.pieces)
    assert {"text", "figure", "printed", "ask", "answer"} <= kinds.keys()
    assert kinds["ask"] >= 5
    pieces = [p for s in slides.SLIDES for p in s.pieces]
    for i, piece in enumerate(pieces):
        if piece.kind == "ask":
            name = re.match(r"\w+", piece.words)
            assert name
            later = [p.words for p in pieces[i:] if (p.kind, p.book) == ("answer", piece.book)]
            assert any(words.startswith(f"{name[0]}.answer(") for words in later), piece.words
    used = {p.book for p in pieces if p.book.isdigit()}
    assert used <= set(module_at(ROOT / "notebooks" / "readable.py").REWRITTEN)


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("text", "nobody wrote this", "stands 0 times in notebook 02"),
        ("figure", "plots.", "times in notebook 02, not once"),
        ("figure", "T = np.geomspace", ""),
        ("figure", 'late.answer("b")', "shows no figure"),
    ],
)
def test_what_is_not_found_is_named(slides: ModuleType, kind: Any, words: str, said: str) -> None:
    piece = slides.Piece("02", kind, words)
    if not said:
        assert slides.cell_of(piece, slides.stored).outputs
        return
    with pytest.raises(LookupError, match=said):
        slides.cell_of(piece, slides.stored)


def test_the_plan_reads_well() -> None:
    assert module_at(ROOT / "notebooks" / "readable.py").found_in(PLAN) == []


@pytest.mark.parametrize("part", [LECTURE, *LABS], ids=lambda p: p.partition("\n")[0])
def test_ninety_minutes_without_a_gap(part: str) -> None:
    assert len(LABS) == 3
    times = rows(part)
    assert times[0][0] == 0
    assert times[-1][1] == 90
    assert all(a[1] == b[0] for a, b in pairwise(times))
    for must in ("**Outcomes.**", "**Short of time?**"):
        assert must in part


def test_the_slides_take_the_minutes_of_the_plan(slides: ModuleType) -> None:
    minutes: Counter[str] = Counter()
    for slide in slides.SLIDES:
        minutes[slide.part] += slide.minutes
    planned = {text.split("|")[0].strip(): b - a for a, b, text in rows(LECTURE)}
    assert planned.pop("Questions") > 0
    assert dict(minutes) == planned
    assert list(minutes) == list(planned)
    left_out = re.findall(
        r"\*([A-Z][^*]+)\*", " ".join(LECTURE.split()).partition("Short of time?**")[2]
    )
    spare = [s.minutes for s in slides.SLIDES if any(map(s.title.startswith, left_out))]
    assert len(spare) == len(left_out) == 3
    assert sum(spare) == 10, "README.md says ten"


@pytest.mark.parametrize("lab", LABS, ids=lambda p: p.partition("\n")[0])
def test_what_a_lab_names_is_there_and_fits(lab: str) -> None:
    """Sections and exercises stand in the notebook of their row, and minutes are enough."""
    named = 0
    for a, b, text in rows(lab):
        *said, where = text.split("|")
        text = "".join(source(n) for n in re.findall(r"\d", where))
        for section in re.findall(r"\*([A-Z][^*]+)\*", "|".join([*said, where])):
            assert re.search(rf"^# ## .*{section}", text, re.M), section
        asked = re.findall(r"`(\w+)`", "|".join(said))
        assert all(re.search(rf'^(?:check|discuss)\("{name}"', text, re.M) for name in asked)
        need = [
            EXERCISES[n].ladder.minutes if n in EXERCISES else QUESTIONS[n].minutes for n in asked
        ]
        assert sum(need) <= b - a, asked
        named += len(asked)
    assert named >= 5
    for name in re.findall(r"assignments?\s+`(\w+)` and\s+`(\w+)`", lab)[0]:
        assert (ROOT / "notebooks" / "src" / f"{name}.py").exists()


def test_the_commands_of_the_plan_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (\w+)", PLAN):
        assert re.search(rf"^(?:\w+ )*{target}(?: \w+)*:", makefile, re.M), target
    assert "--mark" in (COURSE / "release.py").read_text(encoding="utf-8")
