"""The notebooks as they are stored: made of their sources, run in order, clean. nbval runs them.

What a text says must be what its cells show: figures in it stand in an output, questions get
numbers and not True, predictions are answered, and formulas of the library are its own.
"""

import importlib
import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers import module_at
from toastlab.course.judge import EXERCISES
from toastlab.course.questions import QUESTIONS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
# Stored before pictures carried alternative texts, whose cells print descriptions instead. To build
# one again gives its pictures their texts; then it leaves this list.
BEFORE_ALT: tuple[str, ...] = ()
SOURCES = sorted((FOLDER / "src").glob("*.py"))
BOOKS = sorted(FOLDER.glob("*.ipynb"))


def load(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def texts(content: dict[str, Any]) -> list[str]:
    """The markdown cells."""
    return ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "markdown"]


def shown(content: dict[str, Any]) -> str:
    """All that the code cells print and show as text."""
    outputs = [o for c in content["cells"] for o in c.get("outputs", [])]
    parts = [o.get("text", []) or o.get("data", {}).get("text/plain", []) for o in outputs]
    return "\n".join("".join(part) for part in parts)


def code(content: dict[str, Any]) -> str:
    """The code cells."""
    return "\n".join("".join(c["source"]) for c in content["cells"] if c["cell_type"] == "code")


def module(name: str) -> Any:
    """A module of notebooks/, which is no package."""
    return module_at(FOLDER / f"{name}.py")


def test_each_source_has_a_notebook() -> None:
    assert SOURCES
    assert [s.stem for s in SOURCES] == [b.stem for b in BOOKS]


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_the_cells_are_those_of_the_source(source: Path) -> None:
    wanted = module("build").convert(source)
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
    prose = "\n".join(texts(content))
    for must in ("**Goals.**", "**Predict first:**", "## Exercises", "**2.**", "## What to doubt"):
        assert must in prose, must
    assert re.search(r"\*\w+(-\w+)? minutes of reading[;,] .*runs in under \d+ seconds", prose)
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and re.search(r"^\w+Panel\(", source, re.M):
            (output,) = cell["outputs"]
            assert "image/png" in output["data"], "a picture for readers without a kernel"
            assert len("".join(output["data"]["text/plain"])) > 40


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_no_picture_without_alternative_text(book: Path) -> None:
    """Each picture says in its metadata what it shows, in the words of its `describe_*`."""
    if book.stem.startswith(BEFORE_ALT):
        pytest.skip("built before pictures had alternative texts: make notebooks")
    outputs = [o for c in load(book)["cells"] for o in c.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert pictures
    for output in pictures:
        alt = output["metadata"]["image/png"]["alt"]
        assert len(alt) > 40
        assert not alt.startswith("<")
        assert alt == "".join(output["data"]["text/plain"])


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_no_wall_of_words_beside_a_picture(source: Path) -> None:
    """What describes a picture is its alternative text, and not printed too."""
    if source.stem.startswith(BEFORE_ALT):
        pytest.skip("built before pictures had alternative texts")
    assert "print(plots.describe" not in source.read_text(encoding="utf-8")


def test_what_is_left_to_be_built_again_is_old() -> None:
    """Nothing stays in the list that need not be there."""
    for book in BOOKS:
        if book.stem.startswith(BEFORE_ALT):
            assert '"alt":' not in book.read_text(encoding="utf-8"), f"{book.stem}: off the list"


def rewritten() -> list[Path]:
    """The notebooks in the form of notebooks/README.md."""
    return [book for book in BOOKS if book.stem.startswith(module("readable").REWRITTEN)]


@pytest.mark.parametrize("book", rewritten(), ids=lambda p: p.stem)
def test_a_rewritten_notebook_reads_well(book: Path) -> None:
    readable = module("readable")
    assert [line for text in texts(load(book)) for line in readable.found_in(text)] == []
    printed = re.sub(r"\s+", " ", shown(load(book)))
    assert [p for p in readable.PHRASES if re.search(p, printed, re.I)] == []


@pytest.mark.parametrize("book", rewritten(), ids=lambda p: p.stem)
def test_a_rewritten_notebook_is_a_ladder(book: Path) -> None:
    """A picture first; predictions chosen, later answered; exercises and open questions."""
    cells = load(book)["cells"]
    sources = ["".join(c["source"]) for c in cells]
    outputs = [json.dumps(c.get("outputs", [])) for c in cells]
    first = next(i for i, text in enumerate(outputs) if '"image/png"' in text)
    assert first <= 2
    predicted = [m[1] for s in sources for m in re.finditer(r"^(\w+) = Prediction\(", s, re.M)]
    assert predicted
    for name in predicted:
        (asked,) = [i for i, s in enumerate(sources) if s.endswith(f"\n{name}.choose(...)")]
        (answered,) = [i for i, s in enumerate(sources) if f"{name}.answer(" in s]
        assert first < asked < answered
    tasks = [re.findall(r"^(check|discuss)\(\"(\w+)\"", s, re.M) for s in sources]
    kinds = Counter(kind for found in tasks for kind, _ in found)
    assert kinds["check"] >= 2
    assert kinds["discuss"] >= 1
    assert kinds.total() >= 4
    numbered = re.findall(r"^\*\*(\d)\.\*\*", "\n".join(texts(load(book))), re.M)
    assert numbered == [str(i + 1) for i in range(kinds.total())]


@pytest.mark.parametrize("book", rewritten(), ids=lambda p: p.stem)
def test_a_rewritten_notebook_types_no_result(book: Path) -> None:
    """Results stand in outputs and titles, made of rows; a text says what holds of them."""
    for text in texts(load(book)):
        prose = NO_PROSE.sub("", text)
        assert re.findall(r"\d+ of (?:the )?\d+|\d+\.\d+|\d+ %", prose) == []


def test_every_open_question_and_exercise_is_asked() -> None:
    cells = "\n".join(code(load(book)) for book in BOOKS)
    asked = re.findall(r"^(?:check|discuss)\(\"(\w+)\"", cells, re.M)
    assert sorted(asked) == sorted(EXERCISES.keys() | QUESTIONS.keys())


def test_hints_and_model_answers_read_well() -> None:
    said = [hint for one in EXERCISES.values() for hint in (*one.ladder.hints, *one.mistakes)]
    said += [text for one in QUESTIONS.values() for text in (one.model, *one.says)]
    found = [line for text in said for line in module("readable").found_in(text)]
    assert [line for line in found if not line.startswith("phrase: NaN")] == []  # a value of code


def test_what_hard_to_read_is() -> None:
    found_in = module("readable").found_in
    long = ("one two three four five six seven eight nine ten " * 3).strip()
    assert found_in(f"Short. Then {long}.") == [f"31 words: Then {long}."]
    assert found_in(f"{long}.") == []
    assert found_in(f"Half: {long[:80]}. And half: {long[:80]}.") == []
    assert found_in(f"* {long}\n* {long}\n\n# {long}\n{long}.") == []
    assert found_in(f"# Title\n{long} $x + y$.") == [f"31 words: {long} formula ."]
    assert found_in("A formula of " + "$a + b$ " * 20) == []
    assert found_in("See [a page](with/a/very/long/address), `p_holm = NaN` and $T_m$.") == []
    for phrase in ("whom the carry visits", "p 0.000", "its test_ece", "at T_m 1", "NaN"):
        assert found_in(f"It is {phrase}.") != []


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_questions_get_numbers(book: Path) -> None:
    """No bare True or False: "how far?" asks for a distance. A config's `name=False` may be."""
    assert re.findall(r"(?<![\w=])(?:True|False)\b.*", shown(load(book))) == []


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_predictions_are_answered_and_claims_asserted(book: Path) -> None:
    content = load(book)
    asked, answered = (
        [i for i, text in enumerate(texts(content)) if words in text]
        for words in ("**Predict first:**", "**Your prediction:**")
    )
    assert len(asked) == 1
    assert answered
    assert asked[0] < answered[0]
    # the words of an answer are as true as the figures only where the cells hold them to it
    assert re.search(r"^\s*assert ", code(content), re.M)


# "12 of 72", "20 %", "0.33": a figure, and what has to stand around it where it is shown
FIGURE = re.compile(r"\d+ of (?:the )?\d+|\d+\.\d+|\d+ %")
LEVEL = re.compile(r"95 % interval|intervals at 95 %")  # a convention and no finding
NO_PROSE = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", re.S)


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_figures_in_the_text_stand_in_the_cells(book: Path) -> None:
    """Shares, decimals and counts "x of y" that a text names are those of an output, or of code."""
    content = load(book)
    cells = re.sub(r"\s+", " ", f"{shown(content)}\n{code(content)}")
    missing = []
    for text in texts(content):
        prose = LEVEL.sub("", re.sub(r"\s+", " ", NO_PROSE.sub("", text)))
        for figure in FIGURE.findall(prose):
            number = re.escape(figure.removesuffix(" %"))
            if not re.search(rf"(?<![\d.]){number}(?!\d|\.\d)", cells):
                missing.append(figure)
    assert missing == []


def test_formulas_of_the_library_are_those_of_the_library() -> None:
    """Who writes what the library computes gives its formula and file, and they agree."""
    cited = 0
    for book in BOOKS:
        for part in "\n\n".join(texts(load(book))).split("\n\n"):
            found = re.findall(r"`([^`]+)`\s\(`(toastlab/[\w/]+\.py)`\)", part)
            if re.search(r"[Tt]he library(?:'s \w+ is| uses| takes)\b", part):
                assert found, f"{book.name}: which formula, of which file? {part}"
            for formula, file in found:
                source = (ROOT / file).read_text(encoding="utf-8")
                assert " ".join(formula.split()) in " ".join(source.split()), formula
                cited += 1
    assert cited


def test_what_nbval_reads_over() -> None:
    """Every rule of sanitize.cfg is read, matches what is stored, and reaches nbval."""
    text = (FOLDER / "sanitize.cfg").read_text(encoding="utf-8")
    # nbval drops a rule without a word where its two lines are not as it expects
    rules = importlib.import_module("nbval.plugin").get_sanitize_patterns(text)
    assert len(rules) == len(re.findall("^regex", text, re.M)) > 0
    stored = "\n".join(shown(load(book)) for book in BOOKS)
    for regex, replacement in rules:
        assert replacement
        assert re.search(regex, stored), f"a rule for nothing: {regex}"
    run = SimpleNamespace(option=SimpleNamespace(nbval_sanitize_with=None))
    module("conftest").pytest_configure(run)
    assert Path(run.option.nbval_sanitize_with) == FOLDER / "sanitize.cfg"


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
