"""How wide a panel is: the style sheet that it shares with explorer and dashboard, and its `room`.

A picture of the usual width is legible down to `NEEDED` pixels. Below, the panel's script
(`access`) sets a hidden list of the panel, its room, to narrow, and the kernel draws the picture
again. It is a list like the others, so that the dashboard's visitors may set it and nothing more.
"""

from functools import cache
from pathlib import Path

import ipywidgets as w

CONTROL, ROOM = "toastlab-control", "toastlab-room"  # classes in the style sheet and the script
ROOMS = ("wide", "narrow")
NEEDED = 800  # pixels: there letters of 8 points in a picture of 1,040 pixels are 8.5 pixels high
SHEET = Path(__file__).with_name("sheet.css")


@cache
def sheet() -> str:
    """The style sheet."""
    return SHEET.read_text(encoding="utf-8")


def styled() -> w.HTML:
    """The style sheet as a part of a panel: the page it comes to may be anybody's."""
    return w.HTML(f"<style>{sheet()}</style>", layout=w.Layout(display="none"))


def rooms() -> w.Dropdown:
    """What the page tells the kernel of a panel's width, one of `ROOMS`."""
    room = w.Dropdown(options=ROOMS, layout=w.Layout(display="none"))
    room.add_class(ROOM)
    return room
