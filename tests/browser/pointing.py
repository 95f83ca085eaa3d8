"""Hands and eyes of the explorer's tests: open its page, point, draw around points, read."""

import re
from pathlib import Path

from playwright.sync_api import Download, Locator, Page, expect

# Of the data map: what lies around it, and what values its edges have, as in explorer.js.
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 6, 34
LOW, HIGH = (-0.01, -0.02), (0.52, 1.02)


def opened(page: Page, path: Path, state: str = "") -> list[str]:
    """Opens the page from disk and waits until it is drawn; what went wrong, and other addresses
    that were asked for, come into the list."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    own = (path.as_uri(), f"blob:{path.as_uri()[:7]}", "blob:null", "data:")
    page.on("request", lambda r: None if r.url.startswith(own) else wrong.append(r.url))
    page.goto(path.as_uri() + state)
    expect(status(page)).to_contain_text("samples shown")
    return wrong


def status(page: Page | Locator) -> Locator:
    return page.locator("p[role=status]")


def plane(page: Page | Locator, name: str) -> Locator:
    return page.get_by_role("application", name=name)


def tiles(page: Page) -> Locator:
    return page.locator("[role=listbox] > [role=option]")


def counts(page: Page | Locator) -> tuple[int, int]:
    """Samples that are shown, and selected."""
    text = (status(page).text_content() or "").replace(",", "")
    found = re.match(r"(\d+) of \d+ samples shown (\d+) selected", text)
    assert found, text
    return int(found[1]), int(found[2])


def drag(page: Page, canvas: Locator, *points: tuple[float, float]) -> None:
    """Draws around points, given as parts of the canvas."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    for i, (x, y) in enumerate((*points, points[0])):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
        if i == 0:
            page.mouse.down()
    page.mouse.up()


def in_map(canvas: Locator, variability: float, confidence: float) -> tuple[float, float]:
    """Pixels within the canvas of the data map."""
    box = canvas.bounding_box()
    assert box
    # the border is no part of the canvas
    x = LEFT + (variability - LOW[0]) / (HIGH[0] - LOW[0]) * (box["width"] - LEFT - RIGHT)
    part = (confidence - LOW[1]) / (HIGH[1] - LOW[1])
    return x, box["height"] - BOTTOM - part * (box["height"] - TOP - BOTTOM)


def download(page: Page, button: str) -> bytes:
    with page.expect_download() as found:
        page.get_by_role("button", name=button, exact=True).click()
    file: Download = found.value
    return Path(file.path()).read_bytes()


def picture(canvas: Locator) -> str:
    """What a plane shows, as the pixels of its lower canvas."""
    return str(canvas.evaluate("above => above.previousElementSibling.toDataURL()"))
