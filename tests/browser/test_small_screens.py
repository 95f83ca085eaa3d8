"""Dashboard and saved explorer on a phone held upright, and every panel in JupyterLab at 1024 px.

What is measured is the page as the browser lays it out: what stands where, how high it is to a
finger, and how large the letters of the pictures are.
"""

import json
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.driving import (
    SECONDS,
    TOKEN,
    free_port,
    lab,
    needs_chromium,
    run_all,
    server,
    shot,
)
from tests.browser.pointing import counts, opened, status, tiles
from toastlab import Analysis
from toastlab.plots.style import NARROW

pytestmark = needs_chromium

PHONE = {"width": 412, "height": 915}
TOUCHED = (
    "select, button, input:not([type=checkbox]), .noUi-touch-area, .tl-chips label, "
    ".toastlab-control"
)
FINGER = 40  # pixels
LETTERS = 8.5  # pixels, "about 9"
# name -> left, right, height and what it is, of all that is seen
BOXES = """(parts) => parts
    .filter(part => part.checkVisibility() && part.getBoundingClientRect().width > 0)
    .map(part => {
        const {left, right, top, bottom, height} = part.getBoundingClientRect();
        const what = `${part.tagName} ${part.className} ${part.name ?? ''}`;
        return {left, right, top, bottom, height, what};
    })"""
PANELS = """
from toastlab.course.runs import course_data, course_runs, course_store
from toastlab.widgets import *
data, runs = course_data(), course_runs(course_store())
""".strip()
EACH = {
    "targets": "TargetPanel(runs['TOAST'], data)",
    "medoids": "MedoidPanel(runs['TOAST'], data)",
    "samples": "SamplePanel(runs['TOAST'], data)",
    "readings": "ReadingPanel(runs['TOAST'], data)",
    "tsne": "TsnePanel(runs, data)",
    "ablation": "AblationPanel()",
    "regime": "RegimePanel()",
}


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True
    )
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    yield page
    shot(page, "last-seen-phone")
    context.close()


def boxes(page: Page | Locator, parts: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.locator(parts).evaluate_all(BOXES)
    assert found, parts
    return found


def fits_a_phone(page: Page) -> None:
    """Nothing is wider than the window, everything to be touched is as high as a finger."""
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"]
    for box in boxes(page, TOUCHED):
        assert box["left"] >= 0, box
        assert box["right"] <= PHONE["width"], box
        assert box["height"] >= FINGER - 0.5, box  # half a pixel is rounding


def legible(picture: Locator) -> None:
    """Its smallest letters as they are seen: 7 points of a narrow figure, 8 of a wide one."""
    drawn, seen = picture.evaluate(
        "p => [Number(p.getAttribute('width')), p.getBoundingClientRect().width]"
    )
    points = 7 if drawn == 100 * NARROW else 8
    assert points * 100 / 72 * seen / drawn >= LETTERS, (drawn, seen)


def narrow(panel: Locator) -> Locator:
    """The panel's picture, once it has been drawn again for a narrow page."""
    picture = panel.locator("img.widget-image")
    expect(picture).to_have_attribute("width", str(round(100 * NARROW)))
    return picture


def apart(found: list[dict[str, Any]]) -> None:
    """No control lies on another."""
    for i, one in enumerate(found):
        for other in found[:i]:
            across = min(one["right"], other["right"]) - max(one["left"], other["left"])
            down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
            assert across <= 0.5 or down <= 0.5, (one, other)


def test_a_saved_explorer_fits_a_phone(phone: Page, saved: tuple[Analysis, Path]) -> None:
    assert opened(phone, saved[1]) == []
    fits_a_phone(phone)
    sections = boxes(phone, ".tl-grid section")
    assert len(sections) == 4
    for above, below in pairwise(sections):
        assert below["top"] >= above["bottom"], "one below the other"
    apart(boxes(phone, ".tl-bar :is(button, select, input[type=number])"))
    phone.get_by_role("button", name="Select all shown").tap()
    expect(status(phone)).to_contain_text(re.compile(r" [1-9][\d,]* selected"))
    shown, selected = counts(phone)
    assert shown == selected > 0
    tiles(phone).first.tap()
    expect(phone.locator("section header span").last).not_to_have_text("click a point or an image")
    fits_a_phone(phone)
    shot(phone, "phone-explorer")


def test_the_dashboard_fits_a_phone(phone: Page, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "toastlab", "dashboard", "--store", str(tmp_path / "runs")]
    command += ["--port", str(port), "--no-open-browser"]
    with server(command, tmp_path, port, "login") as address:
        phone.goto(f"{address}/?token={TOKEN}")
        panels = phone.locator(".toastlab-panel")
        expect(panels).to_have_count(2)
        for panel in panels.all():
            picture = narrow(panel)
            legible(picture)
            box = picture.bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= PHONE["width"]
            controls = boxes(panel, ".toastlab-control")
            apart(controls)
            for control in controls:
                assert control["right"] - control["left"] >= 0.85 * PHONE["width"], control
        expect(status(phone)).to_contain_text("samples shown")
        fits_a_phone(phone)
        shot(phone, "phone-dashboard")

        samples = panels.nth(1)
        said = samples.locator(".toastlab-sentence")
        before = said.inner_text()
        name = "probability below"
        row = samples.locator(".toastlab-control", has=phone.get_by_text(name, exact=True))
        row.scroll_into_view_if_needed()
        box = row.locator(".noUi-base").bounding_box()
        assert box
        phone.touchscreen.tap(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2)
        expect(said).not_to_have_text(before)
        expect(row.locator(".widget-readout")).not_to_have_text("0.50")
        legible(narrow(samples))

        # what a cell may show and a phone is too narrow for: it scrolls, the page does not
        phone.evaluate(
            """() => {
                const table = document.createElement('table');
                table.innerHTML = '<tr>' + '<td>a_long_name_of_a_column</td>'.repeat(20) + '</tr>';
                document.querySelector('#rendered_cells > div').append(table);
            }"""
        )
        fits_a_phone(phone)
        samples.scroll_into_view_if_needed()
        shot(phone, "phone-tapped")


def cell(code: str) -> dict[str, object]:
    about: dict[str, object] = {"cell_type": "code", "metadata": {}, "execution_count": None}
    return {**about, "outputs": [], "source": code}


def test_every_panel_is_legible_in_jupyterlab_at_1024(browser: Browser, tmp_path: Path) -> None:
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook = {"metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    cells = [cell(code) for code in (PANELS, *EACH.values())]
    (tmp_path / "panels.ipynb").write_text(json.dumps({**notebook, "cells": cells}))
    context = browser.new_context(viewport={"width": 1024, "height": 768})
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    with lab(tmp_path, tmp_path / "panels.ipynb") as address:
        run_all(page, address, "panels", ".toastlab-panel")
        panels = page.locator(".jp-OutputArea-output .toastlab-panel")
        expect(panels).to_have_count(len(EACH))
        for name, panel in zip(EACH, panels.all(), strict=True):
            panel.scroll_into_view_if_needed()
            picture = narrow(panel)
            legible(picture)
            expect(panel.locator(".toastlab-sentence")).to_have_text(re.compile(r"\w"))
            area = panel.evaluate(
                "p => p.closest('.jp-OutputArea-output').getBoundingClientRect().right"
            )
            for box in boxes(panel, ".toastlab-control, button, select, label, img, p, small"):
                assert box["right"] <= area, (name, box)
            apart(boxes(panel, ".toastlab-control"))
            cut = "parts => parts.filter(p => p.scrollWidth > p.clientWidth + 1).map(p => p.title)"
            assert panel.locator(".widget-label, .widget-readout").evaluate_all(cut) == [], name
            picture.screenshot(path=tmp_path / f"{name}.png")
            shot(page, f"lab-1024-{name}")
        expect(page.locator('[data-mime-type="application/vnd.jupyter.error"]')).to_have_count(0)
    context.close()
