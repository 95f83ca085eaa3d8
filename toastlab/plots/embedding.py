"""t-SNE layouts side by side, classes by colour and marker."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toastlab.plots.style import (
    MARKERS,
    NARROW,
    PALETTE,
    Picture,
    in_a_row,
    is_narrow,
    legend_mark,
    style,
)

RING = "black"  # of flipped labels: no class has it


def tsne_view(
    panels: Mapping[str, tuple[np.ndarray, float]],
    labels: np.ndarray,
    classes: Sequence[str],
    flipped: np.ndarray | None = None,
    extent: float | None = None,
) -> Picture:
    """One square for each layout, the same scale in all.

    Args:
        panels: title -> layout [n, 2] and its trustworthiness.
        labels: [n] class of each sample, which gives colour and marker.
        flipped: [n] bool; those are ringed.
        extent: half the side of the squares; None: boxes that hold all layouts.
    """
    every = np.concatenate([xy for xy, _ in panels.values()])
    low, high = every.min(0), every.max(0)
    margin = 0.04 * max(float((high - low).max()), 1e-9)
    x, y = zip(low - margin, high + margin, strict=True)
    if extent is not None:
        x = y = (-extent, extent)
    looks: dict[int, dict[str, Any]] = {
        c: {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        for i, c in enumerate(np.unique(labels))
    }
    rings = np.zeros(len(labels), bool) if flipped is None else flipped
    with style():
        tall = min(1.0, max(0.6, (y[1] - y[0]) / (x[1] - x[0])))
        one = len(looks) == 1 and not rings.any()  # a legend would say nothing
        count, legend = len(panels), 0.6 if one else 1.1
        heights = [NARROW * tall + 0.5 + legend / count] * count
        figure, axes = in_a_row(4.2 * count, 3.4 * tall + legend, [1] * count, heights)
        for axis, (title, (xy, trust)) in zip(axes, panels.items(), strict=True):
            for c, look in looks.items():
                axis.scatter(
                    xy[labels == c, 0], xy[labels == c, 1], s=14, linewidth=0, alpha=0.85, **look
                )
            if rings.any():
                axis.scatter(
                    xy[rings, 0],
                    xy[rings, 1],
                    s=32,
                    facecolor="none",
                    edgecolor=RING,
                    linewidth=0.9,
                )
            axis.set(xlim=x, ylim=y, xticks=[], yticks=[], aspect="equal")
            axis.set_title(title)
            axis.set_xlabel(f"t-SNE, no unit; trustworthiness {trust:.2f}")
            axis.grid(False)
        marks = [legend_mark(classes[c], markersize=6, **look) for c, look in looks.items()]
        if rings.any():
            marks.append(legend_mark("label flipped", "o", mfc="none", color=RING, markersize=7))
        if not one:
            figure.legend(
                handles=marks, loc="outside lower center", ncols=3 if is_narrow() else 3 * count
            )
    figure.alt = describe_tsne_view(panels)
    return figure


def describe_tsne_view(panels: Mapping[str, tuple[np.ndarray, float]]) -> str:
    """Which layouts may be trusted to show neighbours, and how far."""
    parts = [f"{title}: trustworthiness {trust:.2f}" for title, (_, trust) in panels.items()]
    return f"t-SNE of {len(next(iter(panels.values()))[0])} samples. {'; '.join(parts)}."
