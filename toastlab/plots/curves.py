"""Metrics over epochs, and differences between methods with their intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from toastlab.analysis.measures import measure as measure
from toastlab.plots.style import FLAG, PALETTE, Picture, headline, line, new_figure, style


def _stack(frames: Sequence[pd.DataFrame], column: str) -> tuple[np.ndarray, np.ndarray]:
    frames = [f.dropna(subset=[column]) for f in frames]  # epochs without an evaluation
    epochs = frames[0]["epoch"].to_numpy()
    return epochs, np.stack([f[column].to_numpy(dtype=np.float64) for f in frames])


def learning_curves(
    frames: Mapping[str, Sequence[pd.DataFrame]],
    columns: Sequence[str] = ("test_top1", "test_nll"),
    note: str = "",
) -> Picture:
    """Mean over seeds as a line, smallest to largest seed as a band, one panel per column.

    Args:
        frames: method -> one table of epochs per seed, as `Result.metrics`.
        columns: such as "test_top1", "val_ece", "carried_share".
        note: what a line is, where it is no seed.
    """
    with style():
        figure = new_figure(4.8 * len(columns), 3.6)
        axes = figure.subplots(1, len(columns), squeeze=False)[0]
        seeds = max(len(f) for f in frames.values())
        for axis, column in zip(axes, columns, strict=True):
            label, factor = measure(column)
            for i, (name, tables) in enumerate(frames.items()):
                epochs, values = _stack(tables, column)
                values = values * factor
                look = {**line(i), "markevery": max(1, len(epochs) // 6), "linewidth": 1.8}
                axis.plot(epochs, values.mean(0), label=name, **look)
                if len(tables) > 1:
                    ends, colour = (values.min(0), values.max(0)), look["color"]
                    axis.fill_between(epochs, *ends, color=colour, alpha=0.15, linewidth=0)
            axis.set(xlabel="epoch", ylabel=label, title=label[0].upper() + label[1:])
        band = f"line: mean of {seeds} seeds, band: all of them" if seeds > 1 else "one seed"
        figure.legend(
            *axes[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=min(4, len(frames)),
            title=note or band,
            title_fontsize=9,
        )
    figure.alt = describe_learning_curves(frames, columns)
    return figure


def describe_learning_curves(
    frames: Mapping[str, Sequence[pd.DataFrame]], columns: Sequence[str] = ("test_top1", "test_nll")
) -> str:
    """The last epoch's means in words."""
    parts = []
    for column in columns:
        label, factor = measure(column)
        ends = {n: float(_stack(f, column)[1][:, -1].mean()) * factor for n, f in frames.items()}
        shown = ", ".join(f"{n} {v:.2f}" for n, v in ends.items())
        parts.append(f"{label} in the last epoch: {shown}.")
    return " ".join(parts)


def forest(table: pd.DataFrame, unit: str, title: str = "") -> Picture:
    """Paired differences to the baseline with 95 % intervals; hollow where 0 is inside.

    Args:
        table: method, mean, low, high, and setting where there are several.
        unit: of the values, for the axis; title: the finding, if there is one.
    """
    settings = list(dict.fromkeys(table["setting"])) if "setting" in table else [""]
    with style():
        figure = new_figure(4.6 * len(settings) + 1.2, 0.19 * table["method"].nunique() + 1.4)
        axes = figure.subplots(1, len(settings), squeeze=False, sharey=True, sharex=True)[0]
        for axis, setting in zip(axes, settings, strict=True):
            part = table[table["setting"] == setting] if setting else table
            for y, row in enumerate(part.itertuples()):
                mean, low, high = float(row.mean), float(row.low), float(row.high)  # type: ignore[arg-type]
                clear = not low <= 0 <= high and not np.isnan(low)
                colour = PALETTE[0] if mean > 0 else FLAG
                axis.plot([low, high], [y, y], color=colour, linewidth=2)
                mark, inside = "o" if mean > 0 else "s", colour if clear else "white"
                axis.plot(mean, y, mark, color=colour, markerfacecolor=inside, markersize=8)
            axis.axvline(0, color="#444444", linewidth=1)
            axis.set_yticks(range(len(part)), list(part["method"]))
            axis.set_ylim(len(part) - 0.5, -0.5)
            axis.set(xlabel=f"difference to cross-entropy ({unit})", title=setting)
        hollow = "hollow: the 95 % interval contains zero"
        headline(figure, f"{title}; {hollow}" if title else hollow.capitalize())
    figure.alt = (
        f"{title}. {describe_forest(table, unit)}" if title else describe_forest(table, unit)
    )
    return figure


def describe_forest(table: pd.DataFrame, unit: str) -> str:
    """Each difference with its interval, in words."""
    parts = []
    for row in table.to_dict("records"):
        where = f" ({row['setting']})" if row.get("setting") else ""
        interval = f"[{row['low']:+.2f}, {row['high']:+.2f}]"
        parts.append(f"{row['method']}{where} {row['mean']:+.2f} {interval}")
    return f"Difference to cross-entropy in {unit}: {'; '.join(parts)}."
