"""A real browser against a real JupyterLab and the dashboard, each with its token.

Everything here waits for what it wants to see, with time enough for a machine whose cores are all
busy; how fast something answers is held where no browser stands between (test_ablation_panel). What
servers of others write to their logs is not looked at: they complain about slow machines.

Screenshots are kept in `test-artifacts/`, which git ignores.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "test-artifacts"
TOKEN = "a-token-for-the-test"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

SECONDS = 300  # until a server answers or something is seen, on a machine that is busy
expect.set_options(timeout=1000 * SECONDS)

LAB_SETTINGS: dict[str, dict[str, object]] = {
    # every cell is there, whether in view or not; nothing asks anything over the page
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
}

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here; on Debian: apt-get install chromium"
)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def server(command: list[str], folder: Path, port: int, ready: str) -> Iterator[str]:
    """Starts a server with the token and ends it with all its children."""
    address = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "JUPYTER_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            end = time.monotonic() + SECONDS
            while True:
                said = (folder / "server.log").read_text()
                assert process.poll() is None, said
                assert time.monotonic() < end, said
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{address}/{ready}?token={TOKEN}", timeout=30).close()
                    break
                time.sleep(0.3)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 900})
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    yield page
    shot(page, "last-seen")  # of a test that fails: what it was looking at
    context.close()


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
    expect(control(panel, "medoid weight a").locator(".widget-readout")).to_have_text("0.6")
    expect(handle).to_have_attribute("aria-valuetext", "0.6")
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


@contextlib.contextmanager
def lab(folder: Path, name: str, theme: str = "JupyterLab Light") -> Iterator[str]:
    """JupyterLab on a copy of a notebook and what it reads."""
    (folder / "notebooks").mkdir()
    (folder / "data").symlink_to(ROOT / "data")
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", folder / "notebooks")
    settings = folder / "settings"
    chosen = {"apputils-extension/themes": {"theme": theme}}
    for place, value in {**LAB_SETTINGS, **chosen}.items():
        file = settings / "@jupyterlab" / f"{place}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    port = free_port()
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--allow-root", f"--ServerApp.root_dir={folder}"]
    command += [f"--LabApp.user_settings_dir={settings}", "--LabApp.news_url=None"]
    with server(command, folder, port, "api/status") as address:
        yield address


def run_all(page: Page, address: str, name: str) -> Locator:
    """Opens the notebook, runs all of it, and returns its panel."""
    page.goto(f"{address}/lab/workspaces/test/tree/notebooks/{name}.ipynb?token={TOKEN}&reset")
    idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    idle.wait_for()
    # the indicator is idle before there is a kernel; the status bar knows
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle")
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    panel = page.locator(".jp-OutputArea-output .widget-vbox").first
    panel.wait_for()
    idle.wait_for()
    panel.scroll_into_view_if_needed()
    expect(panel.locator("img.widget-image")).to_be_visible()
    return panel


def test_jupyterlab_runs_the_ablation_notebook(page: Page, tmp_path: Path) -> None:
    with lab(tmp_path, "07_ablation") as address:
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{address}/api/contents")
        use_ablation(page, run_all(page, address, "07_ablation"), "lab")
        expect(page.locator('[data-mime-type="application/vnd.jupyter.error"]')).to_have_count(0)


def contrast(text: Locator) -> float:
    """Of a text to the ground it stands on, as the page shows it (WCAG 2)."""
    found = text.evaluate(
        """(part) => {
            const light = (colour) => {
                const linear = colour.match(/[0-9.]+/g).slice(0, 3).map(x => x / 255)
                    .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
                return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
            };
            const clear = (at) => /transparent|, 0\\)$/.test(getComputedStyle(at).backgroundColor);
            let ground = part;
            while (clear(ground)) ground = ground.parentElement;
            const both = [getComputedStyle(part).color, getComputedStyle(ground).backgroundColor];
            const [low, high] = both.map(light).sort((a, b) => a - b);
            return (high + 0.05) / (low + 0.05);
        }"""
    )
    return float(found)


def test_jupyterlab_moves_and_takes_typed_numbers(page: Page, tmp_path: Path) -> None:
    """In the dark theme, so that what is refused can be read there, too."""
    with lab(tmp_path, "02_soft_targets", "JupyterLab Dark") as address:
        panel = run_all(page, address, "02_soft_targets")
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
