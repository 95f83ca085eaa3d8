"""What the tests with a real browser share: servers, JupyterLab on a notebook, and what to look at.

Everything here waits for what it wants to see, with time enough for a machine whose cores are all
busy. Screenshots are kept in `test-artifacts/`, which git ignores.
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
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "test-artifacts"
TOKEN = "a-token-for-the-test"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

SECONDS = 300  # until a server answers or something is seen, on a machine that is busy
expect.set_options(timeout=1000 * SECONDS)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here; on Debian: apt-get install chromium"
)

LAB_SETTINGS: dict[str, dict[str, object]] = {
    # every cell is there, whether in view or not; nothing asks anything over the page
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
}


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


def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


@contextlib.contextmanager
def lab(folder: Path, notebook: Path, theme: str = "JupyterLab Light") -> Iterator[str]:
    """JupyterLab on a copy of a notebook and what it reads."""
    (folder / "notebooks").mkdir()
    (folder / "data").symlink_to(ROOT / "data")
    shutil.copy(notebook, folder / "notebooks")
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


def run_all(page: Page, address: str, name: str, shows: str) -> Locator:
    """Opens the notebook, runs all of it, and returns the first output that is `shows`."""
    page.goto(f"{address}/lab/workspaces/test/tree/notebooks/{name}.ipynb?token={TOKEN}&reset")
    idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    idle.wait_for()
    # the indicator is idle before there is a kernel; the status bar knows
    expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle")
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    shown = page.locator(f".jp-OutputArea-output {shows}").first
    shown.wait_for()
    idle.wait_for()
    shown.scroll_into_view_if_needed()
    return shown


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
