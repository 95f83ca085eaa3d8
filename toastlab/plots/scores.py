"""Which score finds wrong labels, and what tells wrong samples from rare ones."""

import pandas as pd

from toastlab.plots.style import (
    FLAG,
    MARKERS,
    PALETTE,
    Picture,
    headline,
    legend_mark,
    new_figure,
    style,
)

KINDS = PALETTE[2], PALETTE[4], PALETTE[5]
GROUPS = {"wrong": FLAG, "rare": PALETTE[0], "other": (0.6, 0.6, 0.6)}


def scores_view(auroc: pd.DataFrame, plane: pd.DataFrame, title: str) -> Picture:
    """Left: how well each score finds wrong labels; right: where wrong and rare samples lie.

    Args:
        auroc: a row a score, from above; a column a kind of noise; AUROC in [0, 1].
        plane: kind of noise, group ("wrong", "rare" or "other"), confidence, forgetting: means.
        title: the finding.
    """
    marks = dict(zip(auroc.columns, MARKERS, strict=False))
    with style():
        figure = new_figure(9.4, 0.22 * len(auroc) + 1.2)
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        for y, values in enumerate(auroc.to_numpy(dtype=float)):
            left.plot(
                [values.min(), values.max()], [y, y], color="#cccccc", linewidth=1.5, zorder=1
            )
            for i, (mark, value) in enumerate(zip(marks.values(), values, strict=True)):
                left.plot(value, y, mark, color=KINDS[i % 3], markersize=6)
        left.axvline(0.5, color="#444444", linestyle="--", linewidth=1)
        left.set_yticks(range(len(auroc)), [str(name) for name in auroc.index])
        left.set(ylim=(len(auroc) - 0.5, -0.5), xlabel="AUROC (dashed: chance)")
        for row in plane.itertuples():
            colour, mark = GROUPS[str(row.group)], marks[str(row.noise)]
            right.plot(row.confidence, row.forgetting, mark, color=colour, markersize=8)
        right.set(xlabel="confidence", ylabel="forgetting events", xlim=(0, 1), ylim=(0, None))
        headline(figure, title)
        kinds = [
            legend_mark(str(name), mark, color=KINDS[i % 3], markersize=6)
            for i, (name, mark) in enumerate(marks.items())
        ]
        left.legend(handles=kinds, loc="upper left")
        groups = [legend_mark(name, "s", color=colour) for name, colour in GROUPS.items()]
        right.legend(handles=groups, loc="upper left")
    figure.alt = describe_scores_view(auroc, plane, title)
    return figure


def describe_scores_view(auroc: pd.DataFrame, plane: pd.DataFrame, title: str) -> str:
    """Each score's AUROC and each group's means, in words."""
    kinds = ", ".join(str(name) for name in auroc.columns)
    found = "; ".join(
        f"{name} {', '.join(f'{value:.2f}' for value in values)}"
        for name, values in zip(auroc.index, auroc.to_numpy(dtype=float), strict=True)
    )
    groups = "; ".join(
        f"{row.group}, {row.noise}: {row.confidence:.2f} and {row.forgetting:.2f}"
        for row in plane.itertuples()
    )
    return (
        f"{title}. AUROC under noise {kinds}: {found}. Confidence and forgetting events: {groups}."
    )
