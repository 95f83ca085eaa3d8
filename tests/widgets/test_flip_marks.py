"""What marks a flipped label has a colour that no class has: in the figure and in the explorer."""

import re
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb

import toastlab.widgets.explorer as explorer
from toastlab.plots.embedding import RING
from toastlab.widgets.explorer.data import palette

CLEAR = 60  # of 255: how far apart two colours are at least, in one of red, green and blue


def apart(colour: list[int], classes: int) -> int:
    """How far it is from the nearest colour of a class."""
    far = np.abs(np.array(palette(classes)) - colour).max(1)
    return int(far.min())


def test_a_ring_in_the_t_sne_figure() -> None:
    assert apart([round(255 * x) for x in to_rgb(RING)], 10) >= CLEAR


def test_a_ring_in_the_explorer() -> None:
    web = Path(explorer.__file__).parent / "web"
    found = re.search(r"FLAG = \[(\d+), (\d+), (\d+)\]", (web / "plot.js").read_text("utf-8"))
    assert found
    colour = [int(x) for x in found.groups()]
    assert apart(colour, 10) >= CLEAR
    assert apart(colour, 100) > 20
    in_gallery = "#" + "".join(f"{x:02x}" for x in colour)
    assert f"tl-flipped canvas {{ outline: 2px solid {in_gallery}; }}" in (
        web / "explorer.css"
    ).read_text("utf-8")
