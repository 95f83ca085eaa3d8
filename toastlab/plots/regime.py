"""The regime map: gains over cross-entropy in every cell, and the curves of one of them."""

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.patches import Rectangle

from toastlab.analysis.measures import measure, measure_of
from toastlab.plots.style import (
    NARROW,
    Picture,
    headline,
    is_narrow,
    line,
    new_figure,
    number_cells,
    style,
)

# between orange and blue, which everybody can tell apart
COLOURS = LinearSegmentedColormap.from_list("gain", ["#b34700", "#f6f6f6", "#015b91"])
# From which gain on a colour is full, as shown: the same in all maps, so that methods compare
FULL = {"test_top1": 5.0, "test_nll": 0.5, "test_ece": 15.0}
KEY = "blue: better; orange: worse; grey: the interval contains zero; white: the same in all seeds"
ROWS, COLUMNS = ("per_class", "noise_rate"), ("augmented", "epochs")


def regime_view(
    gains: Mapping[str, pd.DataFrame],
    method: str,
    curves: pd.DataFrame | None = None,
    chosen: Mapping[str, float] | None = None,
    title: str = "",
) -> Picture:
    """One map per measure, orange where the method loses, blue where it gains, grey where the
    interval contains zero, white where no seed differs; below, if given, the curves of the chosen
    cell.

    Args:
        gains: measure -> as of `regime.gains`; positive is better.
        curves: method, epoch and the measures, of one cell.
        chosen: that cell by the names of the axes; it is framed.
        title: the finding; else it says what is compared.
    """
    with style():
        below = curves is not None
        figure, axes = _axes(len(gains), below)
        for i, (column, table) in enumerate(gains.items()):
            labelled = i == 0 or is_narrow()
            _map(axes[0, i], table, column, chosen, labelled=labelled, numbers=not below)
            if curves is not None:
                _curves(axes[1, i], curves, column)
        headline(figure, title or f"{method} against cross-entropy")
        key = textwrap.fill(KEY, int(12 * figure.get_figwidth()))
        if below:  # the key stands over the legend: two things at one edge would meet
            known = axes[1, 0].get_legend_handles_labels()
            look = {"title": key, "title_fontsize": 9}
            figure.legend(*known, loc="outside lower center", ncols=2, **look)
        else:
            figure.supxlabel(key, fontsize=9)
    said = describe_regime_view(gains, method, at=chosen or {})
    figure.alt = f"{title}. {said}" if title else said
    return figure


def _axes(measures: int, below: bool) -> tuple[Picture, np.ndarray]:
    """The figure, and its axes [1 or 2, measures]: maps, and curves `below` them. On a narrow page
    each measure's curves follow its map."""
    heights = [1.9, 1.0] if below else [1.0]
    if is_narrow():
        each = 4.6 if below else 3.0
        figure = new_figure(NARROW, each * measures + 0.6)
        rows = measures * heights
        column = figure.subplots(len(rows), 1, squeeze=False, height_ratios=rows)
        return figure, column.reshape(measures, len(heights)).T
    figure = new_figure(8.4, 6.3 if below else 4.3)
    shape = (len(heights), measures)
    return figure, np.asarray(figure.subplots(*shape, squeeze=False, height_ratios=heights))


def _map(
    axis: Axes,
    table: pd.DataFrame,
    column: str,
    chosen: Mapping[str, float] | None,
    labelled: bool,
    numbers: bool,
) -> None:
    """One measure in all cells; `numbers`: written into them, which takes longer than the rest."""
    factor = measure(column)[1]
    cells = table.assign(clear=(table.low > 0) | (table.high < 0), same=_same(table))
    cells = cells.pivot(index=list(ROWS), columns=list(COLUMNS)).sort_index().sort_index(axis=1)
    grid, clear = cells["gain"], cells["clear"].to_numpy(dtype=bool)
    values = factor * grid.to_numpy()
    most = FULL[column]
    axis.set_facecolor("#c9c9c9")
    same = cells["same"].to_numpy(dtype=bool)
    shown, norm = np.ma.masked_where(~clear & ~same, values), TwoSlopeNorm(0, -most, most)
    axis.imshow(shown, cmap=COLOURS, norm=norm, aspect="auto")
    if numbers:
        dark = clear & (np.abs(values) > 0.6 * most)
        colours = np.where(dark, "white", np.where(clear, "black", "#666666"))
        colours = np.where(same, "none", colours)
        number_cells(axis, values, "+.1f" if factor == 100 else "+.2f", colours, 7.5)
    rows, columns = list(grid.index), list(grid.columns)
    if chosen is not None:
        x, y = (
            side.index(tuple(chosen[name] for name in names))
            for side, names in ((columns, COLUMNS), (rows, ROWS))
        )
        corner = (x - 0.5, y - 0.5)
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", lw=2.5, zorder=5))
    axis.set_xticks(range(len(columns)), [f"{epochs:g}" for _, epochs in columns], fontsize=8)
    names = [f"{10 * n:g}, {100 * e:g} %" for n, e in rows] if labelled else []
    axis.set_yticks(range(len(names)), names, fontsize=8)
    for row in range(3, len(rows), 3):
        axis.axhline(row - 0.5, color="white", linewidth=2.5)
    axis.axvline(2.5, color="white", linewidth=2.5)
    gain, unit = _gain(column)
    axis.set(xlabel="epochs; right: augmented")
    axis.set_title(f"{gain} ({unit});\ncolour full at {most:g}", fontsize=9.5)
    if labelled:
        axis.set_ylabel("training images, noise")
    axis.grid(False)


def _gain(column: str) -> tuple[str, str]:
    """What is gained, and in which unit: differences of percentages are points."""
    what = measure_of(column)
    return what.label, {"%": "points"}.get(what.unit, what.unit)


def _same(table: pd.DataFrame) -> pd.Series:
    """Where no seed differs from cross-entropy."""
    return (table.gain == 0) & (table.low == table.high)


def _curves(axis: Axes, curves: pd.DataFrame, column: str) -> None:
    label, factor = measure(column)
    for i, (name, rows) in enumerate(curves.groupby("method", sort=False)):
        axis.plot(rows["epoch"], factor * rows[column], label=str(name), **line(i))
    axis.set(xlabel="epoch", ylabel=label, title="The framed cell")


def describe_regime_view(
    gains: Mapping[str, pd.DataFrame], method: str, cell: str = "", at: Mapping[str, float] = {}
) -> str:
    """In how many cells the method is clearly better, worse or the same, and the gain in one."""
    parts = []
    for column, table in gains.items():
        (label, unit), factor = _gain(column), measure(column)[1]
        better, worse = int((table.low > 0).sum()), int((table.high < 0).sum())
        mean, same = factor * float(table.gain.mean()), int(_same(table).sum())
        digits = 1 if factor == 100 else 3
        text = (
            f"{label} ({unit}): mean gain {mean:+.{digits}f}, better in {better} "
            f"of {len(table)} cells, worse in {worse}, the same in {same}"
        )
        if at:
            (row,) = table.index[(table[list(at)] == pd.Series(at)).all(axis=1)]
            gain, low, high = (factor * table.loc[row, k] for k in ("gain", "low", "high"))
            text += f"; in the framed cell {gain:+.2f} [{low:+.2f}, {high:+.2f}]"
        parts.append(text)
    where = f" Framed: {cell}." if cell else ""
    return f"{method} against cross-entropy. " + ". ".join(parts) + f".{where}"
