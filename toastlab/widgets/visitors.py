"""What the dashboard's visitors may do: limits for all of them together, and a guard that lets a
browser set the values of the controls, what an explorer shows and selects, and nothing else."""

from dataclasses import dataclass
from typing import Annotated, Any

import ipywidgets as w
from comm import get_comm_manager

from toastlab.core.settings import Range, Settings
from toastlab.widgets.explorer import Explorer
from toastlab.widgets.panel import Panel

EXPLORER = ("view", "selection")  # all that a browser may set of an explorer
LONGEST = 40  # characters that may be typed
# GB that a visitor's process holds for itself alone, after some moves and a training. Measured as
# private memory (Pss_Anon in smaps_rollup) on Linux, with PyTorch for the CPU. `top` shows two
# thirds more, which is the program itself and is there once for all of them.
MEMORY = 0.6
WEEK = 7 * 24 * 60.0  # minutes


@dataclass(frozen=True)
class Limits(Settings):
    """What visitors may use together.

    Attributes:
        visitors: pages open at a time, 1 to 1000, those that are loading among them; each holds a
            process with PyTorch, of `MEMORY` GB.
        trainings: live runs at a time, 1 to 1000; the next ones wait.
        gone_after: minutes without a connection after which a visitor is gone and his process ends,
            whatever it is busy with; from 0.5, since a page needs time to come back, to a week.
        spare: pages made ahead of their visitors, 0 to 1000, in places that are free.
    """

    visitors: Annotated[int, Range(1, 1000)] = 32
    trainings: Annotated[int, Range(1, 1000)] = 2
    gone_after: Annotated[float, Range(0.5, WEEK)] = 10.0
    spare: Annotated[int, Range(0, 1000)] = 2


def allowed(control: w.Widget, name: str, value: object) -> bool:
    """Whether a browser may set this: a position in a control's list, a number in its range, a
    short text, which its field reads itself, or a view or selection that fits an explorer."""
    if isinstance(control, Explorer):
        return name in EXPLORER and control.accepts(name, value)
    if name == "index" and hasattr(control, "options"):
        return type(value) is int and 0 <= value < len(control.options)
    if name == "value" and isinstance(control, w.FloatSlider):
        return type(value) in (int, float) and control.min <= value <= control.max
    if name == "value" and isinstance(control, w.Text):
        return type(value) is str and len(value) <= LONGEST
    return False


def take_only_controls(*panels: Panel | Explorer) -> None:
    """From now on, in this process, a browser sets values of `panels`' controls, and only that.

    Of an explorer it sets `EXPLORER`. Other state (ranges, texts, pictures, the explorer's data and
    code) stays as the kernel made it, and no widget can be made from outside. Clicks on buttons
    come through. Values that a control does not have are dropped here: an `index` outside its list
    would leave ipywidgets' kernel without an answer.
    """
    moved: list[w.Widget] = []
    for panel in panels:
        if isinstance(panel, Explorer):
            moved.append(panel)
        else:
            moved += [panel.room, *panel.controls.values()]
    parts = [part for control in moved for part in (control, *getattr(control, "children", ()))]
    controls = {part.model_id for part in parts}
    set_state = w.Widget.set_state

    def guarded(self: w.Widget, state: dict[str, Any]) -> None:
        mine = self.model_id in controls
        set_state(self, {k: v for k, v in state.items() if mine and allowed(self, k, v)})

    w.Widget.set_state = guarded
    get_comm_manager().targets.pop("jupyter.widget", None)
