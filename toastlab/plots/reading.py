"""One sample under a reading: what it is taught drawn newly, what carried, and how that pushes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch

from toastlab.plots.style import (
    PALETTE,
    Picture,
    headline,
    in_a_row,
    is_narrow,
    show_image,
    style,
)

SAID, NEW, CARRIED = "#b9b9b9", PALETTE[0], PALETTE[1]


@dataclass(frozen=True, eq=False)
class Taught:
    """What happens to one sample, each [K] over the classes.

    Attributes:
        now: p(z), what the network says of it.
        target: what it is taught when it is drawn newly.
        past: p(z_past; T_p), what the network said of it before.
        rest: p(z) where the loss of the carried sample has its minimum: what it is pulled towards.
        push_new: minus the gradient of the loss on the logits, drawn newly; push_carried: carried.
    """

    now: np.ndarray
    target: np.ndarray
    past: np.ndarray
    rest: np.ndarray
    push_new: np.ndarray
    push_carried: np.ndarray


def reading_view(
    image: np.ndarray, taught: Taught, classes: Sequence[str], label: int, title: str
) -> Picture:
    """The image, and three groups of bars over the classes; the label's name is bold.

    Args:
        image: [C, H, W] uint8; label: the class that is trained on; title: the finding.
    """
    with style():
        figure, axes = in_a_row(10.4, 4.2, [0.55, 1, 1, 1], [1.6, 2.9, 2.9, 2.9])
        picture, new, carried, push = axes
        show_image(picture, image, interpolation="nearest")
        picture.set(xticks=[], yticks=[])
        picture.grid(False)
        picture.set_title(f"label: {classes[label]}", fontsize=10)
        _pair(new, taught.now, taught.target, (SAID, NEW))
        _pair(carried, taught.past, taught.rest, (SAID, CARRIED))
        _pair(push, taught.push_new, taught.push_carried, (NEW, CARRIED))
        push.axvline(0, color="#444444", linewidth=1)
        most = 1.15 * max(np.abs([taught.push_new, taught.push_carried]).max(), 0.1)
        push.set_xlim(-most, most)
        for axis in (new, carried, push):
            axis.set_ylim(len(classes) - 0.5, -0.5)
            axis.set_yticks([])  # ticks take longer to lay out than texts
            if axis is new or is_narrow():
                _name(axis, classes, label)
        look = {"xlim": (0, 1), "xticks": (0, 0.5, 1), "xlabel": "probability"}
        new.set(title="Drawn newly: taught", **look)
        carried.set(title="Carried: pulled towards", **look)
        push.locator_params(axis="x", nbins=4)
        push.set(xlabel="minus the gradient", title="Push on each logit")
        names = ("what the network says: now, and before at T_p", "drawn newly", "carried")
        marks = [Patch(color=colour) for colour in (SAID, NEW, CARRIED)]
        figure.legend(marks, names, loc="outside lower center", ncols=1 if is_narrow() else 3)
        headline(figure, title)
    figure.alt = f"{title}. {describe_reading_view(taught, classes, label)}"
    return figure


def _name(axis: Axes, classes: Sequence[str], label: int) -> None:
    """The classes' names left of the bars, the label's bold."""
    for k, name in enumerate(classes):
        look: dict[str, Any] = {"fontsize": 9, "fontweight": "bold" if k == label else "normal"}
        at = axis.get_yaxis_transform()
        axis.text(-0.02, k, name, ha="right", va="center", transform=at, **look)


def _pair(axis: Axes, upper: np.ndarray, lower: np.ndarray, colours: Sequence[Any]) -> None:
    """Two bars a class, one above the other. All of a colour are one thing to draw: single bars
    make the panel slow."""
    for values, top, colour in zip((upper, lower), (-0.39, 0.01), colours, strict=True):
        corners = [
            [(0, k + top), (value, k + top), (value, k + top + 0.38), (0, k + top + 0.38)]
            for k, value in enumerate(values)
        ]
        axis.add_collection(PolyCollection(corners, facecolors=colour, linewidths=0), autolim=False)


def describe_reading_view(taught: Taught, classes: Sequence[str], label: int) -> str:
    """The label's bars in words, and what else the carried sample is pulled towards."""
    k = int(np.where(np.arange(len(classes)) == label, -1, taught.rest).argmax())
    return (
        f"Its label {classes[label]} has {taught.now[label]:.2f} now and is taught with "
        f"{taught.target[label]:.2f} when the sample is drawn newly; before it had "
        f"{taught.past[label]:.2f} at T_p, and carried it is pulled towards "
        f"{taught.rest[label]:.2f}, with {taught.rest[k]:.2f} for {classes[k]}. A step pushes its "
        f"logit by {taught.push_new[label]:+.2f} drawn newly and by "
        f"{taught.push_carried[label]:+.2f} carried (times the learning rate)."
    )
