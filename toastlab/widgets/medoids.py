"""Class medoids live: distance, scope, epoch and temperature over a run's stored logits."""

import numpy as np
import torch
from matplotlib.figure import Figure

from toastlab.data.dataset import Dataset
from toastlab.data.splits import Split
from toastlab.medoids.exact import DISTANCES
from toastlab.medoids.targets import SCOPES, class_medoids, soft_targets
from toastlab.plots import describe_medoid_gallery, medoid_gallery
from toastlab.store.runs import Run
from toastlab.widgets.panel import Panel, choice, slider


class MedoidPanel(Panel):
    """The medoid of each class, chosen anew from the logits of any epoch.

    Args:
        run: with stored logits; data: what it was trained on.
    """

    def __init__(self, run: Run, data: Dataset) -> None:
        assert isinstance(data.train, Split)
        if run.dynamics is None or run.dynamics.logits is None:
            raise ValueError(f"run {run.key} keeps no logits; train it with record='logits'.")
        self.data, self.labels = data, data.train.labels
        self.images = data.train.images.numpy()
        self.logits = run.dynamics.logits
        epochs = list(range(1, len(self.logits) + 1))
        super().__init__(
            {
                "distance": choice("distance", list(DISTANCES), DISTANCES[0], "d between logits"),
                "scope": choice("candidates", list(SCOPES), SCOPES[0], "who may be the medoid"),
                "epoch": slider("epoch", epochs, epochs[-1], "whose logits"),
                "temperature": slider(
                    "temperature T_m", [0.5, 1.0, 2.0, 3.0, 5.0, 8.0], 2.0, "softness of q"
                ),
            },
            "Live: exact medoids of the stored logits at each move.",
        )

    def draw(self) -> tuple[Figure, str]:
        """The gallery of medoids with their soft targets."""
        z = torch.from_numpy(self.logits[int(self.controls["epoch"].value) - 1]).float()
        found = class_medoids(
            z,
            self.labels,
            distance=self.controls["distance"].value,
            scope=self.controls["scope"].value,
        )
        soft = soft_targets(found.logits, found.exists, float(self.controls["temperature"].value))
        exists = found.exists.numpy()
        images = self.images[np.maximum(found.index.numpy(), 0)]
        shown = (images, soft.numpy(), self.data.classes, exists)
        return medoid_gallery(*shown), describe_medoid_gallery(*shown)
