"""What all panels share: controls, one picture, one sentence, one line for errors.

A control's change redraws the picture by setting its bytes: nothing is cleared, so nothing
flickers. An error is shown in the panel; the last good picture stays. Without a kernel the panel's
output is still its picture, since the notebook keeps it as PNG beside the widget.
"""

import base64
import html
import json
from abc import ABC, abstractmethod
from typing import Any

import ipywidgets as w
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from toastlab.plots import drawn_png

LABEL = {"description_width": "10.5em"}
WIDE = w.Layout(width="27em")


def slider(label: str, values: list[Any], value: Any, hint: str) -> w.SelectionSlider:
    """A slider over given values that reports only when it is let go."""
    return w.SelectionSlider(
        options=values,
        value=value,
        description=label,
        tooltip=hint,
        continuous_update=False,
        style=LABEL,
        layout=WIDE,
    )


def number(label: str, low: float, high: float, value: float, hint: str) -> w.FloatSlider:
    """A slider over all numbers of a range; one may type into its readout, too."""
    return w.FloatSlider(
        min=low,
        max=high,
        step=(high - low) / 100,
        value=value,
        readout_format=".2f",
        description=label,
        tooltip=hint,
        continuous_update=False,
        style=LABEL,
        layout=WIDE,
    )


def choice(label: str, values: list[Any], value: Any, hint: str) -> w.Dropdown:
    """A drop-down list."""
    return w.Dropdown(
        options=values, value=value, description=label, tooltip=hint, style=LABEL, layout=WIDE
    )


class Panel(ABC):
    """A panel: subclasses fill `controls` and say what to `draw`.

    Attributes:
        controls: name -> widget with a `value`.
        picture: the figure as PNG.
        sentence: the figure in words.
        error: what went wrong, empty if nothing did.
        widget: all of it, to be displayed.
    """

    def __init__(self, controls: dict[str, Any], speed: str) -> None:
        self.controls = controls
        self.picture = w.Image(format="png", layout=w.Layout(max_width="100%"))
        self.sentence, self.error = w.HTML(), w.HTML()
        self.text = ""
        self._places: dict[tuple[float, ...], list[Bbox]] = {}
        note = w.HTML(f"<small>{html.escape(speed)}</small>")
        rows = w.HBox(list(controls.values()), layout=w.Layout(flex_flow="row wrap"))
        self.widget = w.VBox([rows, *self.extras(), note, self.error, self.picture, self.sentence])
        for control in controls.values():
            control.observe(self.on_change, names="value")
        self.redraw()

    def extras(self) -> list[w.Widget]:
        """More widgets, between the controls and the picture."""
        return []

    @abstractmethod
    def draw(self) -> tuple[Figure, str]:
        """The figure of the controls' values, and a sentence that says what it shows."""

    def on_change(self, change: object) -> None:
        """A control has another value."""
        self.redraw()

    def redraw(self) -> None:
        """Shows the figure of now, or the error that kept it from being drawn."""
        try:
            figure, text = self.draw()
            self._lay_out(figure)
            self.picture.value = drawn_png(figure)
            self.picture.width = str(round(figure.bbox.width))  # as drawn, or less where too narrow
            self.sentence.value = f"<p>{html.escape(text)}</p>"
            self.text = text
            self.error.value = ""
        except Exception as error:  # whatever it is: a callback's traceback would be lost
            self.show_error(error)

    def _lay_out(self, figure: Figure) -> None:
        """Keeps the places of the axes that an equally built figure had: finding them anew takes
        half of the time of a drawing."""
        built = (len(figure.axes), *figure.get_size_inches())
        if built not in self._places:
            figure.draw_without_rendering()
            self._places[built] = [axis.get_position() for axis in figure.axes]
        for axis, place in zip(figure.axes, self._places[built], strict=True):
            axis.set_position(place)

    def show_error(self, error: Exception) -> None:
        """Says in the panel what went wrong."""
        what = html.escape(f"{type(error).__name__}: {error}")
        self.error.value = f"<p role='alert' style='color:#a13d00'><b>{what}</b></p>"

    def state(self) -> str:
        """The controls' values as JSON, to be kept or sent to somebody."""
        return json.dumps({name: control.value for name, control in self.controls.items()})

    def restore(self, state: str) -> None:
        """Sets the controls to what `state` gave.

        Raises:
            ValueError: a control that is not there, or a value that it refuses.
        """
        for name, value in json.loads(state).items():
            if name not in self.controls:
                raise ValueError(f"unknown control {name!r}; this panel has {set(self.controls)}.")
            try:
                self.controls[name].value = value
            except Exception as error:
                raise ValueError(f"{name} cannot be {value!r}: {error}") from error

    def _repr_mimebundle_(self, **options: object) -> dict[str, object]:
        bundle = dict(self.widget._repr_mimebundle_() or {})
        # what is shown where no kernel runs: on GitHub, printed, or before the first run
        bundle["image/png"] = base64.b64encode(self.picture.value).decode()
        bundle["text/plain"] = self.text
        return bundle
