"""What the classes have to do with each other: degrees of confusion, and how they change."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from toastlab.plots.style import FLAG, PALETTE, Picture, legend_mark, line, new_figure, style

Families = Sequence[Sequence[int]]
COLOURS = "mako_r"  # pale for little: dark marks and white ones are seen on all of it


def degrees_view(
    panels: Mapping[str, np.ndarray], classes: Sequence[str], families: Families
) -> Picture:
    """Heat maps of what each class gives to each other one, in percent; rows are the classes.

    A mark shows each row's runner-up, the largest share beside the own one; the own share is left
    out, since it would hide the others. Related classes stand together, in a frame.

    Args:
        panels: name -> [K, K] shares, rows sum to 1. One to three.
        families: the classes that are related, by their numbers; each class in one at most.
    """
    order = _order(len(classes), families)
    own = np.eye(len(classes), dtype=bool)
    shown = {name: np.where(own, np.nan, 100 * np.asarray(x)) for name, x in panels.items()}
    most = max(float(np.nanmax(x)) for x in shown.values())
    with style():
        figure = new_figure(1.7 + 3.1 * len(panels), 4.4)
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (name, x) in zip(axes, shown.items(), strict=True):
            cells = x[np.ix_(order, order)]
            axis.set_facecolor("#dddddd")  # of the diagonal
            picture = axis.imshow(cells, cmap=COLOURS, vmin=0, vmax=most)
            names = [classes[c] for c in order]
            axis.set_xticks(range(len(order)), names, rotation=90)
            axis.set_yticks(range(len(order)), names)
            axis.grid(False)
            _mark(axis, _runners_up(panels[name]), order, families)
            near, of = _counted(panels[name], families)
            axis.set_title(f"{name}: {near} of {of} relatives")
        bar = figure.colorbar(picture, ax=list(axes), shrink=0.8)
        bar.set_label("share (%)")
        bar.outline.set_visible(False)  # type: ignore[operator]
        look = {"mec": "black", "markersize": 8}
        figure.legend(
            handles=[
                legend_mark("runner-up, a relative", "o", mfc="white", **look),
                legend_mark("runner-up, a stranger", "X", mfc=FLAG, **look),
            ],
            loc="outside lower center",
            ncols=2,
        )
    figure.alt = describe_degrees_view(panels, classes, families)
    return figure


def describe_degrees_view(
    panels: Mapping[str, np.ndarray], classes: Sequence[str], families: Families
) -> str:
    """In how many classes the runner-up is a relative, and in which it is not, in words."""
    parts = []
    for name, x in panels.items():
        second, (near, of) = _runners_up(x), _counted(x, families)
        strange = [
            f"{classes[c]} to {classes[second[c]]} {100 * x[c][second[c]]:.0f} %"
            for family in families
            for c in family
            if second[c] not in family
        ]
        outside = f"; strangers: {', '.join(strange)}" if strange else ""
        parts.append(f"{name}: the runner-up is a relative in {near} of {of} classes{outside}")
    return ". ".join(parts) + "."


def over_epochs(
    curves: Mapping[str, np.ndarray],
    unit: str,
    title: str,
    level: tuple[str, float] | None = None,
    low: float | None = 0,
) -> Picture:
    """One number an epoch and run, and a level to compare with.

    Args:
        curves: name -> [E] values from epoch 1 on.
        unit: label of the vertical axis; title: the finding.
        level: what the dashed line is, and where.
        low: where the vertical axis begins; None: below the lowest value.
    """
    with style():
        figure = new_figure(8.2, 2.5)
        axis = figure.subplots()
        for i, (name, values) in enumerate(curves.items()):
            look = {**line(i), "markevery": max(1, len(values) // 6)}
            axis.plot(range(1, len(values) + 1), values, label=name, **look)
        if level:
            axis.axhline(level[1], color="#666666", linestyle=":", label=level[0])
        axis.set(xlabel="epoch", ylabel=unit, ylim=(low, None), title=title)
        figure.legend(loc="outside right center")
    figure.alt = describe_over_epochs(curves, unit, title, level)
    return figure


def describe_over_epochs(
    curves: Mapping[str, np.ndarray], unit: str, title: str, level: tuple[str, float] | None = None
) -> str:
    """The first and the last value of each curve, in words."""
    parts = [f"{name} from {x[0]:.0f} to {x[-1]:.0f}" for name, x in curves.items()]
    parts += [f"{level[0]} {level[1]:.0f}"] if level else []
    return f"{title}. {unit}, first and last epoch: {'; '.join(parts)}."


def _order(count: int, families: Families) -> list[int]:
    """The classes, families first."""
    related = [c for family in families for c in family]
    return related + [c for c in range(count) if c not in related]


def _runners_up(shares: np.ndarray) -> np.ndarray:
    """Of each class [K], which other one gets most."""
    own = np.eye(len(shares), dtype=bool)
    return np.where(own, -1, shares).argmax(1)


def _counted(shares: np.ndarray, families: Families) -> tuple[int, int]:
    """How many classes with relatives have one as runner-up, and how many there are."""
    second = _runners_up(shares)
    near = [second[c] in family for family in families for c in family]
    return sum(near), len(near)


def _mark(axis: Axes, second: np.ndarray, order: list[int], families: Families) -> None:
    """Frames around families, and the runners-up of their classes."""
    first = 0
    for family in families:
        box = (first - 0.5, first - 0.5)
        axis.add_patch(
            Rectangle(box, len(family), len(family), fill=False, edgecolor=PALETTE[1], linewidth=2)
        )
        first += len(family)
        for c in family:
            near = second[c] in family
            axis.plot(
                order.index(second[c]),
                order.index(c),
                "o" if near else "X",
                mfc="white" if near else FLAG,
                mec="black",
                markersize=8,
            )
