"""What all panels share: controls, one picture, one sentence, one line for errors.

A control's change redraws the picture by setting its bytes: nothing is cleared, so nothing
flickers. An error is shown in the panel; the last good picture stays, and the panel says that it is
the last. Without a kernel the panel's output is still its picture, since the notebook keeps it as
PNG beside the widget.
"""

import base64
import html
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import ipywidgets as w
from matplotlib.figure import Figure

from toastlab.core.errors import BadValue
from toastlab.plots import drawn_png, narrow
from toastlab.widgets.access import PANEL, SENTENCE, naming
from toastlab.widgets.sheet import CONTROL, rooms, styled

# One drawing at a time: matplotlib's settings belong to the process, and a thread that began to
# draw earlier must not put its picture over a later one.
DRAWING = threading.RLock()
LABEL = {"description_width": "10.5em"}
PACE = 800  # milliseconds between two epochs that are played; a picture takes 100 to 200


def slider(label: str, values: Sequence[Any], value: Any, hint: str) -> w.SelectionSlider:
    """A slider over given values that reports only when it is let go."""
    return w.SelectionSlider(continuous_update=False, **_common(label, values, value, hint))


def play(epochs: w.SelectionSlider) -> w.Play:
    """Moves a slider on by itself, once to its end: the browser counts, the kernel draws."""
    ends = {"min": 0, "max": len(epochs.options) - 1, "value": epochs.index}
    player = w.Play(**ends, interval=PACE, show_repeat=False)
    w.jslink((player, "value"), (epochs, "index"))
    return player


def choice(label: str, values: Sequence[Any], value: Any, hint: str) -> w.Dropdown:
    """A drop-down list."""
    return w.Dropdown(**_common(label, values, value, hint))


def _common(label: str, values: Sequence[Any], value: Any, hint: str) -> dict[str, Any]:
    look = {"description": label, "tooltip": hint, "style": LABEL}
    return {"options": list(values), "value": value, **look}


def alert(text: str) -> str:
    """An error as HTML. On a ground of its own it is legible in light and dark themes alike."""
    look = "color:#8a2f00;background:#fff3ec;padding:0 0.6em;margin:0;display:inline-block"
    return f"<p role='alert' style='{look}'><b>{html.escape(text)}</b></p>"


class Panel(ABC):
    """A panel: subclasses fill `controls` and say what to `draw`.

    Attributes:
        controls: name -> widget with a `value`.
        picture: the figure as PNG, empty and hidden where there is nothing to draw.
        sentence: the figure in words.
        error: what went wrong, empty if nothing did.
        room: what the panel's width is to its picture; the page says it, see `sheet`.
        widget: all of it, to be displayed.
    """

    def __init__(self, controls: dict[str, Any], speed: str) -> None:
        self.controls = controls
        self.picture = w.Image(format="png", layout=w.Layout(display="none"))
        self.sentence, self.error = w.HTML(), w.HTML()
        self.text = ""
        note = w.HTML(f"<small>{html.escape(speed)}</small>")
        moved = list(controls.values())
        if isinstance(epochs := controls.get("epoch"), w.SelectionSlider):
            moved.insert(moved.index(epochs) + 1, play(epochs))
        for part in moved:
            part.add_class(CONTROL)
        rows, self.room = w.HBox(moved), rooms()
        self.sentence.add_class(SENTENCE)
        names = naming({control.description: control.tooltip for control in controls.values()})
        seen = [rows, *self.extras(), note, self.error, self.picture, self.sentence]
        self.widget = w.VBox([*seen, names, styled(), self.room])
        self.widget.add_class(PANEL)
        for control in (self.room, *controls.values()):
            control.observe(lambda change: self.redraw(), names="value")
        self.redraw()

    def value(self, name: str) -> Any:
        """What a control is set to."""
        return self.controls[name].value

    def extras(self) -> list[w.Widget]:
        """More widgets, between the controls and the picture."""
        return []

    @abstractmethod
    def draw(self) -> tuple[Figure | None, str]:
        """The figure of the controls' values, None where there is nothing to draw, and a sentence
        that says what it shows."""

    def redraw(self) -> None:
        """Draws and shows the figure again, or the error that came instead."""
        with DRAWING:
            try:
                with narrow(self.room.index == 1):
                    figure, text = self.draw()
                self.picture.value = drawn_png(figure) if figure else b""
                self.picture.layout.display = None if figure else "none"
                if figure:  # as wide as drawn, or less where there is no room
                    self.picture.width = str(round(100 * figure.get_figwidth()))
                self.sentence.value = f"<p>{html.escape(text)}</p>"
                self.text, self.error.value = text, ""
            except Exception as error:  # whatever it is: a callback's traceback would be lost
                self.show_error(error, " (what is shown below is from before)" if self.text else "")

    def show_error(self, error: Exception, more: str = "") -> None:
        """Says in the panel what went wrong."""
        self.error.value = alert(f"{type(error).__name__}: {error}{more}")

    def state(self) -> str:
        """The controls' values as JSON, to store or to send."""
        return json.dumps({name: control.value for name, control in self.controls.items()})

    def restore(self, state: str) -> None:
        """Sets the controls to what `state` gave.

        Raises:
            ValueError: a control that is not there, or a value that it refuses.
        """
        for name, value in json.loads(state).items():
            if name not in self.controls:
                raise BadValue(f"unknown control {name!r}; this panel has {set(self.controls)}.")
            try:
                self.controls[name].value = value
            except Exception as error:
                raise BadValue(f"{name} cannot be {value!r}: {error}") from error

    def _repr_mimebundle_(
        self, **options: object
    ) -> tuple[dict[str, object], dict[str, dict[str, str]]]:
        bundle = dict(self.widget._repr_mimebundle_() or {})
        # what is shown where no kernel runs: on GitHub, printed, or before the first run
        if self.picture.value:
            bundle["image/png"] = base64.b64encode(self.picture.value).decode()
        bundle["text/plain"] = self.text
        return bundle, {"image/png": {"alt": self.text}}
