"""How soon a visitor of the dashboard sees something: a limit on time, asked for by -m bar."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.driving import SECONDS, needs_chromium
from tests.browser.serving import started
from tests.widgets.test_servers import free_port

pytestmark = needs_chromium

LIMIT = 4.0  # seconds
SHOWN = """() => {
    const pictures = [...document.querySelectorAll('img.widget-image')];
    return pictures.some(picture => picture.offsetParent && picture.naturalWidth > 0);
}"""


def first_picture(browser: Browser, place: str) -> float:
    """Seconds from asking for the page to its first picture, in a browser that has nothing of it
    yet."""
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    try:
        page = context.new_page()
        page.set_default_timeout(1000 * SECONDS)
        begin = time.monotonic()
        page.goto(place, wait_until="commit")
        page.wait_for_function(SHOWN)
        return time.monotonic() - begin
    finally:
        context.close()


@pytest.mark.bar
def test_bar_first_picture(browser: Browser, tmp_path: Path) -> None:
    """For two visitors who come one after the other; that pages are made again is held in
    tests/faults/test_spare.py."""
    store = tmp_path / "runs"
    words = ["dashboard", "--store", str(store), "--port", str(free_port())]
    with started(tmp_path, *words) as (address, word, _):
        place = f"{address}/?token={word}"
        took = [first_picture(browser, place) for _ in range(2)]
        assert max(took) <= LIMIT, took
