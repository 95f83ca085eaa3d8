"""The site's own additions to Sphinx: formulas, docstrings, alternative texts, sections."""

import base64
import hashlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from docutils.utils.math import MathError

from tests.helpers import module_at

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "site"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$", re.S)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_formula_of_the_notebooks_becomes_mathml(notebook: Path) -> None:
    maths = module_at(SITE / "maths.py")
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            for block, inline in FORMULA.findall("".join(cell["source"])):
                html = maths.mathml(block or inline, bool(block))
                assert html.startswith("<math")
                assert "\\" not in html, "a command that was not understood"


def test_formulas_that_cannot_be_read_are_errors() -> None:
    maths = module_at(SITE / "maths.py")
    assert "\\" not in maths.mathml(r"\log p\big(x\Bigg)", False), "LaTeX's, but not docutils's"
    with pytest.raises(MathError):
        maths.mathml(r"\nosuchcommand x", False)
    with pytest.raises(MathError):
        maths.mathml(r"\frac{1}", True)


@pytest.fixture(scope="module")
def docstrings() -> ModuleType:
    return module_at(SITE / "docstrings.py")


def test_indented_blocks_of_docstrings_are_code(docstrings: ModuleType) -> None:
    lines = ["Loss.", "", "    L = |a|", "        b", "", "    M", "", "Then |x| and `|y|`."]
    assert docstrings.readable(lines) == [
        *("Loss.", "", "::", "", "    L = |a|", "        b", "", "    M", ""),
        r"Then \|x\| and `|y|`.",
    ]


def test_sections_and_examples_of_docstrings_stay(docstrings: ModuleType) -> None:
    lines = [
        "Sum.",
        "",
        "Example:",
        "    >>> a | b",
        "    3",
        "",
        "Args:",
        "    a: [N].",
        "",
        "    b",
    ]
    assert docstrings.readable(lines) == lines


def test_comments_on_fields_are_their_documentation(docstrings: ModuleType) -> None:
    source = '''
    @dataclass
    class A:
        """Doc."""

        a: int = 1  # One.
        # Two lines
        # above.
        b: str = "é # no comment"
        c: float = 2.0
        d: tuple[int, ...] = (
            1,
        )  # Behind.
        # Of a method.
        def f(self) -> None: ...
    '''
    wanted = {"a": "One.", "b": "Two lines above.", "d": "Behind."}
    assert docstrings.comments(source.strip("\n")) == wanted


def test_every_setting_of_a_run_is_documented(docstrings: ModuleType) -> None:
    from dataclasses import fields

    from toastlab import DataConfig, ToastConfig

    for config in (DataConfig, ToastConfig):
        lines: list[str] = ["Settings."]
        docstrings.process(None, "class", config.__name__, config, None, lines)
        named = {line.split(":")[0].strip() for line in lines[lines.index("Attributes:") + 1 :]}
        own = {name for name in config.__annotations__ if name in {f.name for f in fields(config)}}
        assert named == own


def test_signatures_have_types_without_ranges(docstrings: ModuleType) -> None:
    def plain(signature: str | None) -> str | None:
        shown: str | None = docstrings.plain(None, "class", "A", None, None, signature, None)[0]
        return shown

    given = "(a: ~typing.Annotated[float, ~t.Range(low=0, high=1)] = 0.1, "
    given += "b: tuple[Annotated[int, R(2)], ...])"
    assert plain(given) == "(a: float = 0.1, b: tuple[int, ...])"
    assert plain(None) is None


def test_only_names_of_ours_are_documented(docstrings: ModuleType) -> None:
    import scipy.stats

    def asked(thing: object) -> object:
        return docstrings.skip(None, "module", "x", thing, False, None)

    assert asked(scipy.stats.entropy) is True
    assert asked(Path.exists) is True
    assert asked(module_at) is True, "of the tests"
    from toastlab import ToastConfig, load

    assert asked(load) is None
    assert asked(ToastConfig) is None
    assert asked(3) is None


def test_pictures_get_the_text_that_belongs_to_them() -> None:
    pages = module_at(SITE / "notebook_pages.py")

    def output(data: bytes, said: str = "<Figure>", **about: object) -> dict[str, object]:
        content = {"image/png": base64.b64encode(data).decode(), "text/plain": said}
        return {"output_type": "display_data", "data": content, "metadata": about}

    printed = {"output_type": "stream", "name": "stdout", "text": ["What is\n", "printed.\n"]}
    outputs = [
        printed,
        output(b"1", **{"image/png": {"alt": "Stored."}}),
        output(b"2", alt="Stored beside."),
        output(b"3", "A panel's sentence."),
        output(b"4"),
    ]
    book = {"cells": [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": outputs}]}
    found = pages.texts(book)
    wanted = ["Stored.", "Stored beside.", "A panel's sentence.", "What is printed."]
    assert found == {
        hashlib.sha256(str(i + 1).encode()).hexdigest(): text for i, text in enumerate(wanted)
    }


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_picture_of_the_notebooks_has_a_text(notebook: Path) -> None:
    pages = module_at(SITE / "notebook_pages.py")
    found = pages.texts(json.loads(notebook.read_text(encoding="utf-8")))
    assert found
    assert all(found.values())


def test_the_address_of_the_repository_is_given_or_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = module_at(SITE / "notebook_pages.py")
    monkeypatch.delenv("TOASTLAB_REPOSITORY", raising=False)
    monkeypatch.setenv("GITHUB_REPOSITORY", "")
    assert pages.repository() == ""
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/b")
    assert pages.repository() == "a/b"
    monkeypatch.setenv("TOASTLAB_REPOSITORY", "some.one/toast-lab")
    assert pages.repository() == "some.one/toast-lab"
    monkeypatch.setenv("TOASTLAB_REPOSITORY", "https://a/b?x")
    assert pages.repository() == ""


def test_sections_name_pages_that_exist_once() -> None:
    sections = module_at(SITE / "sections.py")
    named = [name for head in sections.SECTIONS for name in sections.under(ROOT, head)]
    assert len(named) == len(set(named))
    assert len([name for name in named if name.startswith("notebooks/")]) >= len(NOTEBOOKS)
    for head, patterns in sections.SECTIONS.items():
        assert (ROOT / f"{head}.md").exists()
        for pattern in patterns:
            assert "*" in pattern or (ROOT / pattern).exists(), pattern


def test_every_room_has_its_page() -> None:
    rooms = {p.name for p in (ROOT / "toastlab").iterdir() if (p / "__init__.py").exists()}
    pages = {p.stem: p.read_text(encoding="utf-8") for p in (SITE.parent / "api").glob("*.md")}
    assert set(pages) == rooms | {"index"}
    listed = pages["index"].split(":maxdepth: 2")[1].split()
    assert set(listed) - {"```"} == rooms
    for room in rooms:
        assert f"```{{room}} {room}\n" in pages[room]


def test_a_page_has_the_names_of_its_room() -> None:
    rooms = module_at(SITE / "rooms.py")
    assert "toastlab.methods.toast" in rooms.modules("methods")
    assert "toastlab.widgets.explorer.widget" in rooms.modules("widgets")
    assert rooms.home("Toast") == "toastlab.methods.toast.Toast"
    assert rooms.summary(rooms.Room) == "Every module of a room under a heading of its own."
