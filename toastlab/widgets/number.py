"""A number to be moved or typed: a slider, and beside it a field that takes what one writes."""

from typing import Any

import ipywidgets as w
from traitlets import Float, TraitError, Unicode, validate

from toastlab.core.errors import in_range
from toastlab.widgets.panel import LABEL, alert


class Number(w.HBox):  # type: ignore[misc]
    """Any number of a range; it never turns silently into another one.

    A readout that ipywidgets' own slider lets one type into takes "0,5" for 0 and 1000 for the
    largest number it has. Here the field is text, read in Python: a comma is a decimal point, and
    what is no number of the range is refused with a word while the value stays.

    Args:
        label: before the slider; hint: what it is for.
        low, high: the range, both included.
        step: of the slider; start and ends must be whole steps apart, or it does not come back.
        value: at the start.
    """

    value = Float()
    tooltip = Unicode()  # stays in Python: ipywidgets cannot show a box with a hint

    def __init__(
        self, label: str, low: float, high: float, step: float, value: float, hint: str
    ) -> None:
        self.description, self.min, self.max = label, low, high
        look = {"description": label, "style": LABEL}
        ends = {"min": low, "max": high, "step": step, "value": value}
        self.slider = w.FloatSlider(readout=False, continuous_update=False, **look, **ends)
        said = f"{label}: a number from {low:g} to {high:g}"
        self.field = w.Text(tooltip=said, continuous_update=False)
        self.refused = w.HTML()
        super().__init__([self.slider, self.field, self.refused], tooltip=hint, value=value)
        self._agree()
        self.observe(self._agree, names="value")
        self.slider.observe(self._moved, names="value")
        self.field.observe(self._typed, names="value")

    @validate("value")
    def _in_range(self, proposal: dict[str, Any]) -> float:
        try:
            in_range(self.description, proposal["value"], self.min, self.max)
        except ValueError as error:
            raise TraitError(str(error)) from None
        return float(proposal["value"])

    def _agree(self, change: object = None) -> None:
        """Slider and field show the value."""
        self.slider.value, self.field.value = self.value, f"{self.value:g}"
        self.refused.value = ""

    def _moved(self, change: dict[str, Any]) -> None:
        if change["new"] != self.value:
            self.value = round(change["new"], 6)  # a browser counts steps up to 0.30000000000000004

    def _typed(self, change: dict[str, Any]) -> None:
        text = str(change["new"])
        if text == f"{self.value:g}":
            return
        try:
            self.value = float(text.replace(",", "."))
            self._agree()  # "2,50" becomes 2.5 even where the value is 2.5 already
        except (ValueError, TraitError):
            self._agree()
            self.refused.value = alert(
                f"{text!r} is no number from {self.min:g} to {self.max:g}; "
                f"{self.description} stays {self.value:g}."
            )
