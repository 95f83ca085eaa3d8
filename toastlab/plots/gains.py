"""What a method gains over another, with intervals; and what gaining more costs in harm."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd

from toastlab.plots.style import FLAG, PALETTE, Picture, headline, new_figure, style

NAME = 30  # characters of a name on a line


def gains_view(table: pd.DataFrame, unit: str, title: str) -> Picture:
    """A panel for each group, a row for each name: gains with their 95 % intervals.

    Blue gains, vermilion loses; hollow where the interval contains zero.

    Args:
        table: group, name, mean, low, high; rows of a group in the order from above.
        unit: of the values, for the axis; title: the finding.
    """
    groups = list(dict.fromkeys(table["group"]))
    names = list(dict.fromkeys(table["name"]))
    broken = [fill(str(name), NAME) for name in names]
    lines = sum(name.count("\n") + 1 for name in broken)
    with style():
        figure = new_figure(8.3, 0.2 * lines + 0.1 * len(names) + 1.25)
        axes = figure.subplots(1, len(groups), squeeze=False, sharex=True, sharey=True)[0]
        for axis, group in zip(axes, groups, strict=True):
            for row in table[table["group"] == group].to_dict("records"):
                y, colour = names.index(row["name"]), PALETTE[0] if row["mean"] > 0 else FLAG
                axis.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2)
                inside = "white" if row["low"] <= 0 <= row["high"] else colour
                mark = "o" if row["mean"] > 0 else "s"
                axis.plot(row["mean"], y, mark, color=colour, markerfacecolor=inside, markersize=7)
            axis.axvline(0, color="#444444", linewidth=1)
            axis.set_yticks(range(len(names)), broken)
            axis.set_ylim(len(names) - 0.5, -0.5)
            axis.set_title(str(group), fontsize=10)
        figure.supxlabel(f"{unit}; hollow: the interval contains zero", fontsize=10)
        headline(figure, title)
    figure.alt = describe_gains_view(table, unit, title)
    return figure


def describe_gains_view(table: pd.DataFrame, unit: str, title: str) -> str:
    """Each gain with its interval, in words."""
    parts = []
    for group, rows in table.groupby("group", sort=False):
        said = "; ".join(
            f"{r['name']} {r['mean']:+.1f} [{r['low']:+.1f}, {r['high']:+.1f}]"
            for r in rows.to_dict("records")
        )
        parts.append(f"{group!s}: {said}." if group else f"{said}.")
    return f"{title}. In {unit}: {' '.join(parts)}"


def price_view(table: pd.DataFrame, named: Mapping[str, str], title: str) -> Picture:
    """Mean gain against harm, a mark for each reading; better is up and left.

    Args:
        table: reading, harm (in how many comparisons it is clearly worse than cross-entropy) and
            gain (points of top-1), as of `reading_claims.counts`.
        named: readings that are named, in words; the others are grey.
        title: the finding.
    """
    with style():
        figure = new_figure(8.3, 2.3)
        axis = figure.subplots()
        for row in table.to_dict("records"):
            place, name = (row["harm"], row["gain"]), named.get(row["reading"])
            colour, size = (PALETTE[0], 8) if name else ("#9a9a9a", 6)
            axis.plot(*place, "o", color=colour, markersize=size, zorder=3)
            if name:
                look: dict[str, Any] = {
                    "xytext": (8, 4),
                    "textcoords": "offset points",
                    "fontsize": 9,
                }
                axis.annotate(name, place, **look)
        most = int(table["harm"].max())
        axis.set_xticks(range(most + 1))
        axis.set(
            xlim=(-0.3, most + 1.4),
            ylim=(min(0.0, float(table["gain"].min())), 1.15 * float(table["gain"].max())),
            xlabel="harm: comparisons with cross-entropy that are clearly worse",
            ylabel="mean gain (points)",
        )
        headline(figure, title)
    figure.alt = describe_price_view(table, named, title)
    return figure


def describe_price_view(table: pd.DataFrame, named: Mapping[str, str], title: str) -> str:
    """Harm and gain of the named readings, and the range of the others, in words."""
    known = table["reading"].isin(list(named))
    parts = [
        f"{named[r['reading']]} {r['gain']:+.1f} points, harm in {r['harm']:.0f}"
        for r in table[known].to_dict("records")
    ]
    rest = table[~known]
    if len(rest):
        low, high = np.round([rest["gain"].min(), rest["gain"].max()], 1)
        parts.append(f"{len(rest)} others {low:+.1f} to {high:+.1f} points")
    return f"{title}. {'; '.join(parts)}."
