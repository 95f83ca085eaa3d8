"""What looks through the built site finds each thing that may not be in it."""

from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers import module_at

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return module_at(ROOT / "docs" / "site" / "check.py")


def site(folder: Path, body: str = "", **files: str) -> Path:
    """A site of two good pages, with more in the first one."""
    (folder / "notes").mkdir()
    (folder / "look.css").write_text("@import 'notes/more.css'; body { color: red }")
    (folder / "notes" / "more.css").write_text("p { background: url(data:image/png;base64,AA==) }")
    (folder / "run.js").write_text("const a = 'http://www.w3.org/2000/svg', b = 'notes/x';")
    (folder / "notes" / "b c.html").write_text('<h1 id="top">B</h1><a href="../index.html#a">A</a>')
    (folder / "index.html").write_text(
        '<link rel="stylesheet" href="look.css?v=1"><script src="run.js"></script>'
        '<h1 id="a">A</h1><a href="notes/b%20c.html#top">B</a> <a href="https://doi.org/x">x</a>'
        f'<a href="#a">up</a> <img src="run.js" alt="A drawing">{body}'
    )
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_a_good_site_is_good(tool: ModuleType, tmp_path: Path) -> None:
    assert tool.check(site(tmp_path)) == []
    assert tool.main(str(tmp_path)) == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<a href="gone.html">x</a>', "leads nowhere: gone.html"),
        ('<a href="notes/b%20c.html#gone">x</a>', "no such place there: notes/b%20c.html#gone"),
        ('<a href="#gone">x</a>', "no such place there: #gone"),
        ('<a href="notes/">x</a>', "leads nowhere: notes/"),
        ('<img src="gone.png" alt="A cat">', "leads nowhere: gone.png"),
        ('<img src="run.js">', "no alternative text for run.js"),
        ('<img src="run.js" alt="">', "no alternative text for run.js"),
        ('<img src="run.js" alt="_images/run.png">', "no alternative text for run.js"),
        ('<script src="https://cdn.org/a.js"></script>', "asks another host for https://cdn.org"),
        ('<script src="//cdn.org/a.js"></script>', "asks another host for //cdn.org/a.js"),
        ('<link rel="stylesheet" href="http://cdn.org/a">', "asks another host for http://cdn.org"),
        ('<link rel="preload icon" href="//cdn.org/a">', "asks another host for //cdn.org/a"),
        (
            '<img alt="A cat" srcset="run.js 1x, //cdn.org/a 2x">',
            "asks another host for //cdn.org/a",
        ),
        ('<iframe src="https://cdn.org/"></iframe>', "asks another host for https://cdn.org/"),
        ("<p style=\"background: url('//cdn.org/a')\">", "asks another host for //cdn.org/a"),
        ("<style>@import '//cdn.org/a'</style>", "asks another host for //cdn.org/a"),
        ("<script>fetch('https://api.org/x')</script>", "asks another host for https://api.org/x"),
        ('<meta http-equiv="refresh" content="0; url=gone.html">', "leads nowhere: gone.html"),
    ],
)
def test_each_fault_is_found(tool: ModuleType, tmp_path: Path, body: str, said: str) -> None:
    (wrong,) = tool.check(site(tmp_path, body))
    assert wrong.startswith("index.html: ")
    assert said in wrong
    assert tool.main(str(tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("more_css", "@font-face { src: url(https://fonts.org/a.woff2) }"),
        ("more_css", '@import "//fonts.org/a.css";'),
        ("more_js", 'import("https://cdn.org/a.js")'),
    ],
)
def test_style_sheets_and_scripts_are_read_too(
    tool: ModuleType, tmp_path: Path, name: str, text: str
) -> None:
    (wrong,) = tool.check(site(tmp_path, **{name: text}))
    assert "asks another host" in wrong


def test_links_that_a_browser_does_not_load_may_lead_out(tool: ModuleType, tmp_path: Path) -> None:
    body = '<link rel="canonical" href="https://a.org/"><a href="mailto:a@b.org">mail</a>'
    assert tool.check(site(tmp_path, body)) == []


def test_an_empty_folder_is_no_site(tool: ModuleType, tmp_path: Path) -> None:
    (wrong,) = tool.check(tmp_path)
    assert "no page" in wrong
