"""Class medoids live: distance, scope, epoch and temperature over a run's stored logits."""

import torch
from matplotlib.figure import Figure

from toastlab.core.errors import BadValue
from toastlab.data.dataset import Dataset, images_of
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
        if run.dynamics is None or run.dynamics.logits is None:
            raise BadValue(f"run {run.key} keeps no logits; train it with record='logits'.")
        self.data, self.logits = data, run.dynamics.logits
        last, temperatures = len(self.logits), (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
        controls = {
            "distance": choice("distance", DISTANCES, DISTANCES[0], "d between logits"),
            "scope": choice("candidates", SCOPES, SCOPES[0], "who may be the medoid"),
            "epoch": slider("epoch", range(1, last + 1), last, "whose logits"),
            "temperature": slider("temperature T_m", temperatures, 2.0, "softness of q"),
        }
        super().__init__(controls, "Live: exact medoids of the stored logits at each move.")

    def draw(self) -> tuple[Figure, str]:
        """The gallery of medoids with their soft targets."""
        train = self.data.train
        z = torch.from_numpy(self.logits[self.value("epoch") - 1]).float()
        how = {"distance": self.value("distance"), "scope": self.value("scope")}
        medoids = class_medoids(z, train.labels.cpu(), **how)
        soft = soft_targets(medoids.logits, medoids.exists, self.value("temperature"))
        images = images_of(train, medoids.index.clamp(min=0).numpy())
        shown = (images, soft.numpy(), self.data.classes, medoids.exists.numpy())
        return medoid_gallery(*shown), describe_medoid_gallery(*shown)
