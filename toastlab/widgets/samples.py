"""Under-trained samples: who they are at an epoch and a threshold, as a map and as images."""

import numpy as np
from matplotlib.figure import Figure

from toastlab.analysis.dynamics import data_map
from toastlab.core.errors import BadValue
from toastlab.data.dataset import Dataset, images_of
from toastlab.data.ids import caption
from toastlab.plots import data_map as plot_data_map
from toastlab.plots import describe_sample_gallery, sample_gallery
from toastlab.store.runs import Run
from toastlab.widgets.panel import Panel, choice, slider

A_ROW = 8  # images


class SamplePanel(Panel):
    """The samples whose true-class probability lies below a threshold at an epoch.

    Selecting is by class and by region of the data map: the quadrant of confidence and variability.

    Args:
        run: with dynamics; data: what it was trained on.
    """

    def __init__(self, run: Run, data: Dataset) -> None:
        if run.dynamics is None:
            raise BadValue(f"run {run.key} keeps no dynamics; train it with record='logits'.")
        self.data, self.dynamics = data, run.dynamics
        self.frame = data_map(run.dynamics)
        self.flipped = self.frame.flipped.to_numpy()
        confidence = self.frame.confidence.to_numpy()
        unsteady = self.frame.variability.to_numpy() > np.nanmedian(self.frame.variability)
        self.regions = {  # name -> [N] bool
            "easy (sure, steady)": ~unsteady & (confidence >= 0.5),
            "ambiguous (unsteady)": unsteady,
            "hard (unsure, steady)": ~unsteady & (confidence < 0.5),
        }
        last = len(run.dynamics.probability)
        classes = [("all classes", -1), *((name, i) for i, name in enumerate(data.classes))]
        thresholds = [round(0.05 * i, 2) for i in range(1, 21)]
        below = "true-class probability below which a sample counts as under-trained"
        controls = {
            "view": choice("show", ["images", "data map"], "images", "what the picture is"),
            "epoch": slider("epoch", range(1, last + 1), last, "after which epoch"),
            "threshold": slider("probability below", thresholds, 0.5, below),
            "class": choice("label", classes, -1, "samples with this label only"),
            "region": choice("region", ["all", *self.regions], "all", "part of the data map"),
        }
        super().__init__(controls, "Live: from the stored training dynamics at each move.")

    def selected(self) -> np.ndarray:
        """Positions of the samples that the controls select, least probable first."""
        p = self.dynamics.probability[self.value("epoch") - 1].astype(np.float64)
        chosen = np.nan_to_num(p, nan=1.0) < self.value("threshold")
        if self.value("class") >= 0:
            chosen &= self.dynamics.labels == self.value("class")
        chosen &= self.regions.get(self.value("region"), True)  # or "all"
        rows = np.flatnonzero(chosen)
        return rows[np.argsort(p[rows], kind="stable")]

    def draw(self) -> tuple[Figure | None, str]:
        """A gallery of both ends of the selection, or the data map of all of it."""
        rows = self.selected()
        if not len(rows):
            return None, "No sample is selected: raise the probability or widen label and region."
        flipped = self.flipped
        text = (
            f"{len(rows)} of {len(flipped)} samples are selected; "
            f"{100 * flipped[rows].mean():.0f} % of them have a label flipped on purpose "
            f"(of all samples: {100 * flipped.mean():.0f} %)."
        )
        if self.value("view") == "data map":
            return plot_data_map(self.frame.iloc[rows]), text
        some, title = rows, "All of them, the least probable first"
        if len(rows) > 2 * A_ROW:  # the lower row moves with the threshold
            some = np.concatenate([rows[:A_ROW], rows[-A_ROW:]])
            below = f"the nearest below {self.value('threshold'):g} (lower half)"
            title = f"The least probable (upper half) and {below}"
        captions = [self._caption(i) for i in some]
        shown = (images_of(self.data.train, some), captions, flipped[some].tolist())
        figure = sample_gallery(*shown, title)
        return figure, text + " " + describe_sample_gallery(*shown, title)

    def _caption(self, i: int) -> str:
        names, label, clean = self.data.classes, self.dynamics.labels, self.dynamics.clean_labels
        p = float(self.dynamics.probability[self.value("epoch") - 1][i])
        was = f"was: {names[clean[i]]}" if clean[i] != label[i] else ""
        return f"{names[label[i]]} p {p:.2f}\n{caption(self.data.train.ids[i])}\n{was}"
