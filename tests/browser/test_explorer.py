"""A saved explorer in a real browser: opened from disk, without a network."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.driving import SECONDS, contrast, needs_chromium, shot
from tests.browser.pointing import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    counts,
    download,
    drag,
    in_map,
    opened,
    picture,
    plane,
    status,
    tiles,
)
from toastlab import Analysis

pytestmark = needs_chromium
WIDTHS = (1024, 1280)


def test_hover_shows_the_sample(saved: tuple[Analysis, Path], alone: Page) -> None:
    analysis, path = saved
    wrong = opened(alone, path)
    table = analysis.table
    row = int(table.variability.to_numpy().argmax())  # alone at the right edge of the map
    canvas = plane(alone, "Data map")
    x, y = in_map(canvas, table.variability[row], table.confidence[row])
    canvas.hover(position={"x": x, "y": y})
    tip = alone.locator(".tl-tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text(str(table.id[row]))
    expect(tip.locator("dd").first).to_contain_text(table.label_name[row])
    expect(tip).to_contain_text("predicted")
    pixels = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 84, 84).data]"
    image = tip.locator("canvas").evaluate(pixels)
    shown = np.array(image).reshape(84, 84, 4)[1::3, 1::3, 0]  # three pixels for one
    assert np.array_equal(shown, analysis.images_at(np.array([row]))[0, 0]), "its own image"
    x, y = in_map(canvas, 0.48, 0.95)  # above what any sample can reach
    canvas.hover(position={"x": x, "y": y})
    expect(tip).to_be_hidden()
    assert wrong == []


def test_lasso_selects_what_lies_within(saved: tuple[Analysis, Path], alone: Page) -> None:
    """And the CSV has these samples, the least sure first."""
    analysis, path = saved
    wrong = opened(alone, path)
    table = analysis.table
    canvas = plane(alone, "Data map")
    box = canvas.bounding_box()
    assert box
    (left, top), (right, bottom) = in_map(canvas, 0.08, 0.4), in_map(canvas, 0.22, 0.1)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    drag(alone, canvas, *[(x / box["width"], y / box["height"]) for x, y in corners])
    expect(status(alone)).not_to_contain_text(", 0 selected")
    rows = list(csv.DictReader(io.StringIO(download(alone, "CSV").decode())))
    found = {int(row["id"]) for row in rows}
    pixel = (0.53 / (box["width"] - LEFT - RIGHT), 1.04 / (box["height"] - TOP - BOTTOM))

    def inside(pixels: float) -> set[int]:
        x, y = (pixels * size for size in pixel)
        v, c = table.variability, table.confidence
        return set(table.id[v.between(0.08 + x, 0.22 - x) & c.between(0.1 + y, 0.4 - y)])

    assert inside(2) <= found <= inside(-2)
    assert len(inside(2)) > 100
    assert counts(alone) == (6000, len(found))
    scores = [float(row["confidence"]) for row in rows]
    assert scores == sorted(scores)
    expect(tiles(alone).first).to_have_attribute("aria-selected", "true")
    tsne = plane(alone, "t-SNE")
    drag(alone, tsne, (0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99))
    expect(status(alone)).to_contain_text("600 selected")
    alone.keyboard.down("Alt")
    drag(alone, tsne, (0.01, 0.01), (0.5, 0.01), (0.5, 0.99), (0.01, 0.99))
    alone.keyboard.up("Alt")
    expect(status(alone)).not_to_contain_text("600 selected")
    fewer = counts(alone)[1]
    assert 0 < fewer < 600
    alone.keyboard.down("Shift")
    drag(alone, tsne, (0.01, 0.01), (0.5, 0.01), (0.5, 0.99), (0.01, 0.99))
    alone.keyboard.up("Shift")
    expect(status(alone)).to_contain_text("600 selected")
    assert wrong == []


def test_filters_hide_and_a_click_selects(saved: tuple[Analysis, Path], alone: Page) -> None:
    analysis, path = saved
    opened(alone, path)
    table = analysis.table
    alone.get_by_role("checkbox", name="Sandal").uncheck()
    without = int((table.label_name != "Sandal").sum())
    expect(status(alone)).to_contain_text(f"{without:,} of 6,000 samples shown")
    alone.get_by_role("combobox", name="score").select_option("AUM")
    alone.get_by_role("spinbutton", name="to").fill("0")
    alone.get_by_role("spinbutton", name="to").press("Enter")
    low = (table.label_name != "Sandal") & (table.aum.astype(np.float32) <= 0)
    expect(status(alone)).to_contain_text(f"{int(low.sum()):,} of 6,000 samples shown")
    alone.get_by_role("combobox", name="region").select_option("label flipped")
    both = low & table.flipped
    expect(status(alone)).to_contain_text(f"{int(both.sum()):,} of 6,000 samples shown")
    least = int(table.aum.where(both).to_numpy(np.float64, na_value=np.inf).argmin())
    first = tiles(alone).first
    assert (first.get_attribute("aria-label") or "").startswith(f"{table.id[least]}: ")
    first.click()
    expect(alone.locator("section", has_text="Sample")).to_contain_text(str(table.id[least]))
    alone.get_by_role("button", name="all / none").click()
    alone.get_by_role("combobox", name="region").select_option("all")
    alone.get_by_role("spinbutton", name="to").fill("")
    alone.get_by_role("spinbutton", name="to").press("Enter")
    expect(status(alone)).to_contain_text("6,000 of 6,000 samples shown")
    row = int(table.variability.to_numpy().argmax())
    canvas = plane(alone, "Data map")
    x, y = in_map(canvas, table.variability[row], table.confidence[row])
    canvas.click(position={"x": x, "y": y})
    expect(status(alone)).to_contain_text("1 selected")
    only = alone.locator("[role=option][aria-selected=true]:visible")
    expect(only).to_have_count(1)
    assert (only.get_attribute("aria-label") or "").startswith(f"{table.id[row]}: ")


def test_epochs_play_and_move_everything(saved: tuple[Analysis, Path], alone: Page) -> None:
    opened(alone, saved[1])
    both = [plane(alone, name) for name in ("Data map", "t-SNE")]
    over = "above => above.toDataURL()"  # where the medoids are
    before = [*map(picture, both), both[0].evaluate(over)]
    slider = alone.get_by_role("slider", name="epoch")
    slider.focus()
    slider.press("Home")
    expect(alone.locator("output")).to_have_text("epoch 1 of 30")
    first = [*map(picture, both), both[0].evaluate(over)]
    assert all(a != b for a, b in zip(before, first, strict=True))
    slider.press("End")
    expect(alone.locator("output")).to_have_text("epoch 30 of 30")
    assert [*map(picture, both), both[0].evaluate(over)] == before, (
        "the same epoch, the same picture"
    )
    both[0].focus()
    alone.keyboard.press("Space")  # from the last epoch it begins anew
    expect(alone.get_by_role("button", name="Pause")).to_be_visible()
    expect(alone.locator("output")).to_have_text(re.compile(r"epoch ([2-9]|[12]\d) of 30"))
    alone.keyboard.press("Space")
    expect(alone.get_by_role("button", name="Play")).to_be_visible()
    at = alone.locator("output").text_content()
    alone.wait_for_timeout(900)
    assert alone.locator("output").text_content() == at, "it has stopped"
    curve = alone.locator(".tl-curve")
    box = curve.bounding_box()
    assert box
    curve.click(position={"x": 34, "y": 60})
    expect(alone.locator("output")).to_have_text("epoch 1 of 30")


def test_what_is_being_typed_outlives_what_is_drawn(
    saved: tuple[Analysis, Path], alone: Page
) -> None:
    analysis, path = saved
    opened(alone, path)
    slider, epoch = alone.get_by_role("slider", name="epoch"), alone.locator("output")
    slider.press("Home")
    expect(epoch).to_have_text("epoch 1 of 30")
    alone.get_by_role("button", name="Play").click()
    least = alone.get_by_role("spinbutton", name="from")
    least.press_sequentially("0.5")
    expect(epoch).to_have_text(re.compile(r"epoch ([4-9]|[12]\d) of 30"))
    expect(least).to_have_value("0.5")
    least.press("Enter")
    sure = int((analysis.table.confidence.astype(np.float32) >= 0.5).sum())
    expect(status(alone)).to_contain_text(f"{sure:,} of 6,000 samples shown")


def test_everything_can_be_done_by_keyboard(saved: tuple[Analysis, Path], alone: Page) -> None:
    analysis, path = saved
    opened(alone, path)
    seen = []
    for _ in range(32):  # buttons, lists, fields, a box for each of ten classes, planes, gallery
        alone.keyboard.press("Tab")
        at = "document.activeElement"
        seen.append(alone.evaluate(f"{at}.getAttribute('role') || {at}.name"))
    order = ["play", "epoch", "some", "colour", "score", "low", "classes", "application", "listbox"]
    places = [seen.index(name) for name in order]
    assert places == sorted(places), "in the order in which they stand"
    canvas = plane(alone, "Data map")
    canvas.focus()
    alone.keyboard.press("ArrowDown")  # no sample yet: the first of the gallery
    title = alone.locator("section header span").last
    table = analysis.table
    first = int(table.confidence.to_numpy(np.float32).argmin())
    expect(title).to_have_text(str(table.id[first]))
    alone.keyboard.press("ArrowUp")
    expect(title).not_to_have_text(str(table.id[first]))
    row = int(table.index[table.id == int(title.text_content() or 0)][0])
    assert table.confidence[row] > table.confidence[first], "above it"
    alone.keyboard.press("Enter")
    expect(status(alone)).to_contain_text("1 selected")
    alone.keyboard.press("ArrowRight")
    alone.keyboard.press("Shift+Enter")
    expect(status(alone)).to_contain_text("2 selected")
    alone.keyboard.press("Escape")
    expect(status(alone)).to_contain_text(", 0 selected")
    alone.keyboard.press("Escape")
    expect(title).to_have_text("click a point or an image")
    gallery = alone.get_by_role("listbox")
    gallery.focus()
    alone.keyboard.press("ArrowRight")
    expect(title).to_have_text(str(table.id[first]))
    alone.keyboard.press("ArrowRight")
    expect(title).not_to_have_text(str(table.id[first]))
    expect(gallery).to_have_attribute("aria-activedescendant", "tl-0-1")


def test_a_link_and_a_picture_keep_what_is_seen(saved: tuple[Analysis, Path], alone: Page) -> None:
    _, path = saved
    opened(alone, path)
    alone.get_by_role("combobox", name="colour").select_option("prediction")
    alone.get_by_role("combobox", name="region").select_option("hard (unsure, steady)")
    alone.get_by_role("button", name="Select all shown").click()
    alone.get_by_role("slider", name="epoch").fill("9")
    expect(alone.locator("output")).to_have_text("epoch 10 of 30")
    kept = counts(alone)
    image = Image.open(io.BytesIO(download(alone, "PNG")))
    assert image.size[0] == 1280
    assert len(image.convert("RGB").getcolors(2**24) or []) > 100, "not empty"
    alone.get_by_role("button", name="Link").click()
    link = alone.get_by_role("textbox", name="state").input_value()
    assert link.startswith(path.as_uri() + "#")
    other = alone.context.new_page()
    other.goto(link)
    expect(other.locator("output")).to_have_text("epoch 10 of 30")
    expect(other.get_by_role("combobox", name="colour")).to_have_value("prediction")
    expect(status(other)).to_contain_text(f"{kept[1]:,} selected")
    odd = json.dumps({"view": {"score": "x", "epoch": 99}, "selected": [-1]})
    for bad in ("nonsense", odd):
        other.goto("about:blank")
        assert opened(other, path, f"#{bad}") == [], "a link that does not fit is no error"
        expect(other.locator("output")).to_have_text("epoch 30 of 30")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_legible(
    saved: tuple[Analysis, Path], browser: Browser, width: int, theme: str
) -> None:
    view = {"width": width, "height": 900}
    context = browser.new_context(viewport=view, color_scheme=theme, offline=True)
    page = context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    opened(page, saved[1])
    tiles(page).nth(2).click()
    colour = "e => getComputedStyle(e).backgroundColor.match(/\\d+/g)"
    ground = page.locator(".tl-explorer").evaluate(colour)
    assert (max(map(int, ground)) < 64) == (theme == "dark")
    for part in ("h3", "dd", "output", "p[role=status]", ".tl-chips label", ".tl-tiles span"):
        assert contrast(page.locator(part).first) > 4.5, part
    wide, there = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide <= there, "nothing hangs out at the side"
    shot(page, f"explorer-{width}-{theme}")
    page.emulate_media(color_scheme="light" if theme == "dark" else "dark")
    pixel = "e => [...e.previousElementSibling.getContext('2d').getImageData(50, 12, 1, 1).data]"
    canvas = plane(page, "t-SNE")
    dark = str(theme == "light").lower()
    now = f"(e) => (({pixel})(e)[0] < 64) === {dark}"
    page.wait_for_function(now, arg=canvas.element_handle())  # and drawn again at once
    context.close()
