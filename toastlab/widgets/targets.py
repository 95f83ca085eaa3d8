"""Temperature at work: one sample's logits, its soft target, and the target that is trained on."""

import numpy as np
import torch
from matplotlib.figure import Figure

from toastlab.data.dataset import Dataset
from toastlab.data.splits import Split
from toastlab.medoids.targets import class_targets, soft_targets
from toastlab.plots import soft_target_bars
from toastlab.store.runs import Run
from toastlab.widgets.number import Number
from toastlab.widgets.panel import Panel, choice


class TargetPanel(Panel):
    """Soft targets of the last epoch's class medoids, with temperature and weight to move.

    Args:
        run: a TOAST run with medoids; data: what it was trained on.
    """

    def __init__(self, run: Run, data: Dataset) -> None:
        assert isinstance(data.train, Split)
        self.data = data
        kept = run.group("medoids")
        self.index = kept["index"][-1]
        self.logits = torch.from_numpy(kept["logits"][-1].astype(np.float32))
        classes = [(name, i) for i, name in enumerate(data.classes)]
        super().__init__(
            {
                "class": choice("class", classes, min(6, len(classes) - 1), "whose target to show"),
                "temperature": Number("temperature T_m", 0.25, 10, 0.25, 2, "softness of q"),
                "weight": Number("medoid weight a", 0, 1, 0.05, 0.3, "share of q in the target"),
            },
            "Live: computed from the stored logits at each move.",
        )

    def draw(self) -> tuple[Figure, str]:
        """Two bar charts: q, and (1 - a) e + a q."""
        c, t = int(self.controls["class"].value), float(self.controls["temperature"].value)
        a = float(self.controls["weight"].value)
        soft = soft_targets(self.logits, torch.from_numpy(self.index >= 0), t)
        target = class_targets(soft, a)
        assert isinstance(self.data.train, Split)
        image = self.data.train.images[max(0, int(self.index[c]))].numpy()
        q = soft[c].numpy()
        entropy = float(-(q * np.log(np.maximum(q, 1e-12))).sum())
        figure = soft_target_bars(
            image,
            {f"soft target q, T = {t:g}": q, f"trained on, a = {a:g}": target[c].numpy()},
            self.data.classes,
            c,
        )
        others = np.delete(np.arange(len(q)), c)
        second = int(others[q[others].argmax()])
        return figure, (
            f"{self.data.classes[c]}: at T = {t:g} the medoid's soft target gives its own class "
            f"{q[c]:.2f} and {self.data.classes[second]} {q[second]:.2f}; entropy {entropy:.2f} "
            f"of at most {np.log(len(q)):.2f} nats."
        )
