"""Every sample at once: the data map, and reliability diagrams."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from toastlab.plots.style import (
    FLAG,
    NARROW,
    PALETTE,
    Picture,
    filled,
    headline,
    is_narrow,
    legend_mark,
    new_figure,
    style,
)

if TYPE_CHECKING:  # to draw other figures takes no PyTorch
    from toastlab.analysis.metrics import Bins

MOST_POINTS = 6000


def data_map(frame: pd.DataFrame) -> Picture:
    """Confidence against variability of every training sample (Swayamdipta et al., 2020).

    Args:
        frame: as of `dynamics.data_map`: confidence, variability, correctness, flipped.
    """
    from toastlab.analysis.dynamics import variability_bound

    seen = frame.dropna(subset=["confidence"])
    step = max(1, -(-len(seen) // MOST_POINTS))
    some = seen.iloc[::step]
    with style():
        width, height = (NARROW, 5.4) if is_narrow() else (7.6, 4.8)
        room = 0.85 * width if is_narrow() else width  # beside the axis's own numbers
        figure = new_figure(width, height)
        axis = figure.subplots()
        looks: dict[bool, dict[str, Any]] = {
            False: {"marker": "o", "s": 11, "linewidths": 0, "edgecolors": "none"},
            True: {"marker": "X", "s": 22, "linewidths": 0.5, "edgecolors": [FLAG]},
        }
        for flipped, look in looks.items():
            part = some[some.flipped == flipped]
            look |= {"c": part.correctness, "cmap": "viridis", "vmin": 0, "vmax": 1}
            points = axis.scatter(part.variability, part.confidence, alpha=0.75, **look)
        mean = np.linspace(0, 1, 200)
        axis.plot(variability_bound(mean), mean, color="#666666", linewidth=1, linestyle="--")
        beside = 0.47 if is_narrow() else 0.492  # there the letters are larger beside the curve
        axis.text(beside, 0.5, "largest possible", rotation=90, fontsize=8, va="center", ha="right")
        axis.set(
            xlim=(-0.01, 0.52),
            ylim=(-0.02, 1.02),
            xlabel=filled("variability of the true-class probability over epochs", room),
            ylabel="confidence: its mean over epochs",
        )
        note = f" (1 in {step} of {len(seen):,} samples)" if step > 1 else ""
        title = f"Data map: easy above, ambiguous right, hard below{note}"
        axis.set_title(filled(title, room, 11))
        where = "bottom" if is_narrow() else "right"
        bar = figure.colorbar(points, ax=axis, shrink=0.85, location=where)
        bar.set_label("correctness: share of epochs classified right")
        bar.outline.set_visible(False)  # type: ignore[operator]
        if frame.flipped.any():
            same = legend_mark("label as it was", "o", color="#21918c")
            look = {"mfc": "#414487", "mec": FLAG, "markersize": 7}
            flip = legend_mark("label flipped on purpose", "X", **look)
            if is_narrow():  # there is no corner without points
                figure.legend(handles=[same, flip], loc="outside lower center", ncols=2)
            else:
                axis.legend(handles=[same, flip], loc="upper right")
    figure.alt = describe_data_map(frame)
    return figure


def describe_data_map(frame: pd.DataFrame) -> str:
    """How confidence differs between flipped and clean labels, in words."""
    text = (
        f"{len(frame)} training samples; mean confidence {frame.confidence.mean():.2f}, mean "
        f"variability {frame.variability.mean():.2f}, {int(frame.never_learnt.sum())} never "
        "classified right."
    )
    if frame.flipped.any():
        by = frame.groupby("flipped").confidence.mean()
        text += f" Flipped labels have confidence {by[True]:.2f}, the others {by[False]:.2f}."
    return text


def reliability(bins_of: Mapping[str, "Bins"]) -> Picture:
    """Accuracy against confidence, one panel a method, with the count of samples below."""
    with style():
        figure = new_figure(max(3.6, 2.6 * len(bins_of)), 3.9)
        grid = figure.subplots(
            2, len(bins_of), squeeze=False, height_ratios=[3.2, 1], sharex=True, sharey="row"
        )
        for axis, below, (name, bins) in zip(*grid, bins_of.items(), strict=True):
            width = 1 / len(bins.count)
            centre = (np.arange(len(bins.count)) + 0.5) * width
            accuracy, confidence = np.nan_to_num(bins.accuracy), np.nan_to_num(bins.confidence)
            solid, top = np.minimum(accuracy, confidence), np.maximum(accuracy, confidence)
            axis.bar(centre, solid, width * 0.94, color="#c9c9c9")
            for over, colour, hatch in ((True, FLAG, "//"), (False, PALETTE[0], "..")):
                gap = np.where((confidence > accuracy) == over, top - solid, 0)
                look: dict[str, Any] = {"bottom": solid, "hatch": hatch, "edgecolor": colour}
                axis.bar(centre, gap, width * 0.94, color=(*colour, 0.35), linewidth=0, **look)
            axis.plot([0, 1], [0, 1], color="#444444", linewidth=1, linestyle="--")
            axis.set(xlim=(0, 1), ylim=(0, 1))
            axis.set_title(f"{name}\nECE {100 * bins.ece:.1f} %", fontsize=10)
            below.bar(centre, bins.count / max(1, bins.count.sum()), width * 0.94, color="#b9b9b9")
            below.set(xlabel="confidence", xlim=(0, 1))
            below.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        grid[0, 0].set_ylabel("accuracy")
        grid[1, 0].set_ylabel("share")
        gaps = "the gap to the line is over-confidence (//) or under-confidence (..)"
        headline(figure, f"Reliability: {gaps}")
    figure.alt = describe_reliability(bins_of)
    return figure


def describe_reliability(bins_of: Mapping[str, "Bins"]) -> str:
    """ECE and its direction for each method, in words."""
    parts = []
    for name, bins in bins_of.items():
        share = bins.count / max(1, bins.count.sum())
        lean = float((share * np.nan_to_num(bins.confidence - bins.accuracy)).sum())
        word = "over-confident" if lean > 0 else "under-confident"
        parts.append(f"{name}: ECE {100 * bins.ece:.1f} %, {word} on average")
    return "; ".join(parts) + f" ({len(next(iter(bins_of.values())).count)} bins)."
