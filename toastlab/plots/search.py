"""How a class medoid is found: the candidates in the plane, and their sums between bounds."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from toastlab.plots.style import FLAG, PALETTE, Picture, legend_mark, new_figure, style

GREY = "#b9b9b9"


@dataclass(frozen=True, eq=False)
class Search:
    """The n candidates of a class.

    Attributes:
        places: [n, 2] in the plane, the mean at the origin.
        radius: [n] true distance from the mean.
        exact: [n] true mean distance to the others.
        low, high: [n] bounds on it.
        wrong: [n] bool, whether the label is wrong.
    """

    places: np.ndarray
    radius: np.ndarray
    exact: np.ndarray
    low: np.ndarray
    high: np.ndarray
    wrong: np.ndarray

    @property
    def medoid(self) -> int:
        """The row of the medoid."""
        return int(self.exact.argmin())

    @property
    def left(self) -> np.ndarray:
        """Whom the bounds do not rule out, [n] bool."""
        return np.asarray(self.low <= self.high.min())


def search_view(found: Search) -> Picture:
    """Left, the candidates with medoid and mean; right, their mean distances between the bounds."""
    with style():
        figure = new_figure(8.4, 3.5)
        plane, sums = figure.subplots(1, 2, width_ratios=[1, 1.15])
        _plane(plane, found)
        _sums(sums, found)
    figure.alt = describe_search_view(found)
    return figure


def describe_search_view(found: Search) -> str:
    """How far the medoid lies from the mean, and how many the bounds rule out, in words."""
    own, n = found.radius[found.medoid], len(found.radius)
    nearer = int((found.radius < own).sum())
    return (
        f"{n} candidates, {int(found.wrong.sum())} with a wrong label. The medoid lies "
        f"{own / found.radius.mean():.2f} mean radii from the mean; {nearer} candidates lie nearer "
        f"to it. The bounds rule out {n - int(found.left.sum())} candidates."
    )


def _plane(axis: Axes, found: Search) -> None:
    for wrong, colour, marker in ((False, PALETTE[0], "."), (True, FLAG, "x")):
        rows = found.places[found.wrong == wrong]
        axis.scatter(rows[:, 0], rows[:, 1], s=24, alpha=0.6, color=colour, marker=marker)
    axis.plot(0, 0, "P", mfc="white", mec="black", markersize=11)
    axis.plot(*found.places[found.medoid], "*", mfc="#f0e442", mec="black", markersize=16)
    axis.set_aspect("equal", "datalim")
    axis.set(xlabel="first principal component (logits)", ylabel="second (logits)")
    share = found.radius[found.medoid] / found.radius.mean()
    axis.set_title(f"Medoid and mean: {share:.2f} mean radii apart")
    look = {"mec": "black", "markersize": 9}
    axis.legend(
        handles=[
            legend_mark("right label", ".", color=PALETTE[0], markersize=7),
            legend_mark("wrong label", "x", color=FLAG, markersize=6),
            legend_mark("mean", "P", mfc="white", **look),
            legend_mark("medoid", "*", mfc="#f0e442", **look),
        ],
        loc="best",
        frameon=True,
    )


def _sums(axis: Axes, found: Search) -> None:
    order = found.exact.argsort()
    rank = np.arange(1, len(order) + 1)
    left = found.left[order]
    for some, colour, label in ((~left, GREY, "ruled out"), (left, PALETTE[0], "still possible")):
        ends = found.low[order][some], found.high[order][some]
        axis.vlines(rank[some], *ends, color=colour, linewidth=1.2, label=label)
    axis.plot(rank, found.exact[order], color="black", linewidth=1.5, label="true value")
    axis.axhline(found.high.min(), color=FLAG, linestyle="--", label="least upper bound")
    axis.set(xlabel="candidates, best first", ylabel="mean distance to all (logits)")
    axis.set_title(f"The bound rules out {int((~left).sum())} of {len(left)}")
    axis.legend(loc="upper left")
