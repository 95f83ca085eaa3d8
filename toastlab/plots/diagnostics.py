"""Every sample at once: the data map, and reliability diagrams."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from toastlab.analysis.dynamics import variability_bound
from toastlab.analysis.metrics import Bins
from toastlab.plots.style import FLAG, PALETTE, headline, new_figure, style

MOST_POINTS = 6000


def data_map(frame: pd.DataFrame) -> Figure:
    """Confidence against variability of every training sample (Swayamdipta et al., 2020).

    Args:
        frame: as of `dynamics.data_map`: confidence, variability, correctness, flipped.
    """
    known = frame.dropna(subset=["confidence"])
    step = -(-len(known) // MOST_POINTS) if len(known) else 1
    some = known.iloc[::step]
    with style():
        figure = new_figure(7.6, 4.8)
        axis = figure.subplots()
        for flipped, marker, size in ((False, "o", 11), (True, "X", 22)):
            part = some[some.flipped == flipped]
            points = axis.scatter(
                part.variability,
                part.confidence,
                c=part.correctness,
                cmap="viridis",
                vmin=0,
                vmax=1,
                marker=marker,
                s=size,
                alpha=0.75,
                linewidths=0.5 if flipped else 0,
                edgecolors=[FLAG] if flipped else "none",
            )
        m = np.linspace(0, 1, 200)
        axis.plot(variability_bound(m), m, color="#666666", linewidth=1, linestyle="--")
        axis.text(0.492, 0.5, "largest possible", rotation=90, fontsize=8, va="center", ha="right")
        axis.set(
            xlim=(-0.01, 0.52),
            ylim=(-0.02, 1.02),
            xlabel="variability of the true-class probability over epochs",
            ylabel="confidence: its mean over epochs",
        )
        note = f" (1 in {step} of {len(known):,} samples)" if step > 1 else ""
        axis.set_title(f"Data map: easy above, ambiguous right, hard below{note}")
        bar = figure.colorbar(points, ax=axis, shrink=0.85)
        bar.set_label("correctness: share of epochs classified right")
        bar.outline.set_visible(False)  # type: ignore[operator]
        if frame.flipped.any():
            handles = [
                Line2D([], [], marker="o", linestyle="", color="#21918c", label="label as it was"),
                Line2D(
                    [],
                    [],
                    marker="X",
                    linestyle="",
                    markerfacecolor="#414487",
                    markeredgecolor=FLAG,
                    markersize=7,
                    label="label flipped on purpose",
                ),
            ]
            axis.legend(handles=handles, loc="upper right")
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


def reliability(entries: Mapping[str, Bins]) -> Figure:
    """Accuracy against confidence, one panel a method, with the count of samples below."""
    with style():
        figure = new_figure(max(3.6, 2.6 * len(entries)), 3.9)
        grid = figure.subplots(
            2, len(entries), squeeze=False, height_ratios=[3.2, 1], sharex=True, sharey="row"
        )
        for i, (name, bins) in enumerate(entries.items()):
            axis, below = grid[0, i], grid[1, i]
            width = 1 / len(bins.count)
            centre = (np.arange(len(bins.count)) + 0.5) * width
            accuracy, confidence = np.nan_to_num(bins.accuracy), np.nan_to_num(bins.confidence)
            solid, top = np.minimum(accuracy, confidence), np.maximum(accuracy, confidence)
            axis.bar(centre, solid, width * 0.94, color="#c9c9c9")
            for over, colour, hatch in ((True, FLAG, "//"), (False, PALETTE[0], "..")):
                gap = np.where((confidence > accuracy) == over, top - solid, 0)
                axis.bar(
                    centre,
                    gap,
                    width * 0.94,
                    bottom=solid,
                    color=(*colour, 0.35),
                    hatch=hatch,
                    edgecolor=colour,
                    linewidth=0,
                )
            axis.plot([0, 1], [0, 1], color="#444444", linewidth=1, linestyle="--")
            axis.set(xlim=(0, 1), ylim=(0, 1))
            axis.set_title(f"{name}\nECE {100 * bins.ece:.1f} %", fontsize=10)
            below.bar(centre, bins.count / max(1, bins.count.sum()), width * 0.94, color="#b9b9b9")
            below.set(xlabel="confidence", xlim=(0, 1))
            below.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        grid[0, 0].set_ylabel("accuracy")
        grid[1, 0].set_ylabel("share")
        headline(
            figure,
            "Reliability: the gap to the line is over-confidence (//) or under-confidence (..)",
        )
    return figure


def describe_reliability(entries: Mapping[str, Bins]) -> str:
    """ECE and its direction for each method, in words."""
    parts = []
    for name, bins in entries.items():
        share = bins.count / max(1, bins.count.sum())
        lean = float((share * np.nan_to_num(bins.confidence - bins.accuracy)).sum())
        word = "over-confident" if lean > 0 else "under-confident"
        parts.append(f"{name}: ECE {100 * bins.ece:.1f} %, {word} on average")
    return "; ".join(parts) + f" ({len(next(iter(entries.values())).count)} bins)."
