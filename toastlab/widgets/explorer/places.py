"""Where the explorer's second plane puts each sample: principal components, t-SNE, or the user's.

Letters: N samples, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toastlab.analysis.analyse import Analysis
from toastlab.core.errors import BadValue, in_range, one_of
from toastlab.studies.layouts import Layouts, features, layout, pick

KINDS = ("pca", "tsne")
LAYOUT_BYTES = 3_000_000  # of all layouts in the page; more samples have fewer epochs
SAMPLES = 1500  # laid out by t-SNE, which takes a second for 600 and more than twice that for 1,200
TSNE_EPOCHS = 7
PERPLEXITY = 30.0
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Places:
    """Layouts of the samples after some epochs.

    Attributes:
        title: what they are.
        xy: epoch, counted from 1 on and ascending -> [N, 2]; NaN for a sample that is left out.
    """

    title: str
    xy: Mapping[int, np.ndarray]


def some_epochs(count: int, most: int) -> list[int]:
    """At most so many of the epochs 1..count, first and last among them, closer together at first,
    when most moves."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({round(count ** (i / (most - 1))) for i in range(most)})


def given(places: Mapping[int, np.ndarray], samples: int, epochs: int, title: str) -> Places:
    """The user's own layouts, checked.

    Raises:
        ValueError: none, one of another shape, an epoch that is not there, or no place in any.
    """
    if not places:
        raise BadValue("places is empty; give layouts by epoch, or layout='pca'.")
    for epoch, xy in places.items():
        in_range("epoch of a layout", epoch, 1, max(1, epochs))
        if np.shape(xy) != (samples, 2):
            raise BadValue(
                f"the layout of epoch {epoch} has the shape {list(np.shape(xy))}; give "
                f"[{samples}, 2], NaN for samples that are left out."
            )
        if not np.isfinite(xy).all(1).any():
            raise BadValue(f"the layout of epoch {epoch} has no finite place; leave it out.")
    whole = {}
    for epoch in sorted(places):  # a place that is half known, or infinite, is none
        xy = np.asarray(places[epoch], dtype=np.float64)
        whole[epoch] = np.where(np.isfinite(xy).all(1, keepdims=True), xy, np.nan)
    return Places(title, whole)


def stored(layouts: Layouts, name: str, samples: int, kind: str = "soft targets") -> Places:
    """t-SNE from the stored layouts, see `toastlab study run layouts`.

    Args:
        name: of the run; samples: N of its training split; kind: what was laid out.
    """
    one_of("run", name, layouts.runs)
    xy = {}
    for (run, of, perplexity, epoch), place in sorted(layouts.places.items()):
        if (run, of, perplexity) == (name, kind, PERPLEXITY):
            xy[epoch] = np.full((samples, 2), np.nan)
            xy[epoch][layouts.index] = place
    return Places(f"t-SNE of {kind}", xy)


def made(analysis: Analysis, kind: str) -> Places | None:
    """Layouts of the predictions; None where the analysis has none.

    Args:
        kind: "pca" (at once, all samples) or "tsne" (a minute, of 1,500 samples at seven epochs).
    """
    one_of("layout", kind, KINDS)
    last, seen = analysis.num_epochs, (analysis.table["prediction"] >= 0).sum()
    if analysis.outputs is None or len(analysis.class_names) < 2 or seen < 2:
        return None
    if kind == "tsne":
        return _tsne(analysis)
    most = max(6, LAYOUT_BYTES // (4 * len(analysis.table)))
    axes = _axes(_centred(analysis, last))
    what = "logits" if analysis.logits_at(-1) is not None else "log-probabilities"
    epochs = some_epochs(last, most)
    xy = {epoch: _seen(analysis, epoch, _centred(analysis, epoch) @ axes) for epoch in epochs}
    return Places(f"Principal components of the {what}", xy)


def _tsne(analysis: Analysis) -> Places:
    """The last epoch first, each earlier one begun from the one after it (`studies.layouts`)."""
    labels = analysis.table["label"].to_numpy()
    known = np.flatnonzero(analysis.table["prediction"].to_numpy() >= 0)
    chosen = known[pick(labels[known], max(1, SAMPLES // len(analysis.class_names)))]
    perplexity = min(PERPLEXITY, max(1.0, (len(chosen) - 1) / 3))
    xy: dict[int, np.ndarray] = {}
    start: Floats | None = None
    for epoch in reversed(some_epochs(analysis.num_epochs, TSNE_EPOCHS)):
        x = features(_scores(analysis, epoch)[chosen], "soft targets")
        start = layout(x, perplexity, start=start)
        xy[epoch] = np.full((len(labels), 2), np.nan)
        xy[epoch][chosen] = start
    of = f" of {len(chosen):,} samples" if len(chosen) < len(labels) else ""
    return Places(f"t-SNE of soft targets{of}", {epoch: xy[epoch] for epoch in sorted(xy)})


def _scores(analysis: Analysis, epoch: int) -> Floats:
    """Logits [N, K] after an epoch counted from 1 on, or the logarithms of probabilities, which are
    logits of the same prediction."""
    logits = analysis.logits_at(epoch - 1)
    if logits is not None:
        return logits.astype(np.float64)
    p = analysis.probabilities_at(epoch - 1)
    if p is None:  # asked only where there are predictions
        raise BadValue(f"nothing is predicted in epoch {epoch}.")
    return np.log(np.clip(p, 1e-6, 1))


def _centred(analysis: Analysis, epoch: int) -> Floats:
    """Less the mean of each row, which no prediction depends on."""
    z = np.nan_to_num(_scores(analysis, epoch))
    return z - z.mean(1, keepdims=True)


def _axes(z: Floats) -> Floats:
    """The two directions [K, 2] along which z [N, K] differs most, each with a fixed sign."""
    values, vectors = np.linalg.eigh(np.cov(z.T))
    axes = vectors[:, np.argsort(-values, kind="stable")[:2]]
    largest = axes[np.abs(axes).argmax(0), [0, 1]]
    return np.asarray(axes * np.where(largest < 0, -1, 1))


def _seen(analysis: Analysis, epoch: int, xy: Floats) -> Floats:
    """Without the samples that nothing is known of yet."""
    predictions = analysis.predictions_at(epoch - 1)
    if predictions is None:
        raise BadValue(f"nothing is predicted in epoch {epoch}.")
    return np.where((predictions >= 0)[:, None], xy, np.nan)
