"""t-SNE over epochs and perplexities: stored layouts, cross-entropy beside TOAST."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from toastlab.data.dataset import Dataset
from toastlab.plots import describe_tsne_view, tsne_view
from toastlab.store.runs import Run
from toastlab.studies.layouts import EPOCHS, FEATURES, PERPLEXITIES, load_layouts
from toastlab.widgets.panel import Panel, choice, slider


class TsnePanel(Panel):
    """Layouts of the same samples in several runs, aligned over the epochs.

    Args:
        runs: name -> run, those of the stored layouts; data: what they trained on.
    """

    def __init__(self, runs: Mapping[str, Run], data: Dataset) -> None:
        self.layouts, self.classes = load_layouts(runs), data.classes
        index, colours = self.layouts.index, ("label", "clean label")
        self.labels = data.train.labels.numpy()[index]
        self.clean = data.train.clean_labels.numpy()[index]
        self.extents = {  # half the side of the square that all epochs fit in
            (kind, perplexity): self.layouts.extent(kind, perplexity)
            for kind in FEATURES
            for perplexity in PERPLEXITIES
        }
        near = "how many neighbours count, about"
        controls = {
            "features": choice("of", FEATURES, FEATURES[0], "what is laid out"),
            "epoch": slider("epoch", EPOCHS, EPOCHS[-1], "after which epoch"),
            "perplexity": slider("perplexity", PERPLEXITIES, 30.0, near),
            "colour": choice("colour", colours, "label", "the label trained on, or the true"),
        }
        speed = "Look-up: layouts made beforehand by `toastlab study run layouts`, none in between."
        super().__init__(controls, speed)

    def draw(self) -> tuple[Figure, str]:
        """One square for each run."""
        kind, perplexity, epoch = (self.value(n) for n in ("features", "perplexity", "epoch"))
        panels = {}
        for name in self.layouts.runs:
            key = (name, kind, perplexity, epoch)
            panels[f"{name}, epoch {epoch}"] = (self.layouts.places[key], self.layouts.trust[key])
        labels = self.labels if self.value("colour") == "label" else self.clean
        flipped, extent = self.labels != self.clean, self.extents[kind, perplexity]
        figure = tsne_view(panels, labels, self.classes, flipped, extent)
        return figure, describe_tsne_view(panels)
