"""The regime map: gains over cross-entropy in every cell, and the curves of one of them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from toastlab.plots.curves import measure
from toastlab.plots.style import DASHES, MARKERS, PALETTE, headline, new_figure, style

# between orange and blue, which everybody can tell apart
COLOURS = LinearSegmentedColormap.from_list("gain", ["#b34700", "#f6f6f6", "#015b91"])
ROWS, COLUMNS = ("per_class", "noise_rate"), ("augmented", "epochs")


def regime_view(
    gains: Mapping[str, pd.DataFrame],
    method: str,
    curves: pd.DataFrame | None = None,
    chosen: Mapping[str, float] | None = None,
) -> Figure:
    """One map per measure, orange where the method loses, blue where it gains, grey within seed
    noise; below, if given, the curves of the chosen cell.

    Args:
        gains: measure -> as of `regime.gains`; positive is better.
        curves: method, epoch and the measures, of one cell.
        chosen: that cell by the names of the axes; it is framed.
    """
    with style():
        below = curves is not None
        figure = new_figure(10.4, 7.4 if below else 4.9)
        heights = [1.9, 1.0] if below else [1.0]
        axes = figure.subplots(len(heights), len(gains), squeeze=False, height_ratios=heights)
        for place, (column, table) in enumerate(gains.items()):
            _map(axes[0, place], table, column, chosen, place == 0)
            if not below:  # 216 numbers take longer to draw than all the rest: not in a panel
                _numbers(axes[0, place], table, column)
            if curves is not None:
                _curves(axes[1, place], curves, column)
        if below:
            figure.legend(
                *axes[1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2
            )
        colours = "blue: better, orange: worse, grey: within seed noise"
        headline(figure, f"{method} against cross-entropy; {colours}")
    return figure


def _map(
    axis: Axes,
    table: pd.DataFrame,
    column: str,
    chosen: Mapping[str, float] | None,
    labelled: bool,
) -> None:
    label, factor = measure(column)
    grid = _grid(table, "gain")
    seen, values, most = _values(table, factor)
    axis.set_facecolor("#c9c9c9")
    axis.imshow(
        np.ma.masked_where(~seen, values),
        cmap=COLOURS,
        norm=TwoSlopeNorm(0, -most, most),
        aspect="auto",
    )
    rows, columns = ([tuple(map(float, at)) for at in side] for side in (grid.index, grid.columns))
    if chosen is not None:
        column_at, row_at = (tuple(float(chosen[n]) for n in names) for names in (COLUMNS, ROWS))
        spot = (columns.index(column_at), rows.index(row_at))
        corner = (spot[0] - 0.5, spot[1] - 0.5)
        frame = Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=2.5, zorder=5)
        axis.add_patch(frame)
    axis.set_xticks(range(len(columns)), [f"{epochs:g}" for _, epochs in columns], fontsize=8)
    names = [f"{10 * n:g}, {100 * e:g} %" for n, e in rows] if labelled else []
    axis.set_yticks(range(len(grid)) if labelled else [], names, fontsize=8)
    for line in range(3, len(grid), 3):
        axis.axhline(line - 0.5, color="white", linewidth=2.5)
    axis.axvline(2.5, color="white", linewidth=2.5)
    unit = label.replace("(%)", "(points)")
    axis.set(xlabel="epochs; right half: augmented", title=f"Gain in {unit}")
    if labelled:
        axis.set_ylabel("training images, noise")
    axis.grid(False)


def _numbers(axis: Axes, table: pd.DataFrame, column: str) -> None:
    _, factor = measure(column)
    seen, values, most = _values(table, factor)
    for i, j in np.ndindex(values.shape):
        strong = seen[i, j] and abs(values[i, j]) > 0.6 * most
        text = f"{values[i, j]:+.1f}" if factor == 100 else f"{values[i, j]:+.2f}"
        colour = "white" if strong else "black" if seen[i, j] else "#666666"
        axis.text(j, i, text, ha="center", va="center", fontsize=7.5, color=colour)


def _values(table: pd.DataFrame, factor: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Which cells are clear, the gains, and where the colours saturate: at the 90th percentile, or
    one cell would leave all others pale."""
    table = table.assign(clear=(table.low > 0) | (table.high < 0))
    seen = _grid(table, "clear").to_numpy().astype(bool)
    values = factor * _grid(table, "gain").to_numpy()
    return seen, values, max(1e-9, float(np.quantile(np.abs(values), 0.9)))


def _grid(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column over rows and columns of the map, in rising order."""
    found = table.pivot(index=list(ROWS), columns=list(COLUMNS), values=column)
    return found.sort_index().sort_index(axis=1)


def _curves(axis: Axes, curves: pd.DataFrame, column: str) -> None:
    label, factor = measure(column)
    for i, (name, rows) in enumerate(curves.groupby("method", sort=False)):
        axis.plot(
            rows["epoch"],
            factor * rows[column],
            DASHES[i],
            color=PALETTE[i],
            marker=MARKERS[i],
            ms=5,
            label=str(name),
        )
    axis.set(xlabel="epoch", ylabel=label, title="The framed cell")


def describe_regime_view(
    gains: Mapping[str, pd.DataFrame], method: str, cell: str = "", at: Mapping[str, float] = {}
) -> str:
    """In how many cells the method is clearly better and worse, and what it does in the chosen."""
    parts = []
    for column, table in gains.items():
        label, factor = measure(column)
        better, worse = int((table.low > 0).sum()), int((table.high < 0).sum())
        mean = factor * float(table.gain.mean())
        text = (
            f"{label}: mean gain {mean:+.{1 if factor == 100 else 3}f}, better in {better} of "
            f"{len(table)} cells, worse in {worse}"
        )
        if at:
            row = table
            for name, value in at.items():
                row = row[row[name] == value]
            gain, low, high = (factor * float(row[k].iloc[0]) for k in ("gain", "low", "high"))
            text += f"; in the framed cell {gain:+.2f} [{low:+.2f}, {high:+.2f}]"
        parts.append(text)
    where = f" Framed: {cell}." if cell else ""
    return f"{method} against cross-entropy. " + ". ".join(parts) + f".{where}"
