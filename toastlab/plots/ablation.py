"""The stored ablation: one point against its neighbours, and a live run beside it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from toastlab.plots.curves import measure
from toastlab.plots.style import FLAG, PALETTE, Picture, in_a_row, number_cells, style

# name -> mean, low, high (95 % interval), the single runs
Bars = Mapping[str, tuple[float, float, float, Sequence[float]]]


def ablation_view(
    bars: Bars,
    grid: pd.DataFrame,
    chosen: tuple[float, float],
    column: str,
    live: Sequence[Mapping[str, float]] = (),
) -> Picture:
    """The chosen setting and its parts with intervals; the plane of both weights; the live run.

    Args:
        bars: name -> mean, low, high (95 % interval), the single runs.
        grid: means, rows medoid weight, columns past weight.
        chosen: medoid weight and past weight of now.
        column: the measure, such as "test_top1".
        live: metrics per epoch of a run of this setting that is being trained: the star.
    """
    label, factor = measure(column)
    with style():
        figure, axes = in_a_row(10.4, 3.3, [1.2, 1, 0.9], [2.4, 2.8, 2.4])
        left, right, curve = axes
        for y, (name, (mean, low, high, values)) in enumerate(bars.items()):
            colour = PALETTE[0] if name == "this setting" else "#666666"
            left.plot([factor * low, factor * high], [y, y], color=colour, linewidth=2)
            left.plot(factor * np.asarray(values), [y] * len(values), "|", color=colour, ms=9)
            left.plot(factor * mean, y, "o", color=colour, ms=8)
        left.set(yticks=range(len(bars)), yticklabels=list(bars), ylim=(len(bars) - 0.5, -0.5))
        title = "One run each" if _single(bars) else "Mean, 95 % interval, runs"
        left.set(xlabel=label, title=title)

        means = factor * grid.to_numpy(dtype=np.float64)
        image = right.imshow(means, cmap="viridis", aspect="auto", origin="lower")
        dark = means < (means.min() + means.max()) / 2
        pattern = ".1f" if factor == 100 else ".2f"
        number_cells(right, means, pattern, np.where(dark, "white", "black"), 9)
        rows, columns = ([float(x) for x in axis] for axis in (grid.index, grid.columns))
        if chosen[0] in rows and chosen[1] in columns:
            cell = (columns.index(chosen[1]), rows.index(chosen[0]))
            right.plot(*cell, "s", ms=34, mfc="none", mec=FLAG, mew=2.5)
        right.set_xticks(range(len(columns)), [f"{c:g}" for c in columns])
        right.set_yticks(range(len(rows)), [f"{r:g}" for r in rows])
        right.set(xlabel="past weight b", ylabel="medoid weight a", title="Both weights")
        right.grid(False)
        figure.colorbar(image, ax=right, shrink=0.9).outline.set_visible(False)  # type: ignore[operator]

        if live:
            epochs, now = [row["epoch"] for row in live], factor * live[-1][column]
            left.plot(now, 0, "*", color=FLAG, ms=13)
            curve.plot(epochs, [factor * row[column] for row in live], "-", color=FLAG)
            curve.plot(epochs[-1], now, "*", color=FLAG, ms=13)
            curve.set_xlim(0.5, max(epochs[-1], 10) + 0.5)
            curve.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            none = "no live run\nof this setting"
            curve.text(0.5, 0.5, none, ha="center", transform=curve.transAxes)
            curve.set(xticks=[], yticks=[])
        curve.set(xlabel="epoch", ylabel=label, title="Live run")
    figure.alt = describe_ablation_view(bars, column)
    return figure


def _single(bars: Bars) -> bool:
    """One run stands behind each value: nothing is averaged, and there are no intervals."""
    return all(len(values) == 1 for *_, values in bars.values())


def describe_ablation_view(bars: Bars, column: str) -> str:
    """Each mean with its interval, or the single runs, in words."""
    label, factor = measure(column)
    digits = 1 if factor == 100 else 3
    parts = []
    for name, (mean, low, high, values) in bars.items():
        around = f" [{factor * low:.{digits}f}, {factor * high:.{digits}f}]"
        parts.append(f"{name} {factor * mean:.{digits}f}{around if len(values) > 1 else ''}")
    what = "one stored run each" if _single(bars) else "mean of stored runs with 95 % interval"
    return f"{label}, {what}: {'; '.join(parts)}."
