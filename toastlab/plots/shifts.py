"""What becomes of one number of each method when one thing changes: two marks and an arrow."""

import pandas as pd

from toastlab.plots.style import FLAG, PALETTE, Picture, headline, legend_mark, new_figure, style


def shifts_view(
    table: pd.DataFrame, unit: str, title: str, level: tuple[str, float] | None = None
) -> Picture:
    """One row a method, from a hollow mark to a filled one, and a level to compare with.

    Args:
        table: its index names the rows from above; two columns, before and after, named as the
            legend is to name them.
        unit: of the values, for the axis; title: the finding.
        level: what the dashed line is, and where.
    """
    before, after = (str(name) for name in table.columns)
    with style():
        figure = new_figure(8.2, 0.175 * len(table) + 0.9)
        axis = figure.subplots()
        if level:
            axis.axvline(level[1], color="#444444", linestyle="--", linewidth=1.2, label=level[0])
        for y, (first, second) in enumerate(table.to_numpy(dtype=float)):
            axis.plot([first, second], [y, y], color="#999999", linewidth=1.5, zorder=1)
            axis.plot(first, y, "o", markersize=7, mfc="white", mec=FLAG, mew=1.5, zorder=2)
            axis.plot(second, y, "D", markersize=6, color=PALETTE[0], zorder=3)
        axis.set_yticks(range(len(table)), [str(name) for name in table.index])
        axis.set(ylim=(len(table) - 0.5, -0.5), xlabel=unit)
        headline(figure, title)
        marks = [
            legend_mark(before, "o", mfc="white", mec=FLAG, mew=1.5, markersize=7),
            legend_mark(after, "D", color=PALETTE[0], markersize=6),
        ]
        handles = [*marks, *axis.get_legend_handles_labels()[0]]
        figure.legend(handles=handles, loc="outside right center")
    figure.alt = describe_shifts_view(table, unit, title, level)
    return figure


def describe_shifts_view(
    table: pd.DataFrame, unit: str, title: str, level: tuple[str, float] | None = None
) -> str:
    """Both numbers of each row, in words."""
    before, after = table.columns
    rows = zip(table.index, table.to_numpy(dtype=float), strict=True)
    said = "; ".join(f"{name} {first:.1f} to {second:.1f}" for name, (first, second) in rows)
    line = f" {level[0]}: {level[1]:.1f}." if level else ""
    return f"{title}. {unit}, {before} to {after}: {said}.{line}"
