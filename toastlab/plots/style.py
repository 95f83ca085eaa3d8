"""The look that all figures share, and how they leave as PNG."""

import base64
import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

PALETTE = [tuple(c) for c in sns.color_palette("colorblind")]
MARKERS = "osD^vPX*"
DASHES = ["-", "--", "-.", ":"]
FLAG = PALETTE[3]  # vermilion, for what was flipped on purpose
NARROW = 4.2  # inches, of 100 pixels: a phone held upright shows a figure so wide at nine tenths
_narrow: ContextVar[bool] = ContextVar("narrow", default=False)


@contextmanager
def narrow(page: bool = True) -> Iterator[None]:
    """Figures drawn within are for a narrow page: `NARROW` wide, their parts one below the other.

    Args:
        page: False: for a page of the usual width.
    """
    before = _narrow.set(page)
    try:
        yield
    finally:
        _narrow.reset(before)


def is_narrow() -> bool:
    """Whether figures are drawn for a narrow page now, see `narrow`."""
    return _narrow.get()


@contextmanager
def style() -> Iterator[None]:
    """The look that all figures share: white, quiet grid, readable at notebook width."""
    look = {
        **sns.axes_style("whitegrid"),
        "savefig.facecolor": "white",
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "grid.color": "#e4e4e4",
        "axes.edgecolor": "#999999",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(look):
        yield


class Picture(Figure):
    """A figure that a notebook shows as PNG, without pyplot: nothing global, nothing left open.

    Attributes:
        alt: what it shows, in words: the picture's alternative text, and all that is seen of it
            where there are no pictures.
    """

    alt: str = ""

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return to_png(self, dpi=100), {"alt": self.alt}

    def __repr__(self) -> str:
        return self.alt or super().__repr__()


def new_figure(width: float, height: float) -> Picture:
    """An empty figure, inches. Who fills it says in `alt` what it shows.

    On a narrow page it has four pixels for one, as the screens of phones have.
    """
    dpi = 200 if is_narrow() else 100
    figure = Picture(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def in_a_row(
    width: float, height: float, widths: Sequence[float], heights: Sequence[float]
) -> tuple[Picture, list[Axes]]:
    """A figure and its axes side by side; on a narrow page one below the other.

    Args:
        width, height: of the figure, inches; widths: of the axes, relative to each other.
        heights: of the axes on a narrow page, inches, with what is written around them.
    """
    if is_narrow():
        figure = new_figure(NARROW, sum(heights))
        grid = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False).T
    else:
        figure = new_figure(width, height)
        grid = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)
    return figure, list(grid[0])


def filled(text: str, width: float, size: float = 10) -> str:
    """A text in as many lines as a width in inches needs, of letters of so many points."""
    return textwrap.fill(text, int(115.5 / size * width))


def headline(figure: Figure, text: str) -> None:
    """A title over the whole figure, in as many lines as its width needs."""
    lines = filled(text, figure.get_figwidth(), 11)
    figure.suptitle(lines, fontsize=11, fontweight="bold")


def line(i: int) -> dict[str, Any]:
    """How the i-th curve is drawn: colour, dashes and marker of its own."""
    return {
        "color": PALETTE[i % len(PALETTE)],
        "linestyle": DASHES[i % len(DASHES)],
        "marker": MARKERS[i % len(MARKERS)],
        "markersize": 5,
    }


def legend_mark(label: str, marker: str, **look: Any) -> Line2D:
    """A marker without a line, for a legend."""
    return Line2D([], [], linestyle="", marker=marker, label=label, **look)


def number_cells(
    axis: Axes, values: np.ndarray, pattern: str, colours: np.ndarray, size: float
) -> None:
    """Writes the values [rows, columns] into the cells of a picture of them."""
    for (i, j), value in np.ndenumerate(values):
        text, colour = format(value, pattern), str(colours[i, j])
        axis.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)


def show_image(axis: Axes, image: np.ndarray, **more: Any) -> None:
    """One uint8 image [C, H, W]."""
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, **more)


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def drawn_png(figure: Figure) -> bytes:
    """The figure as PNG, drawn once: twice as fast as `to_png`, since `savefig` draws twice."""
    buffer = io.BytesIO()
    with style():
        canvas = FigureCanvasAgg(figure)
        canvas.print_png(buffer, metadata={"Software": None}, pil_kwargs={"compress_level": 3})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def to_data_uri(figure: Figure, dpi: int = 110) -> str:
    """The figure as a data URI, for pages that must show it without a network."""
    return "data:image/png;base64," + base64.b64encode(to_png(figure, dpi)).decode()
