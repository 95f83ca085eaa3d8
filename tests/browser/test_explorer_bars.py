"""How fast a saved explorer answers: limits on time, asked for by -m bar on an idle machine."""

from pathlib import Path
from statistics import median

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import toastlab
from tests.browser.driving import needs_chromium
from tests.browser.pointing import in_map, opened, plane, status
from toastlab import Analysis
from toastlab.widgets import Explorer

pytestmark = needs_chromium

# In the page: what was asked happens, and the time until the browser has painted what came of it.
PAINTED = """
window.painted = () => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())));
});
"""


def milliseconds(page: Page, action: str, arg: object) -> float:
    """From an event to the picture: `action` is JavaScript that causes the event with `arg`."""
    code = f"""async (arg) => {{
        const begin = performance.now();
        ({action})(arg);
        return await painted() - begin;
    }}"""
    return float(page.evaluate(code, arg))


@pytest.mark.bar
def test_bar_pointer_and_slider_are_answered_at_once(
    saved: tuple[Analysis, Path], alone: Page
) -> None:
    """Of 6,000 samples, median of 30: 50 ms to the tooltip, 100 ms to the picture, at most."""
    opened(alone, saved[1])
    alone.evaluate(PAINTED)
    move = """([x, y]) => {
        const above = document.querySelector('[role=application]');
        const box = above.getBoundingClientRect();
        const at = {clientX: box.left + x, clientY: box.top + y, bubbles: true};
        above.dispatchEvent(new PointerEvent('pointermove', at));
        if (document.querySelector('.tl-tip').hidden) throw new Error('no tooltip');
    }"""
    canvas, table = plane(alone, "Data map"), saved[0].table
    rows = table.index[:: len(table) // 30][:30]
    at = [in_map(canvas, table.variability[row], table.confidence[row]) for row in rows]
    assert median(milliseconds(alone, move, list(place)) for place in at) <= 50
    slide = """(epoch) => {
        const slider = document.querySelector('[name=epoch]');
        slider.value = epoch;
        slider.dispatchEvent(new Event('input'));
    }"""
    assert median(milliseconds(alone, slide, epoch) for epoch in range(30)) <= 100


@pytest.mark.bar
def test_bar_sixty_thousand_samples_are_lassoed(alone: Page, tmp_path: Path) -> None:
    """At most 200 ms from letting go to the picture, all of them within; median of 10."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 10, 60_000)
    logits = draw.normal(size=(30, 60_000, 10)).astype(np.float16)
    logits[:, np.arange(60_000), labels] += np.float16(2)
    path = Explorer(toastlab.analyse(logits, labels)).save(tmp_path / "large.html")
    opened(alone, path)
    alone.evaluate(PAINTED)
    lasso = """(size) => {
        const above = document.querySelector('[role=application]');
        const box = above.getBoundingClientRect();
        const corners = [[2, 2], [box.width - 2, 2], [box.width - 2, box.height - 2],
            [2, box.height - 2]];
        const send = (kind, [x, y]) => above.dispatchEvent(new PointerEvent(kind,
            {clientX: box.left + x, clientY: box.top + y, bubbles: true, pointerId: size}));
        above.setPointerCapture = () => {};
        send('pointerdown', corners[0]);
        for (const corner of corners) send('pointermove', corner);
        send('pointerup', corners[0]);
    }"""
    times = [milliseconds(alone, lasso, 1) for _ in range(10)]
    expect(status(alone)).to_contain_text("60,000 selected")
    assert median(times) <= 200
