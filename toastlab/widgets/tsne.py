"""t-SNE over epochs and perplexities: stored layouts, cross-entropy beside TOAST."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from toastlab.data.dataset import Dataset, Split
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
        assert isinstance(data.train, Split)
        self.layouts, self.classes = load_layouts(runs), data.classes
        index = self.layouts.index
        self.labels = data.train.labels.numpy()[index]
        self.clean = data.train.clean_labels.numpy()[index]
        super().__init__(
            {
                "features": choice("of", list(FEATURES), FEATURES[0], "what is laid out"),
                "epoch": slider("epoch", list(EPOCHS), EPOCHS[-1], "after which epoch"),
                "perplexity": slider(
                    "perplexity", list(PERPLEXITIES), 30.0, "how many neighbours count, about"
                ),
                "colour": choice(
                    "colour", ["label", "clean label"], "label", "the label trained on, or the true"
                ),
            },
            "Look-up: layouts made beforehand by `toastlab study run layouts`, none in between.",
        )

    def draw(self) -> tuple[Figure, str]:
        """One square for each run."""
        c = self.controls
        kind, perplexity = str(c["features"].value), float(c["perplexity"].value)
        keys = {n: (n, kind, perplexity, int(c["epoch"].value)) for n in self.layouts.runs}
        panels = {
            f"{name}, epoch {key[3]}": (self.layouts.places[key], self.layouts.trust[key])
            for name, key in keys.items()
        }
        labels = self.labels if c["colour"].value == "label" else self.clean
        figure = tsne_view(
            panels,
            labels,
            self.classes,
            self.labels != self.clean,
            self.layouts.extent(kind, perplexity),
        )
        return figure, describe_tsne_view(panels)
