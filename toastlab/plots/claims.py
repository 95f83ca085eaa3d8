"""Readings x claims: in how many cells a claim holds and fails, after correction."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd

from toastlab.plots.regime import COLOURS
from toastlab.plots.style import Picture, headline, new_figure, style

NAME = 40  # characters of a reading on a line


def claims_view(found: pd.DataFrame, readings: Sequence[str] = ()) -> Picture:
    """One row a reading, one column a claim; "5 / 1": it holds in 5 cells and fails in 1.

    Blue where a claim holds somewhere and fails nowhere, orange where it fails anywhere, pale where
    nothing can be said; the deeper, the more cells. A run that diverged counts as a failure.

    Args:
        found: reading, claim, cell and verdict ("holds", "fails", "open" or "diverged"), as of
            `reading_claims.pairs`.
        readings: the order from above; none: as they come.
    """
    holds, fails = _counts(found, readings)
    cells = found["cell"].nunique()
    names = [fill(str(name), NAME) for name in holds.index]
    lines = sum(name.count("\n") + 1 for name in names)
    with style():
        figure = new_figure(8.4, 0.16 * lines + 0.07 * len(names) + 1.3)
        axis = figure.subplots()
        depth = np.where(fails > 0, -fails, holds) / cells
        axis.imshow(depth, cmap=COLOURS, vmin=-1, vmax=1, aspect="auto")
        against = fails.to_numpy()
        dark = np.where(np.abs(depth) > 0.6, "white", "black")
        for (i, j), held in np.ndenumerate(holds.to_numpy()):
            text = f"{held} / {against[i, j]}"
            axis.text(j, i, text, ha="center", va="center", color=str(dark[i, j]), fontsize=9)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_xticks(range(len(holds.columns)), [fill(str(c), 8) for c in holds.columns])
        axis.tick_params(length=0)
        axis.xaxis.tick_top()
        axis.set_xlabel(f"in how many of {cells} ways to train it holds / fails")
        axis.grid(False)
        headline(figure, _finding(holds, fails))
    figure.alt = describe_claims_view(found, readings)
    return figure


def describe_claims_view(found: pd.DataFrame, readings: Sequence[str] = ()) -> str:
    """Who satisfies most claims, and which claims no reading, or every one, does."""
    holds, fails = _counts(found, readings)
    kept = (holds > 0) & (fails == 0)
    n, parts = len(kept), [_finding(holds, fails)]
    for words, chosen in (
        ("by every reading", kept.sum() == n),
        ("by none", kept.sum() == 0),
    ):
        names = ", ".join(str(c) for c in kept.columns[chosen])
        parts.append(f"satisfied {words}: {names or 'no claim'}")
    return "; ".join(parts) + "."


def _finding(holds: pd.DataFrame, fails: pd.DataFrame) -> str:
    """The most claims that a reading satisfies: they hold somewhere and fail nowhere."""
    kept = ((holds > 0) & (fails == 0)).sum(axis=1)
    most = int(kept.max())
    best = [str(name) for name in kept.index[kept == most]]
    who = f"“{best[0]}”" if len(best) == 1 else f"{len(best)} of {len(kept)} readings"
    return f"At most {most} of {holds.shape[1]} claims hold somewhere and fail nowhere: {who}"


def _counts(found: pd.DataFrame, readings: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """In how many cells each claim (columns) of each reading (rows) holds, and fails."""
    rows = list(readings) or list(found["reading"].unique())
    columns = list(found["claim"].unique())
    tables = []
    for verdicts in (["holds"], ["fails", "diverged"]):
        is_so = found["verdict"].isin(verdicts)
        table = is_so.groupby([found["reading"], found["claim"]]).sum().unstack(fill_value=0)
        tables.append(table.reindex(index=rows, columns=columns, fill_value=0).astype(int))
    return tables[0], tables[1]
