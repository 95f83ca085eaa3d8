"""Where stage 1 ends: certainty of a fitted network against the medoid weight."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from toastlab.core.errors import BadValue
from toastlab.plots.style import Picture, headline, line, new_figure, style

Marks = Sequence[tuple[float, float]]  # (medoid weight, temperature)


def fixed_point_view(table: pd.DataFrame, marked: Marks = ()) -> Picture:
    """p against a, one curve a temperature; marked settings stand in a ring with their number.

    Args:
        table: weight, temperature and p, as of `analysis.fixed_point.fixed_points`.
        marked: settings (a, T_m) that the table holds, such as the defaults.

    Raises:
        ValueError: a marked setting is not in the table.
    """
    found = [_at(table, *mark) for mark in marked]
    with style():
        figure = new_figure(8.2, 2.9)
        axis = figure.subplots()
        for i, (temperature, rows) in enumerate(table.groupby("temperature")):
            look = {**line(i), "markevery": max(1, len(rows) // 6), "linewidth": 1.8}
            name = f"{temperature:g}"
            axis.plot(rows["weight"], 100 * rows["p"], label=name, **look)
        for (weight, temperature), p in zip(marked, found, strict=True):
            axis.plot(weight, 100 * p, "o", ms=13, mfc="none", mec="black", mew=2, zorder=5)
            text = f"a {weight:g}, temperature {temperature:g}: {100 * p:.0f} %"
            place: dict[str, Any] = {"xytext": (10, 10), "textcoords": "offset points", "zorder": 6}
            ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
            axis.annotate(text, (weight, 100 * p), fontsize=9, bbox=ground, **place)
        axis.axhline(100, color="#444444", linewidth=1, zorder=0)
        low = float(100 * table["p"].min())
        axis.set(
            xlim=(0, float(table["weight"].max()) * 1.01),
            ylim=(max(0.0, low - 4), 108),
            xlabel="medoid weight a (share of the soft target)",
            ylabel="p(right class) once it is fitted (%)",
        )
        figure.legend(
            loc="outside right center", title="temperature\nof the medoid", title_fontsize=9
        )
        headline(figure, _finding(table))
    figure.alt = describe_fixed_point_view(table, marked)
    return figure


def describe_fixed_point_view(table: pd.DataFrame, marked: Marks = ()) -> str:
    """What each temperature leaves at the largest weight, and what the marked settings end at."""
    parts = [
        f"at a {weight:g} and temperature {temperature:g} a fitted network is "
        f"{100 * (p := _at(table, weight, temperature)):.0f} % sure where it is right, "
        f"{100 * (1 - p):.0f} points too little"
        for weight, temperature in marked
    ]
    return "; ".join([_finding(table), *parts]) + "."


def _finding(table: pd.DataFrame) -> str:
    """Which temperatures fade and which stay, at all weights of the table."""
    lowest = table.groupby("temperature")["p"].min()
    fade = [float(t) for t, p in lowest.items() if np.isclose(p, 1, atol=1e-6)]  # type: ignore[arg-type]
    stay = [float(t) for t, p in lowest.items() if not np.isclose(p, 1, atol=1e-6)]  # type: ignore[arg-type]
    parts = []
    if stay:
        parts.append(f"From temperature {min(stay):g} on, logits that fit end below certainty")
    if fade:
        words = f"up to {max(fade):g} the softening fades by itself"
        parts.append(words if parts else words.replace("up to", "Up to temperature"))
    return "; ".join(parts)


def _at(table: pd.DataFrame, weight: float, temperature: float) -> float:
    same = np.isclose(table["weight"], weight) & np.isclose(table["temperature"], temperature)
    if not same.any():
        raise BadValue(
            f"a {weight:g} with T_m {temperature:g} is not in the table: mark settings that it has."
        )
    return float(table.loc[same, "p"].iloc[0])
