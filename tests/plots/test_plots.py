"""Figures show what they are given; their sentences say the same; nothing global is touched."""

import base64
import io
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PathCollection
from PIL import Image

import toastlab
from toastlab import plots
from toastlab.analysis.dynamics import Dynamics
from toastlab.analysis.dynamics import data_map as frame_of
from toastlab.analysis.metrics import reliability_bins
from toastlab.plots.style import headline, new_figure


def curves(seeds: int = 3) -> dict[str, list[pd.DataFrame]]:
    def one(level: float, seed: int) -> pd.DataFrame:
        top1 = level + 0.01 * seed + np.linspace(0, 0.3, 5)
        return pd.DataFrame({"epoch": range(1, 6), "test_top1": top1, "test_nll": 1 - top1})

    return {n: [one(v, s) for s in range(seeds)] for n, v in {"a": 0.4, "b": 0.5}.items()}


def samples(n: int = 50, flipped: int = 5) -> pd.DataFrame:
    g = np.random.default_rng(0)
    p = g.random((6, n)).astype(np.float16)
    labels = np.arange(n) % 4
    clean = labels.copy()
    clean[:flipped] = (labels[:flipped] + 1) % 4
    counts = np.ones((6, n), dtype=np.uint8)
    return frame_of(Dynamics(p, p > 0.5, counts, counts, labels, clean))


def test_learning_curves() -> None:
    frames = curves()
    figure = plots.learning_curves(frames)
    left, right = figure.axes
    np.testing.assert_allclose(np.asarray(left.lines[0].get_ydata()), [41, 48.5, 56, 63.5, 71])
    assert left.get_ylabel() == "test top-1 accuracy (%)"
    assert right.get_ylabel() == "test NLL (nats)"
    assert left.get_xlabel() == "epoch"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b"]
    said = plots.describe_learning_curves(frames)
    assert "a 71.00, b 81.00" in said
    assert len(plots.learning_curves(curves(1)).axes[0].collections) == 0, "one seed has no band"


def test_medoid_gallery() -> None:
    images = np.zeros((3, 1, 8, 8), dtype=np.uint8)
    soft = np.array([[0.9, 0.1, 0], [0.3, 0.6, 0.1], [0, 0, 1.0]])
    exists = np.array([True, True, False])
    figure = plots.medoid_gallery(images, soft, ("x", "y", "z"), exists)
    texts = [t.get_text() for axis in figure.axes for t in axis.texts]
    assert any("no medoid" in t for t in texts)
    said = plots.describe_medoid_gallery(images, soft, ("x", "y", "z"), exists)
    assert said.startswith("2 of 3 classes have a medoid")
    assert "0.30, from y to x" in said


def test_data_map() -> None:
    frame = samples()
    figure = plots.data_map(frame)
    points = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    drawn = np.concatenate([np.asarray(c.get_offsets()) for c in points])
    assert len(drawn) == 50
    assert len(np.asarray(points[1].get_offsets())) == 5, "flipped ones have a mark of their own"
    assert "50 training samples" in plots.describe_data_map(frame)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert plots.data_map(samples(flipped=0)).axes[0].get_legend() is None


def test_data_map_of_many_says_that_it_thins_out() -> None:
    figure = plots.data_map(samples(13_000))
    assert "1 in 3 of 13,000 samples" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize("n", [1, 8, 13])
@pytest.mark.parametrize("channels", [1, 3])
def test_sample_gallery(n: int, channels: int) -> None:
    images = np.zeros((n, channels, 6, 6), dtype=np.uint8)
    shown = (images, [f"c{i}" for i in range(n)], [i == 0 for i in range(n)], "Title")
    figure = plots.sample_gallery(*shown)
    assert sum(len(a.images) for a in figure.axes) == n
    assert plots.describe_sample_gallery(*shown) == (
        f"Title: {n} images, 1 of them with a flipped label."
    )


def test_reliability() -> None:
    g = torch.Generator().manual_seed(0)
    logits, labels = 5 * torch.randn(300, 4, generator=g), torch.arange(300) % 4
    entries = {
        "sure": reliability_bins(logits, labels),
        "modest": reliability_bins(logits / 50, labels),
    }
    figure = plots.reliability(entries)
    assert len(figure.axes) == 4
    said = plots.describe_reliability(entries)
    assert "sure: ECE" in said
    assert "over-confident" in said
    assert "15 bins" in said


def test_forest_is_hollow_within_noise() -> None:
    rows = [
        ("s", "clear", 2.0, 1.0, 3.0),
        ("s", "noise", 0.5, -1.0, 2.0),
        ("s", "worse", -2, -3, -1),
    ]
    table = pd.DataFrame(rows, columns=["setting", "method", "mean", "low", "high"])
    axis = plots.forest(table, "points").axes[0]
    marks = [line for line in axis.lines if line.get_marker() in ("o", "s")]
    filled = [str(m.get_markerfacecolor()) != "white" for m in marks]
    assert filled == [True, False, True]
    assert "noise (s) +0.50 [-1.00, +2.00]" in plots.describe_forest(table, "points")
    named = plots.forest(table, "points", "Two are clear")
    assert named.get_suptitle().replace("\n", " ").startswith("Two are clear; hollow: ")
    assert named.alt == f"Two are clear. {plots.describe_forest(table, 'points')}"


def test_the_sentence_of_layouts_says_what_stands_under_them() -> None:
    panels = {"one": (np.zeros((4, 2)), 0.987), "two": (np.ones((4, 2)), 0.793)}
    figure = plots.tsne_view(panels, np.zeros(4, dtype=int), ["all"])
    words = plots.describe_tsne_view(panels)
    for axis, trust in zip(figure.axes, ("0.99", "0.79"), strict=True):
        assert f"trustworthiness {trust}" in axis.get_xlabel()
        assert f"{axis.get_title(loc='left')}: trustworthiness {trust}" in words


@pytest.mark.parametrize("value", [0.1, 0.83, 0.85, 0.94, 1.0])
def test_a_bar_s_number_stands_beside_it_or_inside(value: float) -> None:
    target = np.array([value, 1 - value])
    figure = plots.soft_target_bars(np.zeros((1, 4, 4), np.uint8), {"q": target}, ["a", "b"], 0)
    figure.canvas.draw()
    axis = figure.axes[1]
    for k, (bar, text) in enumerate(zip(axis.patches, axis.texts, strict=True)):
        box = text.get_window_extent().transformed(axis.transData.inverted())
        end = bar.get_extents().transformed(axis.transData.inverted()).x1
        inside = box.x1 <= end
        assert inside or box.x0 >= end, "across the end of its bar"
        assert box.x1 <= 1.0
        assert text.get_color() == ("white" if inside and k == 0 else "black")  # 0: the blue bar


def test_png_is_the_same_each_time_and_nothing_global_changes() -> None:
    before = dict(mpl.rcParams)
    first, again = (plots.to_png(plots.learning_curves(curves())) for _ in range(2))
    assert first == again
    assert dict(mpl.rcParams) == before
    uri = plots.to_data_uri(plots.data_map(samples()))
    head, body = uri.split(",")
    assert head == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(body))).format == "PNG"


def test_no_figure_is_left_with_pyplot() -> None:
    """seaborn imports pyplot itself; what matters is that nothing of ours stays open there."""
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    plots.data_map(samples())
    plots.learning_curves(curves())
    assert plt.get_fignums() == before


@pytest.mark.parametrize("width", [3.0, 5.8, 10.4])
def test_a_headline_stays_within_its_figure(width: float) -> None:
    figure = new_figure(width, 3)
    figure.subplots()
    text = "Reliability: the gap to the line is over-confidence (//) or under-confidence (..)"
    headline(figure, text)
    figure.draw_without_rendering()
    title = figure._suptitle  # type: ignore[attr-defined]
    box = title.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert title.get_text().replace("\n", " ") == text


def test_figures_are_imported_without_pytorch_or_scikit_learn() -> None:
    """Without the package's own `__init__`, which may list everything."""
    code = (
        "import sys, types; door = types.ModuleType('toastlab'); "
        f"door.__path__ = [{str(Path(toastlab.__file__).parent)!r}]; "
        "sys.modules['toastlab'] = door; import toastlab.plots; print(*sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert "toastlab.plots.curves" in loaded
    assert not loaded & {"torch", "torchvision", "torchmetrics", "sklearn"}
