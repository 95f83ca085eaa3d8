"""All methods on the regime map: how often each gains or loses, and what its gains go with."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from toastlab.analysis.measures import measure_of
from toastlab.plots.curves import describe_learning_curves, learning_curves
from toastlab.plots.style import MARKERS, PALETTE, Picture, headline, new_figure, style

BETTER, WORSE = "#015b91", "#b34700"  # as on the map


def cell_view(curves: pd.DataFrame, measures: Sequence[str], title: str, note: str = "") -> Picture:
    """The courses of some methods in one cell.

    Args:
        curves: method, epoch and the measures; title: the finding; note: what a line is.
    """
    frames = {str(name): [rows] for name, rows in curves.groupby("method", sort=False)}
    figure = learning_curves(frames, measures, note)
    with style():
        figure.set_size_inches(8.2, 3.0)
        headline(figure, title)
    figure.alt = f"{title}. {describe_cell_view(curves, measures)}"
    return figure


def describe_cell_view(curves: pd.DataFrame, measures: Sequence[str]) -> str:
    """The last values in words."""
    frames = {str(name): [rows] for name, rows in curves.groupby("method", sort=False)}
    return describe_learning_curves(frames, measures)


def regime_counts_view(counts: pd.DataFrame, title: str, cells: int = 72) -> Picture:
    """In how many cells each method is clearly better (blue, right) and worse (orange, left).

    Args:
        counts: method, measure, better, worse, and worse_holm, which is drawn darker; as of
            `regime.summary`. Methods stand as they come.
        title: the finding; cells: that there are.
    """
    with style():
        methods = list(dict.fromkeys(counts["method"]))
        measures = list(dict.fromkeys(counts["measure"]))
        figure = new_figure(8.4, 0.155 * len(methods) + 1.4)
        axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for axis, name in zip(axes, measures, strict=True):
            rows = counts[counts["measure"] == name].set_index("method").loc[methods]
            y = np.arange(len(methods))
            axis.barh(y, rows["better"], color=BETTER, label="better")
            axis.barh(y, -rows["worse"], color=WORSE, alpha=0.55, label="worse")
            axis.barh(y, -rows["worse_holm"], color="#6b2a00", label="worse, after Holm")
            axis.axvline(0, color="#444444", linewidth=1)
            ticks = [-cells, -cells // 2, 0, cells // 2, cells]
            axis.set_xticks(ticks, [f"{abs(x)}" for x in ticks])
            axis.set(xlim=(-cells, cells), title=measure_of(name).label)
            axis.grid(visible=False, axis="y")
        axes[0].set_yticks(range(len(methods)), methods)
        axes[0].set_ylim(len(methods) - 0.5, -0.5)
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=3, title=f"of {cells} cells")
        headline(figure, title)
    figure.alt = f"{title}. {describe_regime_counts_view(counts, cells)}"
    return figure


def describe_regime_counts_view(counts: pd.DataFrame, cells: int = 72) -> str:
    """For each measure and method the cells that are better and worse, in words."""
    parts = []
    for name, rows in counts.groupby("measure", sort=False):
        said = [f"{r['method']} {r['better']} / {r['worse']}" for r in rows.to_dict("records")]
        parts.append(f"{measure_of(str(name)).label}: {', '.join(said)}")
    return f"Cells of {cells} that are better / worse. {'. '.join(parts)}."


def gain_by_loss_view(table: pd.DataFrame, title: str) -> Picture:
    """What a method gains in a cell, against what plain training has lost there since its best.

    Args:
        table: gain, lost (both in nats of NLL), epochs and augmented, a row a cell.
        title: the finding.
    """
    with style():
        figure = new_figure(8.2, 2.9)
        axis = figure.subplots()
        for (augmented, epochs), rows in table.groupby(["augmented", "epochs"]):
            i = sorted(set(table["epochs"])).index(epochs)
            axis.plot(
                rows["lost"],
                rows["gain"],
                MARKERS[i],
                color=PALETTE[i],
                markerfacecolor="white" if augmented else PALETTE[i],
                label=f"{epochs:g} epochs" + (", augmented" if augmented else ""),
            )
        most = float(table["lost"].max())
        axis.plot([0, most], [0, most], ":", color="#666666", label="as much as stopping there")
        axis.axhline(0, color="#444444", linewidth=1)
        axis.set(
            xlabel="NLL that cross-entropy has lost since its best evaluation (nats)",
            ylabel="gain in NLL (nats)",
        )
        figure.legend(loc="outside right center")
        headline(figure, title)
    figure.alt = f"{title}. {describe_gain_by_loss_view(table)}"
    return figure


def describe_gain_by_loss_view(table: pd.DataFrame) -> str:
    """The mean gain where plain training has lost, and where it has not, in words."""
    parts = []
    for words, here in (("has lost", table["lost"] > 0), ("has lost nothing", table["lost"] == 0)):
        if here.any():
            parts.append(
                f"where cross-entropy {words} ({here.sum()} cells) the mean gain is "
                f"{table['gain'][here].mean():+.2f} nats"
            )
    return f"NLL: {'; '.join(parts)}."
