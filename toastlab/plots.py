"""Data to figures. Every plot has a `describe_*` beside it that says in words what it shows.

Figures are made without pyplot: nothing global, nothing left open, the same in a notebook, a report
and a background thread.
"""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from toastlab.dynamics import variability_bound
from toastlab.metrics import Bins

PALETTE = [tuple(c) for c in sns.color_palette("colorblind")]
MARKERS = "osD^vPX*"
DASHES = ["-", "--", "-.", ":"]
FLAG = PALETTE[3]  # vermilion, for what was flipped on purpose
NAMES = {
    "top1": "top-1 accuracy",
    "top5": "top-5 accuracy",
    "nll": "NLL (nats)",
    "ece": "ECE",
    "brier": "Brier score",
    "aurc": "AURC",
    "loss": "training loss",
    "carried_share": "carried images",
}
PERCENT = ("top1", "top5", "ece", "carried_share")
MOST_POINTS = 6000
MOST_CLASSES = 20


@contextmanager
def style() -> Iterator[None]:
    """The look that all figures share: white, quiet grid, readable at notebook width."""
    look = {
        **sns.axes_style("whitegrid"),
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "axes.facecolor": "white",
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
        "font.family": ["sans-serif"],
    }
    with rc_context(look):
        yield


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def to_data_uri(figure: Figure, dpi: int = 110) -> str:
    """The figure as a data URI, for pages that must show it without a network."""
    return "data:image/png;base64," + base64.b64encode(to_png(figure, dpi)).decode()


# --- curves over epochs ---------------------------------------------------------------------------


def _measure(column: str) -> tuple[str, float]:
    """Axis label and factor of a column such as "test_top1"."""
    split, _, name = column.partition("_") if column[:4] in ("val_", "test") else ("", "", column)
    factor = 100.0 if name in PERCENT else 1.0
    label = NAMES.get(name, name) + (" (%)" if factor == 100 else "")
    return f"{split} {label}".strip(), factor


def _stack(frames: Sequence[pd.DataFrame], column: str) -> tuple[np.ndarray, np.ndarray]:
    epochs = frames[0]["epoch"].to_numpy()
    return epochs, np.stack([f[column].to_numpy(dtype=np.float64) for f in frames])


def learning_curves(
    frames: Mapping[str, Sequence[pd.DataFrame]], columns: Sequence[str] = ("test_top1", "test_nll")
) -> Figure:
    """Mean over seeds as a line, smallest to largest seed as a band, one panel per column.

    Args:
        frames: method -> one table of epochs per seed, as `Result.metrics`.
        columns: such as "test_top1", "val_ece", "carried_share".
    """
    with style():
        figure = _figure(4.8 * len(columns), 3.6)
        axes = figure.subplots(1, len(columns), squeeze=False)[0]
        seeds = max(len(f) for f in frames.values())
        for axis, column in zip(axes, columns, strict=True):
            label, factor = _measure(column)
            for i, (name, tables) in enumerate(frames.items()):
                epochs, values = _stack(tables, column)
                values = values * factor
                axis.plot(
                    epochs,
                    values.mean(0),
                    DASHES[i % len(DASHES)],
                    color=PALETTE[i % len(PALETTE)],
                    marker=MARKERS[i % len(MARKERS)],
                    markevery=max(1, len(epochs) // 6),
                    markersize=5,
                    linewidth=1.8,
                    label=name,
                )
                if len(tables) > 1:
                    axis.fill_between(
                        epochs,
                        values.min(0),
                        values.max(0),
                        color=PALETTE[i % len(PALETTE)],
                        alpha=0.15,
                        linewidth=0,
                    )
            axis.set(xlabel="epoch", ylabel=label, title=label[0].upper() + label[1:])
        band = f"line: mean of {seeds} seeds, band: all of them" if seeds > 1 else "one seed"
        figure.legend(
            *axes[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=min(4, len(frames)),
            title=band,
            title_fontsize=9,
        )
    return figure


def describe_learning_curves(
    frames: Mapping[str, Sequence[pd.DataFrame]], columns: Sequence[str] = ("test_top1", "test_nll")
) -> str:
    """The last epoch's means in words."""
    parts = []
    for column in columns:
        label, factor = _measure(column)
        ends = {n: float(_stack(f, column)[1][:, -1].mean()) * factor for n, f in frames.items()}
        shown = ", ".join(f"{n} {v:.2f}" for n, v in ends.items())
        parts.append(f"{label} in the last epoch: {shown}.")
    return " ".join(parts)


# --- medoids --------------------------------------------------------------------------------------


def _image(axis: Axes, image: np.ndarray, colour: object = "#999999", width: float = 0.8) -> None:
    """One uint8 image [C, H, W] without ticks, framed."""
    pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set(visible=True, edgecolor=colour, linewidth=width)


def medoid_gallery(
    images: np.ndarray, soft_targets: np.ndarray, classes: Sequence[str], exists: np.ndarray
) -> Figure:
    """Each class's medoid, a real training image, beside the soft target made of its logits.

    Args:
        images: [K, C, H, W] uint8; soft_targets: [K, K], rows sum to 1; exists: [K] bool.
    """
    shown = min(len(classes), MOST_CLASSES)
    columns = 2 if shown > 1 else 1
    rows = -(-shown // columns)
    top = min(4, len(classes))
    with style():
        figure = _figure(5.0 * columns, 1.12 * rows + 0.6)
        grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 3.2] * columns)
        for c in range(rows * columns):
            picture, bars = grid[c % rows, 2 * (c // rows)], grid[c % rows, 2 * (c // rows) + 1]
            if c >= shown:
                picture.axis("off")
                bars.axis("off")
                continue
            if exists[c]:
                _image(picture, images[c])
            else:
                picture.set(xticks=[], yticks=[])
                picture.text(
                    0.5,
                    0.5,
                    "no medoid\nyet",
                    ha="center",
                    va="center",
                    transform=picture.transAxes,
                )
            order = np.argsort(-soft_targets[c], kind="stable")[:top]
            values = soft_targets[c][order]
            colours = [PALETTE[0] if k == c else "#b9b9b9" for k in order]
            bars.barh(range(top), values, color=colours, height=0.72)
            for place, (k, value) in enumerate(zip(order, values, strict=True)):
                text = f"{classes[k]}  {value:.2f}" if value >= 0.005 else f"{classes[k]}  <0.01"
                inside = value > 0.6
                bars.text(
                    value - 0.02 if inside else value + 0.02,
                    place,
                    text,
                    va="center",
                    ha="right" if inside else "left",
                    color="white" if inside and k == c else "black",
                    fontsize=8.5,
                )
            bars.set(xlim=(0, 1), ylim=(top - 0.4, -0.6), yticks=[], xticks=[])
            bars.grid(False)
            bars.set_title(classes[c], fontsize=10, pad=2)
            bars.spines[["bottom", "left"]].set_visible(False)
        more = f" (first {shown} of {len(classes)} classes)" if shown < len(classes) else ""
        figure.suptitle(
            f"Class medoids and their soft targets: what each class is taken for{more}",
            fontweight="bold",
            fontsize=12,
        )
    return figure


def describe_medoid_gallery(
    images: np.ndarray, soft_targets: np.ndarray, classes: Sequence[str], exists: np.ndarray
) -> str:
    """The strongest second class of all, in words."""
    off = soft_targets * (1 - np.eye(len(classes)))
    c, k = np.unravel_index(int(off.argmax()), off.shape)
    return (
        f"{int(exists.sum())} of {len(classes)} classes have a medoid. The largest share given to "
        f"another class is {off[c, k]:.2f}, from {classes[int(c)]} to {classes[int(k)]}; on "
        f"average a class keeps {float(np.diag(soft_targets).mean()):.2f}."
    )


# --- samples --------------------------------------------------------------------------------------


def data_map(frame: pd.DataFrame) -> Figure:
    """Confidence against variability of every training sample (Swayamdipta et al., 2020).

    Args:
        frame: as of `dynamics.data_map`: confidence, variability, correctness, flipped.
    """
    known = frame.dropna(subset=["confidence"])
    step = -(-len(known) // MOST_POINTS) if len(known) else 1
    some = known.iloc[::step]
    with style():
        figure = _figure(7.6, 4.8)
        axis = figure.subplots()
        for flipped, marker, size in ((False, "o", 11), (True, "X", 22)):
            part = some[some.flipped == flipped]
            points = axis.scatter(
                part.variability,
                part.confidence,
                c=part.correctness,
                cmap="viridis",
                vmin=0,
                vmax=1,
                marker=marker,
                s=size,
                alpha=0.75,
                linewidths=0.5 if flipped else 0,
                edgecolors=[FLAG] if flipped else "none",
            )
        m = np.linspace(0, 1, 200)
        axis.plot(variability_bound(m), m, color="#666666", linewidth=1, linestyle="--")
        axis.text(0.492, 0.5, "largest possible", rotation=90, fontsize=8, va="center", ha="right")
        axis.set(
            xlim=(-0.01, 0.52),
            ylim=(-0.02, 1.02),
            xlabel="variability of the true-class probability over epochs",
            ylabel="confidence: its mean over epochs",
        )
        note = f" (1 in {step} of {len(known):,} samples)" if step > 1 else ""
        axis.set_title(f"Data map: easy above, ambiguous right, hard below{note}")
        bar = figure.colorbar(points, ax=axis, shrink=0.85)
        bar.set_label("correctness: share of epochs classified right")
        bar.outline.set_visible(False)  # type: ignore[operator]
        if frame.flipped.any():
            handles = [
                Line2D([], [], marker="o", linestyle="", color="#21918c", label="label as it was"),
                Line2D(
                    [],
                    [],
                    marker="X",
                    linestyle="",
                    markerfacecolor="#414487",
                    markeredgecolor=FLAG,
                    markersize=7,
                    label="label flipped on purpose",
                ),
            ]
            axis.legend(handles=handles, loc="upper right")
    return figure


def describe_data_map(frame: pd.DataFrame) -> str:
    """How confidence differs between flipped and clean labels, in words."""
    text = (
        f"{len(frame)} training samples; mean confidence {frame.confidence.mean():.2f}, mean "
        f"variability {frame.variability.mean():.2f}, {int(frame.never_learnt.sum())} never "
        "classified right."
    )
    if frame.flipped.any():
        by = frame.groupby("flipped").confidence.mean()
        text += f" Flipped labels have confidence {by[True]:.2f}, the others {by[False]:.2f}."
    return text


def sample_gallery(
    images: np.ndarray, captions: Sequence[str], flagged: Sequence[bool], title: str
) -> Figure:
    """A grid of images with captions below; flagged ones stand in a vermilion frame.

    Args:
        images: [n, C, H, W] uint8, n >= 1.
    """
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    with style():
        figure = _figure(1.25 * columns, 1.72 * rows + 0.55)
        for i, axis in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
            if i >= len(images):
                axis.axis("off")
                continue
            _image(axis, images[i], FLAG if flagged[i] else "#999999", 3.0 if flagged[i] else 0.8)
            axis.set_xlabel(captions[i], fontsize=8, labelpad=3)
        framed = "; framed: label flipped on purpose" if any(flagged) else ""
        figure.suptitle(title + framed, fontweight="bold", fontsize=11)
    return figure


def describe_sample_gallery(
    images: np.ndarray, captions: Sequence[str], flagged: Sequence[bool], title: str
) -> str:
    """How many are flagged, in words."""
    return f"{title}: {len(images)} images, {sum(flagged)} of them with a flipped label."


# --- calibration and comparison -------------------------------------------------------------------


def reliability(entries: Mapping[str, Bins]) -> Figure:
    """Accuracy against confidence, one panel a method, with the count of samples below."""
    with style():
        figure = _figure(max(3.6, 2.6 * len(entries)), 3.9)
        grid = figure.subplots(
            2, len(entries), squeeze=False, height_ratios=[3.2, 1], sharex=True, sharey="row"
        )
        for i, (name, bins) in enumerate(entries.items()):
            axis, below = grid[0, i], grid[1, i]
            width = 1 / len(bins.count)
            centre = (np.arange(len(bins.count)) + 0.5) * width
            accuracy, confidence = np.nan_to_num(bins.accuracy), np.nan_to_num(bins.confidence)
            solid, top = np.minimum(accuracy, confidence), np.maximum(accuracy, confidence)
            axis.bar(centre, solid, width * 0.94, color="#c9c9c9")
            for over, colour, hatch in ((True, FLAG, "//"), (False, PALETTE[0], "..")):
                gap = np.where((confidence > accuracy) == over, top - solid, 0)
                axis.bar(
                    centre,
                    gap,
                    width * 0.94,
                    bottom=solid,
                    color=(*colour, 0.35),
                    hatch=hatch,
                    edgecolor=colour,
                    linewidth=0,
                )
            axis.plot([0, 1], [0, 1], color="#444444", linewidth=1, linestyle="--")
            axis.set(xlim=(0, 1), ylim=(0, 1))
            axis.set_title(f"{name}\nECE {100 * bins.ece:.1f} %", fontsize=10)
            below.bar(centre, bins.count / max(1, bins.count.sum()), width * 0.94, color="#b9b9b9")
            below.set(xlabel="confidence", xlim=(0, 1))
            below.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        grid[0, 0].set_ylabel("accuracy")
        grid[1, 0].set_ylabel("share")
        figure.suptitle(
            "Reliability: the gap to the line is over-confidence (//) or under-confidence (..)",
            fontsize=11,
            fontweight="bold",
        )
    return figure


def describe_reliability(entries: Mapping[str, Bins]) -> str:
    """ECE and its direction for each method, in words."""
    parts = []
    for name, bins in entries.items():
        share = bins.count / max(1, bins.count.sum())
        lean = float((share * np.nan_to_num(bins.confidence - bins.accuracy)).sum())
        word = "over-confident" if lean > 0 else "under-confident"
        parts.append(f"{name}: ECE {100 * bins.ece:.1f} %, {word} on average")
    return "; ".join(parts) + f" ({len(next(iter(entries.values())).count)} bins)."


def forest(table: pd.DataFrame, unit: str) -> Figure:
    """Paired differences to the baseline with 95 % intervals; hollow where 0 is inside.

    Args:
        table: method, mean, low, high, and setting where there are several.
        unit: of the values, for the axis.
    """
    settings = list(dict.fromkeys(table["setting"])) if "setting" in table else [""]
    with style():
        figure = _figure(4.6 * len(settings) + 1.2, 0.42 * table["method"].nunique() + 1.5)
        axes = figure.subplots(1, len(settings), squeeze=False, sharey=True, sharex=True)[0]
        for axis, setting in zip(axes, settings, strict=True):
            part = table[table["setting"] == setting] if setting else table
            for place, row in enumerate(part.itertuples()):
                mean, low, high = float(row.mean), float(row.low), float(row.high)  # type: ignore[arg-type]
                clear = not low <= 0 <= high and not np.isnan(low)
                colour = PALETTE[0] if mean > 0 else FLAG
                axis.plot([low, high], [place, place], color=colour, linewidth=2)
                axis.plot(
                    mean,
                    place,
                    "o" if mean > 0 else "s",
                    color=colour,
                    markerfacecolor=colour if clear else "white",
                    markersize=8,
                )
            axis.axvline(0, color="#444444", linewidth=1)
            axis.set_yticks(range(len(part)), list(part["method"]))
            axis.set_ylim(len(part) - 0.5, -0.5)
            axis.set(xlabel=f"difference to cross-entropy ({unit})", title=setting)
        figure.suptitle("Hollow: within seed noise (95 % interval holds 0)", fontsize=10)
    return figure


def describe_forest(table: pd.DataFrame, unit: str) -> str:
    """Each difference with its interval, in words."""
    rows = []
    for row in table.to_dict("records"):
        where = f" ({row['setting']})" if row.get("setting") else ""
        rows.append(
            f"{row['method']}{where} {row['mean']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        )
    return f"Difference to cross-entropy in {unit}: " + "; ".join(rows) + "."
