"""Temperature at work: a medoid's soft target after an epoch, and the target trained on."""

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import entropy

from toastlab.data.dataset import Dataset, images_of
from toastlab.medoids.targets import class_targets, soft_targets
from toastlab.plots import soft_target_bars
from toastlab.store.runs import Run
from toastlab.widgets.number import Number
from toastlab.widgets.panel import Panel, choice, slider


class TargetPanel(Panel):
    """Soft targets of class medoids, with epoch, temperature and weight to move.

    Args:
        run: a TOAST run with medoids; data: what it was trained on.
    """

    def __init__(self, run: Run, data: Dataset) -> None:
        self.data = data
        medoids = run.group("medoids")
        self.index = medoids["index"]
        self.logits = torch.from_numpy(medoids["logits"].astype(np.float32))
        last = len(self.index)
        classes = [(name, i) for i, name in enumerate(data.classes)]
        super().__init__(
            {
                "class": choice("class", classes, min(6, len(classes) - 1), "whose target to show"),
                "epoch": slider("epoch", range(1, last + 1), last, "whose medoids"),
                "temperature": Number("temperature T_m", 0.25, 10, 0.25, 2, "softness of q"),
                "weight": Number("medoid weight a", 0, 1, 0.05, 0.3, "share of q in the target"),
            },
            "Live: computed from the stored logits at each move.",
        )

    def draw(self) -> tuple[Figure, str]:
        """Two bar charts: q, and (1 - a) e + a q."""
        c, t, a = self.value("class"), self.value("temperature"), self.value("weight")
        epoch = self.value("epoch")
        index, logits = self.index[epoch - 1], self.logits[epoch - 1]
        soft = soft_targets(logits, torch.from_numpy(index >= 0), t)
        q, target = soft[c].numpy(), class_targets(soft, a)[c].numpy()
        (image,) = images_of(self.data.train, index[[c]].clip(min=0))
        bars = {f"soft target q, T = {t:g}": q, f"trained on, a = {a:g}": target}
        names = self.data.classes
        second = int(np.where(np.arange(len(q)) == c, -1, q).argmax())
        return soft_target_bars(image, bars, names, c), (
            f"{names[c]}, epoch {epoch}: at T = {t:g} the medoid's soft target gives its own class "
            f"{q[c]:.2f} and {names[second]} {q[second]:.2f}; entropy {entropy(q):.2f} of at most "
            f"{np.log(len(q)):.2f} nats."
        )
