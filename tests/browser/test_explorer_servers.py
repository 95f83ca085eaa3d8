"""The explorer in JupyterLab, where its selection is Python's, and on the dashboard."""

import json
import sys
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.driving import (
    ROOT,
    TOKEN,
    contrast,
    free_port,
    lab,
    needs_chromium,
    run_all,
    server,
    shot,
)
from tests.browser.pointing import counts, drag, plane, status

pytestmark = needs_chromium

CELLS = (
    "import numpy as np, toastlab\n"
    "from toastlab.widgets import Explorer\n"
    "labels = np.arange(600) % 4\n"
    "logits = np.random.default_rng(0).normal(size=(5, 600, 4)) + 2 * np.eye(4)[labels]\n"
    "explorer = Explorer(toastlab.analyse(logits, labels))\nexplorer",
    "import ipywidgets\n"
    "said = ipywidgets.HTML()\n"
    "def tell(change):\n"
    "    ids = explorer.selected\n"
    "    said.value = f'Python has {len(ids)}, the first is {ids[0]}' if ids else 'none'\n"
    "explorer.observe(tell, 'selection')\nsaid",
)


def test_jupyterlab_gives_the_selection_to_python(page: Page, tmp_path: Path) -> None:
    about: dict[str, object] = {
        "cell_type": "code",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
    }
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook = {"metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    cells = [{**about, "source": code} for code in CELLS]
    (tmp_path / "explorer.ipynb").write_text(json.dumps({**notebook, "cells": cells}))
    with lab(tmp_path, tmp_path / "explorer.ipynb", "JupyterLab Dark") as address:
        explorer = run_all(page, address, "explorer", ".tl-explorer")
        expect(status(explorer)).to_contain_text("600 of 600 samples shown")
        assert contrast(explorer.locator("h3").first) > 4.5, "in the dark theme"
        canvas = plane(explorer, "Data map")
        drag(page, canvas, (0.15, 0.05), (0.95, 0.05), (0.95, 0.45), (0.15, 0.45))
        expect(status(explorer)).not_to_contain_text(", 0 selected")
        chosen = counts(explorer)[1]
        assert 100 < chosen < 600
        expect(page.get_by_text(f"Python has {chosen}, the first is")).to_be_visible()
        canvas.focus()
        page.keyboard.press("ArrowDown")  # JupyterLab would go to the next cell
        expect(explorer.locator("section header span").last).not_to_have_text(
            "click a point or an image"
        )
        page.keyboard.press("Escape")
        expect(page.get_by_text("none", exact=True)).to_be_visible()
        explorer.get_by_role("slider", name="epoch").fill("2")
        expect(explorer.locator("output")).to_have_text("epoch 3 of 5")
        shot(page, "explorer-lab")
        expect(page.locator('[data-mime-type="application/vnd.jupyter.error"]')).to_have_count(0)


def test_the_dashboard_shows_it(page: Page, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "toastlab", "dashboard", "--store", str(tmp_path / "runs")]
    command += ["--port", str(port), "--no-open-browser"]
    with server(command, tmp_path, port, "login") as address:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/?token={TOKEN}")
        explorer = page.locator(".tl-explorer")
        expect(status(explorer)).to_contain_text("6,000 of 6,000 samples shown")
        canvas = plane(explorer, "Data map")
        drag(page, canvas, (0.15, 0.5), (0.5, 0.5), (0.5, 0.85), (0.15, 0.85))
        expect(status(explorer)).not_to_contain_text(", 0 selected")
        chosen = counts(explorer)[1]
        page.wait_for_timeout(2000)  # time for a kernel that would take it back
        assert counts(explorer)[1] == chosen > 100
        explorer.get_by_role("combobox", name="region").select_option("label flipped")
        expect(status(explorer)).not_to_contain_text("6,000 of 6,000")
        shot(page, "explorer-dashboard")
        own = (f"{address}/", f"blob:{address}/", "data:")
        assert not [url for url in asked if not url.startswith(own)]
        assert ROOT.name not in page.locator(".tl-explorer").inner_text()
