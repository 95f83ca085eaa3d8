"""A real browser against a real JupyterLab and the dashboard, each with its token.

How fast something answers is held where no browser stands between (test_ablation_panel). What
servers of others write to their logs is not looked at: they complain about slow machines.
"""

import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.driving import (
    ROOT,
    SECONDS,
    TOKEN,
    contrast,
    free_port,
    lab,
    needs_chromium,
    run_all,
    server,
    shot,
)

NOTEBOOKS = ROOT / "notebooks"
pytestmark = needs_chromium


def shown_blob(page: Page, panel: Locator) -> str:
    """The picture's bytes as they reached the browser."""
    found = page.evaluate(
        """async (image) => {
            const bytes = await (await fetch(image.src)).arrayBuffer();
            const digest = await crypto.subtle.digest('SHA-256', bytes);
            return Array.from(new Uint8Array(digest)).map(b => b.toString(16)).join('');
        }""",
        panel.locator("img.widget-image").element_handle(),
    )
    return str(found)


def changes(page: Page, panel: Locator, before: str, seconds: float = SECONDS) -> str:
    end = time.monotonic() + seconds
    while (now := shown_blob(page, panel)) == before:
        assert time.monotonic() < end, "the picture did not change"
        page.wait_for_timeout(100)
    return now


def control(panel: Locator, label: str) -> Locator:
    return panel.locator(".widget-inline-hbox", has=panel.page.get_by_text(label, exact=True))


def use_ablation(page: Page, panel: Locator, name: str) -> None:
    """Moves a slider by keyboard, chooses from a list, trains live, stops."""
    expect(panel.get_by_role("img", name=re.compile("^test top-1 accuracy"))).to_be_visible()
    before = shown_blob(page, panel)
    # found by role and name, as a screen reader finds it
    handle = panel.get_by_role("slider", name="medoid weight a", exact=True)
    expect(handle).to_have_attribute("aria-valuetext", "0.3")
    handle.focus()
    handle.press("ArrowRight")
    expect(control(panel, "medoid weight a").locator(".widget-readout")).to_have_text("0.5")
    expect(handle).to_have_attribute("aria-valuetext", "0.5")
    after = changes(page, panel, before)
    handle.press("ArrowLeft")
    expect(control(panel, "medoid weight a").locator(".widget-readout")).to_have_text("0.3")
    assert changes(page, panel, after) == before, "the same setting, the same picture"
    select = panel.get_by_role("combobox", name="measure")
    expect(select).to_have_attribute("title", "what is compared")
    select.select_option("test NLL")
    nll = changes(page, panel, before)
    expect(panel).to_contain_text("test NLL (nats), mean of stored runs")
    expect(panel.get_by_role("img", name=re.compile("^test NLL"))).to_be_visible()
    shot(page, f"{name}-looked-up")

    panel.get_by_role("button", name="Train this setting").click()
    live = changes(page, panel, nll)
    shot(page, f"{name}-training")
    stop = panel.get_by_role("button", name="Stop")
    if stop.is_enabled():
        stop.click()
        expect(panel.get_by_text(re.compile("Stopped|Done"))).to_be_visible()
    expect(panel.get_by_role("button", name="Train this setting")).to_be_enabled()
    assert shown_blob(page, panel) != nll
    assert live
    shot(page, f"{name}-stopped")


def run_panel(page: Page, address: str, name: str) -> Locator:
    """Opens the notebook, runs all of it, and returns its panel."""
    panel = run_all(page, address, name, ".widget-vbox")
    expect(panel.locator("img.widget-image")).to_be_visible()
    return panel


def test_jupyterlab_runs_the_ablation_notebook(page: Page, tmp_path: Path) -> None:
    with lab(tmp_path, NOTEBOOKS / "07_ablation.ipynb") as address:
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{address}/api/contents")
        use_ablation(page, run_panel(page, address, "07_ablation"), "lab")
        expect(page.locator('[data-mime-type="application/vnd.jupyter.error"]')).to_have_count(0)


def test_jupyterlab_moves_and_takes_typed_numbers(page: Page, tmp_path: Path) -> None:
    """In the dark theme, so that what is refused can be read there, too."""
    with lab(tmp_path, NOTEBOOKS / "02_soft_targets.ipynb", "JupyterLab Dark") as address:
        panel = run_panel(page, address, "02_soft_targets")
        name = "temperature T_m"
        handle = panel.get_by_role("slider", name=name, exact=True)
        field = panel.get_by_role("textbox", name=re.compile(name))
        expect(field).to_have_value("2")
        begun = shown_blob(page, panel)
        handle.focus()
        handle.press("ArrowRight")
        expect(field).to_have_value("2.25")
        moved = changes(page, panel, begun)
        handle.press("ArrowLeft")
        expect(field).to_have_value("2")
        assert changes(page, panel, moved) == begun, "back where it began"
        for typed, value in (("7.5", "7.5"), ("0,5", "0.5"), ("2", "2")):
            field.fill(typed)
            field.press("Enter")
            picture = panel.get_by_role("img", name=re.compile(f"at T = {re.escape(value)} the"))
            expect(picture).to_be_visible()
            expect(field).to_have_value(value)
        field.fill("1000")
        field.press("Enter")
        refused = panel.get_by_role("alert")
        expect(refused).to_have_text(
            "'1000' is no number from 0.25 to 10; temperature T_m stays 2."
        )
        expect(field).to_have_value("2")
        assert contrast(panel.locator("small").first) > 4.5, "dark, and measured as it is seen"
        assert contrast(refused.locator("b")) > 4.5
        shot(page, "lab-typed")
        handle.focus()
        handle.press("ArrowRight")
        expect(panel).to_contain_text("at T = 2.25 the medoid's soft target")
        expect(refused).to_have_count(0)


def test_dashboard(page: Page, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "toastlab", "dashboard", "--store", str(tmp_path / "runs")]
    command += ["--port", str(port), "--no-open-browser"]
    with server(command, tmp_path, port, "login") as address:
        place = f"{address}/"
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(place)
        expect(page).to_have_url(re.compile(r"/login\?next="))  # nobody is served without a token
        expect(page.locator(".widget-vbox")).to_have_count(0)
        page.goto(f"{place}?token={TOKEN}")
        page.locator("img.widget-image").nth(1).wait_for()
        expect(page.locator(".jp-InputArea-editor")).to_have_count(0)  # no code
        assert "AblationPanel" not in page.content()
        panels = page.locator(".widget-vbox:has(> .widget-image)")
        expect(panels).to_have_count(2)
        use_ablation(page, panels.nth(0), "dashboard")
        samples = panels.nth(1)
        samples.scroll_into_view_if_needed()
        before = shown_blob(page, samples)
        control(samples, "show").locator("select").select_option("data map")
        changes(page, samples, before)
        shot(page, "dashboard-samples")
        # nothing selected: neither a picture nor words of before
        samples.get_by_role("combobox", name="region").select_option("easy (sure, steady)")
        handle = samples.get_by_role("slider", name="probability below", exact=True)
        handle.focus()
        handle.press("Home")
        expect(samples.locator(".toastlab-sentence")).to_contain_text("No sample is selected")
        expect(samples.locator("img")).to_be_hidden()
        expect(samples).not_to_contain_text("samples are selected")
        handle.press("End")
        expect(samples.locator("img")).to_be_visible()
        shot(page, "dashboard-selected")
        own = (f"{address}/", f"blob:{address}/", "data:")
        assert not [url for url in asked if not url.startswith(own)]
