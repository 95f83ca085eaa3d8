"""Images as small multiples: medoids with their soft targets, samples with captions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from toastlab.plots.style import (
    FLAG,
    NARROW,
    PALETTE,
    Picture,
    filled,
    headline,
    in_a_row,
    is_narrow,
    new_figure,
    show_image,
    style,
)

MOST_CLASSES = 20
GREY = "#b9b9b9"


def medoid_gallery(
    images: np.ndarray, soft_targets: np.ndarray, classes: Sequence[str], exists: np.ndarray
) -> Picture:
    """Each class's medoid, a real training image, beside the soft target made of its logits.

    Args:
        images: [K, C, H, W] uint8; soft_targets: [K, K], rows sum to 1; exists: [K] bool.
    """
    shown = min(len(classes), MOST_CLASSES)
    columns = 2 if shown > 1 and not is_narrow() else 1
    rows = -(-shown // columns)
    top = min(4, len(classes))
    step = 0.82 / top  # height of a bar; a class takes 1.2 in height, image and bars 5 in width
    with style():
        # One pair of axes for all: two for each class take most of the time to draw.
        width = NARROW if is_narrow() else 5.0 * columns
        figure = new_figure(width, 1.12 * rows + 0.6)
        axis = figure.subplots()
        bars: list[tuple[float, float, float, object]] = []  # middle, width, left end, colour
        for c in range(shown):
            x, y = 5.2 * (c // rows), 1.2 * (c % rows)
            if exists[c]:
                show_image(axis, images[c], extent=(x, x + 1, y + 1, y))
            else:
                axis.text(x + 0.5, y + 0.5, "no medoid\nyet", ha="center", va="center")
            order = np.argsort(-soft_targets[c], kind="stable")[:top]
            axis.text(x + 1.15, y + 0.08, classes[c], fontsize=10, fontweight="bold", va="center")
            for rank, k in enumerate(order):
                value, middle = float(soft_targets[c][k]), y + 0.18 + step * (rank + 0.5)
                bars.append((middle, 3.6 * value, x + 1.15, PALETTE[0] if k == c else GREY))
                share = f"{value:.2f}" if value >= 0.005 else "<0.01"
                end, text = x + 1.15 + 3.6 * value, f"{classes[k]}  {share}"
                look = {"va": "center_baseline", "fontsize": 8.5}
                _beside(axis, end, middle, text, 0.07, value > 0.6, k == c, **look)
        middles, widths, lefts, colours = zip(*bars, strict=True)
        axis.barh(middles, widths, left=lefts, height=0.8 * step, color=colours)
        axis.set(xlim=(0, 5.2 * columns), ylim=(1.2 * rows, -0.05), aspect="auto")
        axis.set(xticks=[], yticks=[])  # hidden ones would be laid out all the same
        axis.axis("off")
        more = f" (first {shown} of {len(classes)} classes)" if shown < len(classes) else ""
        title = f"Class medoids and their soft targets: what each class is taken for{more}"
        axis.set_title(filled(title, width, 12), fontsize=12)
    figure.alt = describe_medoid_gallery(images, soft_targets, classes, exists)
    return figure


def _beside(
    axis: Axes, end: float, y: float, text: str, gap: float, inside: bool, own: bool, **look: Any
) -> None:
    """A bar's text, after its end or, where there is no room, `inside`; `own`: the bar is blue."""
    x, side = (end - gap, "right") if inside else (end + gap, "left")
    axis.text(x, y, text, ha=side, color="white" if inside and own else "black", **look)


def describe_medoid_gallery(
    images: np.ndarray, soft_targets: np.ndarray, classes: Sequence[str], exists: np.ndarray
) -> str:
    """The strongest second class of all, in words."""
    off = soft_targets * (1 - np.eye(len(classes)))
    c, k = np.unravel_index(int(off.argmax()), off.shape)
    return (
        f"{int(exists.sum())} of {len(classes)} classes have a medoid. The largest share given to "
        f"another class is {off[c, k]:.2f}, from {classes[int(c)]} to {classes[int(k)]}; on "
        f"average a class keeps {float(np.diag(soft_targets).mean()):.2f}."
    )


def sample_gallery(
    images: np.ndarray,
    captions: Sequence[str],
    flagged: Sequence[bool],
    title: str,
    why: str = "with a flipped label",
    wide: float = 1.25,
) -> Picture:
    """A grid of images with captions below; flagged ones stand in a vermilion frame.

    Args:
        images: [n, C, H, W] uint8, n >= 1.
        captions: n texts of three lines at most, shown as they are.
        why: what the flagged ones have in common, to be read after "those".
        wide: inches for each of the eight in a row, of four on a narrow page; captions need them.
    """
    most, size = (4, 7) if is_narrow() else (8, 8)
    columns = min(most, len(images))
    wide = NARROW / most if is_narrow() else wide
    rows = -(-len(images) // columns)
    with style():
        # One pair of axes for all, as in the gallery of medoids: an image is 1 wide and high.
        figure = new_figure(wide * columns, 1.376 * wide * rows + 0.55)
        axis = figure.subplots()
        for i, image in enumerate(images):
            x, y = 1.15 * (i % columns), 1.55 * (i // columns)
            show_image(axis, image, extent=(x, x + 1, y + 1, y))
            colour, width = (FLAG, 3.0) if flagged[i] else ("#999999", 0.8)
            frame = Rectangle((x, y), 1, 1, fill=False, edgecolor=colour, linewidth=width)
            axis.add_patch(frame)
            # names of files may hold dollar signs, which are no formulas
            below = (x + 0.5, y + 1.06, captions[i])
            axis.text(*below, fontsize=size, ha="center", va="top", parse_math=False)
        axis.set(xlim=(-0.05, 1.15 * columns - 0.1), ylim=(1.55 * rows - 0.1, -0.05), aspect="auto")
        axis.set(xticks=[], yticks=[])
        axis.axis("off")
        framed = f"; framed: those {why}" if any(flagged) else ""
        headline(figure, title + framed)
    figure.alt = describe_sample_gallery(images, captions, flagged, title, why)
    return figure


def describe_sample_gallery(
    images: np.ndarray,
    captions: Sequence[str],
    flagged: Sequence[bool],
    title: str,
    why: str = "with a flipped label",
) -> str:
    """How many are flagged, in words."""
    return f"{title}: {len(images)} images, {sum(flagged)} of them {why}."


def soft_target_bars(
    image: np.ndarray, targets: Mapping[str, np.ndarray], classes: Sequence[str], label: int
) -> Picture:
    """One image and, beside it, distributions over the classes; the label's own bar is blue.

    Args:
        image: [C, H, W] uint8; targets: name -> [K], rows of a distribution; label: its class.
    """
    with style():
        widths, heights = (
            [first] + [rest] * len(targets) for first, rest in ((0.8, 1), (1.5, 2.7))
        )
        figure, axes = in_a_row(2.4 + 3.1 * len(targets), 3.3, widths, heights)
        show_image(axes[0], image, interpolation="nearest")
        axes[0].set(xticks=[], yticks=[])
        axes[0].grid(False)
        axes[0].spines[:].set(visible=True, edgecolor="#999999", linewidth=0.8)
        axes[0].set_title(classes[label], fontsize=10)
        for axis, (name, target) in zip(axes[1:], targets.items(), strict=True):
            rows = range(len(target))
            axis.barh(rows, target, color=[PALETTE[0] if k == label else GREY for k in rows])
            for k, value in enumerate(target):
                look = {"va": "center", "fontsize": 8}  # from 0.84 on there is no room beside it
                _beside(axis, value, k, f"{value:.2f}", 0.02, value > 0.84, k == label, **look)
            named = axis is axes[1] or is_narrow()
            axis.set_yticks(rows, classes if named else [""] * len(target))
            axis.set(xlim=(0, 1), ylim=(len(target) - 0.4, -0.6), xlabel="probability")
            axis.set_title(name, fontsize=10)
    figure.alt = describe_soft_target_bars(image, targets, classes, label)
    return figure


def describe_soft_target_bars(
    image: np.ndarray, targets: Mapping[str, np.ndarray], classes: Sequence[str], label: int
) -> str:
    """What each distribution gives its own class and the strongest other one, in words."""
    parts = []
    for name, target in targets.items():
        others = np.where(np.arange(len(target)) == label, -1, target)
        k = int(others.argmax())
        parts.append(f"{name}: {classes[label]} {target[label]:.2f}, {classes[k]} {target[k]:.2f}")
    return "; ".join(parts) + "."
