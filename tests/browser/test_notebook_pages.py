"""The rewritten notebooks as pages: short enough to be read, and nothing wider than the window."""

import importlib
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.driving import ROOT, SECONDS, needs_chromium
from tests.helpers import module_at

pytestmark = needs_chromium

LONGEST = 6000  # pixels, at 1280
NUMBERS = module_at(ROOT / "notebooks" / "readable.py").REWRITTEN
BOOKS = [b for b in sorted((ROOT / "notebooks").glob("*.ipynb")) if b.stem.startswith(NUMBERS)]


@pytest.mark.parametrize("book", BOOKS, ids=lambda p: p.stem)
def test_it_is_not_too_long_and_fits_small_windows(
    browser: Browser, book: Path, tmp_path: Path
) -> None:
    exporter = importlib.import_module("nbconvert").HTMLExporter(template_name="lab")
    file = tmp_path / "page.html"
    file.write_text(exporter.from_filename(str(book))[0], encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollHeight") <= LONGEST
    pictures = page.locator(".jp-RenderedImage img")
    assert pictures.count() >= 3
    for width in (1280, 1024):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for box in pictures.all():
            assert box.evaluate("p => p.getBoundingClientRect().right") <= width
            assert box.evaluate("p => p.naturalWidth") > 400
    context.close()
