"""The browser of the tests here, pages in it, and a saved explorer."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import toastlab
from tests.browser.driving import CHROMIUM, SECONDS, shot
from toastlab import Analysis
from toastlab.course.runs import course_runs, course_store
from toastlab.studies.layouts import load_layouts
from toastlab.widgets import Explorer
from toastlab.widgets.explorer.places import stored


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    yield page
    shot(page, "last-seen")  # of a test that fails: what it was looking at
    context.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Analysis, Path]:
    """The course's TOAST run as a page, with the stored t-SNE."""
    runs = course_runs(course_store())
    analysis = toastlab.analyse(runs["TOAST"])
    places = stored(load_layouts(runs), "TOAST", len(analysis.table))
    folder = tmp_path_factory.mktemp("page")
    return analysis, Explorer(analysis, places=places).save(folder / "map.html")


@pytest.fixture
def alone(browser: Browser) -> Iterator[Page]:
    """A page without a network."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    yield page
    shot(page, "last-seen-explorer")
    context.close()
