"""For pages that others use: what comes from a browser sets the controls' values, nothing else."""

from typing import Any

import ipywidgets as w
from comm import get_comm_manager

from toastlab.widgets.panel import Panel

VALUES = ("index", "value")  # what a control's browser side sends when it is moved


def take_only_controls(*panels: Panel) -> None:
    """From now on, in this process, a browser sets what is in `panels`' controls, and only that.

    Which values a control takes is its own affair: a slider over given values has no others. Other
    widgets' state (ranges, texts, pictures) stays as the kernel made it, and no widget can be made
    from outside. Clicks on buttons come through.
    """
    controls = {control.model_id for panel in panels for control in panel.controls.values()}
    set_state = w.Widget.set_state

    def guarded(self: w.Widget, state: dict[str, Any]) -> None:
        allowed = VALUES if self.model_id in controls else ()
        set_state(self, {name: value for name, value in state.items() if name in allowed})

    w.Widget.set_state = guarded
    get_comm_manager().targets.pop("jupyter.widget", None)
