"""The ablation: gains seed by seed and over the plane of both weights; one point of the stored grid
against its neighbours, and a live run beside it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from toastlab.analysis.measures import measure, measure_of
from toastlab.plots.regime import COLOURS
from toastlab.plots.style import (
    FLAG,
    PALETTE,
    Picture,
    headline,
    in_a_row,
    line,
    new_figure,
    number_cells,
    style,
)

# name -> mean, low, high (95 % interval), the single runs
Bars = Mapping[str, tuple[float, float, float, Sequence[float]]]
# mean, low, high of a 95 % interval
Around = tuple[float, float, float]
GREY = "#666666"
# Colours reach at least this far from cross-entropy: points, or nats. Else noise looks like a gain.
LEAST = {100.0: 2.0, 1.0: 0.1}


def pairs_view(before: Sequence[float], after: Sequence[float], names: tuple[str, str]) -> Picture:
    """Two methods, seed by seed: a line joins what began with the same weights and data.

    Args:
        before, after: test top-1 in percent, one value a seed, in the same order.
        names: of the two methods.
    """
    a, b = np.asarray(before), np.asarray(after)
    order = a.argsort(kind="stable")
    with style():
        figure = new_figure(8.2, 2.2)
        axis = figure.subplots()
        for x, i in enumerate(order):
            axis.plot([x, x], [a[i], b[i]], color="#b9b9b9", linewidth=3, zorder=1)
        axis.plot(a[order], "s", color=GREY, ms=7, label=names[0])
        axis.plot(b[order], "o", color=PALETTE[0], ms=8, label=names[1])
        axis.set_xticks(range(len(a)), [f"{i}" for i in order])
        axis.set(xlabel="seed, ordered by its first value", ylabel="test top-1 accuracy (%)")
        gain = float((b - a).mean())
        title = (
            f"{names[1]} is ahead in {int((b > a).sum())} of {len(a)} seeds, by {gain:+.1f} points"
        )
        axis.set_title(f"{title} on average")
        figure.legend(loc="outside right center")
    figure.alt = describe_pairs_view(before, after, names)
    return figure


def describe_pairs_view(
    before: Sequence[float], after: Sequence[float], names: tuple[str, str]
) -> str:
    """Both means and spreads, and the differences of the pairs, in words."""
    a, b = np.asarray(before), np.asarray(after)
    d = b - a
    return (
        f"Test top-1 of {len(a)} seeds in percent: {names[0]} {a.mean():.1f} ({a.min():.1f} to "
        f"{a.max():.1f}), {names[1]} {b.mean():.1f} ({b.min():.1f} to {b.max():.1f}); of the same "
        f"seed the second is ahead by {d.min():+.1f} to {d.max():+.1f} points, "
        f"{d.mean():+.1f} on average."
    )


def setting_gains_view(
    groups: Mapping[str, Mapping[str, Around]], title: str, axis_label: str, height: float = 0.0
) -> Picture:
    """Differences with their 95 % intervals, a panel a group; hollow where 0 is inside.

    Args:
        groups: group -> name -> mean, low and high; all groups with the same names.
        title: the finding.
        axis_label: what the differences are, with their unit.
        height: inches; 0 is by the number of names.
    """
    names = list(next(iter(groups.values())))
    with style():
        figure = new_figure(8.2, height or 1.2 + 0.24 * len(names))
        axes = figure.subplots(1, len(groups), squeeze=False, sharex=True)[0]
        for i, (axis, (group, rows)) in enumerate(zip(axes, groups.items(), strict=True)):
            for y, (mean, low, high) in enumerate(rows.values()):
                colour = PALETTE[0] if mean > 0 else FLAG
                inside = "white" if low <= 0 <= high else colour
                axis.plot([low, high], [y, y], color=colour, linewidth=2)
                mark = "o" if mean > 0 else "s"
                axis.plot(mean, y, mark, color=colour, markerfacecolor=inside, markersize=8)
            axis.axvline(0, color="#444444", linewidth=1)
            axis.set_yticks(range(len(names)), names if i == 0 else [""] * len(names))
            axis.set_ylim(len(names) - 0.5, -0.5)
            axis.set_title(group, fontsize=10, fontweight="normal")
        lines = "lines: 95 % intervals, hollow where they contain 0"
        figure.supxlabel(f"{axis_label}; {lines}", fontsize=10)
        headline(figure, title)
    figure.alt = f"{title}. {describe_setting_gains_view(groups, axis_label)}"
    return figure


def describe_setting_gains_view(groups: Mapping[str, Mapping[str, Around]], axis_label: str) -> str:
    """Each difference with its interval, in words."""
    parts = []
    for group, rows in groups.items():
        each = [f"{n} {m:+.1f} [{low:+.1f}, {high:+.1f}]" for n, (m, low, high) in rows.items()]
        parts.append(f"{group}: {', '.join(each)}")
    return f"{axis_label[0].upper()}{axis_label[1:]}, with 95 % intervals. {'; '.join(parts)}."


def planes_view(
    planes: Mapping[str, pd.DataFrame],
    title: str,
    chosen: tuple[float, float],
    unit: str = "points",
) -> Picture:
    """The plane of both weights, once a condition: gain over cross-entropy in each cell.

    Args:
        planes: condition -> gains, rows medoid weight, columns past weight; positive is better.
        title: the finding.
        chosen: medoid weight and past weight that are framed.
        unit: of the gains.
    """
    values = [plane.to_numpy(dtype=np.float64) for plane in planes.values()]
    pattern = "+.1f" if unit == "points" else "+.2f"
    most = max(LEAST[100.0 if unit == "points" else 1.0], *(float(np.abs(v).max()) for v in values))
    with style():
        figure = new_figure(8.2, 3.3)
        axes = figure.subplots(1, len(planes), squeeze=False, sharey=True)[0]
        for i, (axis, (name, plane)) in enumerate(zip(axes, planes.items(), strict=True)):
            image = _plane(axis, plane, values[i], values[i], most, pattern)
            _frame(axis, plane, chosen)
            axis.set_title(name, fontsize=10, fontweight="normal")
            if i:
                axis.set_ylabel("")
        bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.02)
        bar.set_label(f"better than cross-entropy ({unit})")
        bar.outline.set_visible(False)  # type: ignore[operator]
        headline(figure, title)
    figure.alt = f"{title}. {describe_planes_view(planes, unit)}"
    return figure


def describe_planes_view(planes: Mapping[str, pd.DataFrame], unit: str = "points") -> str:
    """The best and the worst cell of each plane, and cells with no or only one weight, in words."""
    digits, parts = 1 if unit == "points" else 2, []
    for name, plane in planes.items():
        cells = plane.stack().round(digits) + 0.0  # no minus before a zero
        a, b = cells.idxmax()  # type: ignore[misc]
        c, d = cells.idxmin()  # type: ignore[misc]
        parts.append(
            f"{name}: from {cells.min():+.{digits}f} (medoid weight {c:g}, past weight {d:g}) to "
            f"{cells.max():+.{digits}f} (medoid weight {a:g}, past weight {b:g})"
        )
    return f"Gain over cross-entropy in {unit}, in the plane of both weights. {'; '.join(parts)}."


def along_view(
    panels: Mapping[str, Mapping[str, Mapping[float, Around]]], title: str, labels: tuple[str, str]
) -> Picture:
    """Curves over a setting with 95 % intervals, a panel a condition.

    Args:
        panels: condition -> curve -> value of the setting -> mean, low and high.
        title: the finding.
        labels: of the two axes, with units.
    """
    with style():
        figure = new_figure(8.2, 2.4)
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (name, curves) in zip(axes, panels.items(), strict=True):
            for i, (curve, points) in enumerate(curves.items()):
                mean, low, high = np.array(list(points.values())).T
                ends = [mean - low, high - mean]
                axis.errorbar(list(points), mean, ends, label=curve, **line(i))
            axis.axhline(0, color="#444444", linewidth=1)
            axis.set_xlabel(labels[0])
            axis.set_title(name, fontsize=10, fontweight="normal")
        axes[0].set_ylabel(labels[1])
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=len(handles[1]))
        headline(figure, title)
    figure.alt = f"{title}. {describe_along_view(panels, labels)}"
    return figure


def describe_along_view(
    panels: Mapping[str, Mapping[str, Mapping[float, Around]]], labels: tuple[str, str]
) -> str:
    """Each curve's first and last mean, in words."""
    parts = []
    for name, curves in panels.items():
        each = []
        for curve, points in curves.items():
            (first, *_, last) = [(x, mean) for x, (mean, *_) in points.items()]
            each.append(f"{curve} {first[1]:+.1f} at {first[0]:g}, {last[1]:+.1f} at {last[0]:g}")
        parts.append(f"{name}: {'; '.join(each)}")
    return f"{labels[1][0].upper()}{labels[1][1:]} over the {labels[0]}. {'. '.join(parts)}."


def _plane(
    axis: Axes, plane: pd.DataFrame, gains: np.ndarray, shown: np.ndarray, most: float, pattern: str
) -> AxesImage:
    """A map of gains, coloured from -most to most, with the shown values [A, B] written into it."""
    image = axis.imshow(gains, cmap=COLOURS, vmin=-most, vmax=most, aspect="auto", origin="lower")
    colours = np.where(np.abs(gains) > 0.6 * most, "white", "black")
    digits = int(pattern[-2])
    number_cells(axis, shown.round(digits) + 0.0, pattern, colours, 9)  # no minus before a zero
    axis.set_xticks(range(plane.shape[1]), [f"{b:g}" for b in plane.columns])
    axis.set_yticks(range(plane.shape[0]), [f"{a:g}" for a in plane.index])
    axis.set(xlabel="past weight b (stage 2)", ylabel="medoid weight a (stage 1)")
    axis.grid(False)
    return image


def _frame(axis: Axes, plane: pd.DataFrame, chosen: tuple[float, float]) -> None:
    """Frames the cell of a medoid and a past weight, if it is there."""
    rows, columns = ([float(x) for x in side] for side in (plane.index, plane.columns))
    if chosen[0] in rows and chosen[1] in columns:
        corner = (columns.index(chosen[1]) - 0.5, rows.index(chosen[0]) - 0.5)
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", lw=2.5, zorder=5))


def ablation_view(
    bars: Bars,
    grid: pd.DataFrame,
    chosen: tuple[float, float],
    column: str,
    live: Sequence[Mapping[str, float]] = (),
) -> Picture:
    """The chosen setting and its parts with intervals; the plane of both weights; the live run.

    Args:
        bars: name -> mean, low, high (95 % interval), the single runs; the first is the setting,
            the last is cross-entropy.
        grid: means, rows medoid weight, columns past weight; blue is better than where both are 0.
        chosen: medoid weight and past weight of now.
        column: the measure, such as "test_top1".
        live: metrics per epoch of a run of this setting that is being trained: the star.
    """
    factor = measure_of(column).factor
    with style():
        widths = [1.05, 1.35, 0.8] if live else [1, 1.35]
        figure, axes = in_a_row(8.4, 3.3, widths, [2.4, 3.2, 2.4][: len(widths)])
        _bars(axes[0], bars, column)

        means = factor * grid.to_numpy(dtype=np.float64)
        sign = 1 if measure_of(column).larger_is_better else -1
        gains = sign * (means - means[0, 0])
        most = max(LEAST[factor], float(np.abs(gains).max()))
        pattern = ".1f" if factor == 100 else ".2f"
        image = _plane(axes[1], grid, gains, means, most, pattern)
        _frame(axes[1], grid, chosen)
        axes[1].set_title("Both weights; framed: now")
        unit = "points" if factor == 100 else "nats"
        bar = figure.colorbar(image, ax=axes[1], location="bottom", aspect=35, pad=0.02)
        bar.set_label(f"better than cross-entropy ({unit})")
        bar.outline.set_visible(False)  # type: ignore[operator]
        if live:
            _live(axes[0], axes[2], live, column)
    figure.alt = describe_ablation_view(bars, column)
    return figure


def _bars(axis: Axes, bars: Bars, column: str) -> None:
    """The setting and its parts, one line each; the title says what the setting gains."""
    label, factor = measure(column)
    for y, (name, (mean, low, high, values)) in enumerate(bars.items()):
        colour = PALETTE[0] if name == "this setting" else GREY
        axis.plot([factor * low, factor * high], [y, y], color=colour, linewidth=2)
        axis.plot(factor * np.asarray(values), [y] * len(values), "|", color=colour, ms=9)
        axis.plot(factor * mean, y, "o", color=colour, ms=8)
    axis.set(yticks=range(len(bars)), yticklabels=list(bars), ylim=(len(bars) - 0.5, -0.5))
    first, *_, last = (mean for mean, *_ in bars.values())
    gap = f"{factor * (first - last):+.{1 if factor == 100 else 3}f}"
    unit = "points" if factor == 100 else "nats"
    axis.set_title(f"This setting: {gap} {unit}\nagainst cross-entropy")
    how = "one run each" if _single(bars) else "runs, mean, 95 % interval"
    axis.set_xlabel(f"{label}\n{how}")


def _live(bars: Axes, curve: Axes, live: Sequence[Mapping[str, float]], column: str) -> None:
    """The run that is being trained: a curve, and a star where it is now, in the bars as well."""
    label, factor = measure(column)
    epochs, now = [row["epoch"] for row in live], factor * live[-1][column]
    bars.plot(now, 0, "*", color=FLAG, ms=13)
    curve.plot(epochs, [factor * row[column] for row in live], "-", color=FLAG)
    curve.plot(epochs[-1], now, "*", color=FLAG, ms=13)
    curve.set_xlim(0.5, max(epochs[-1], 10) + 0.5)
    curve.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    curve.set(xlabel="epoch", ylabel=label, title="Live run: star")


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
