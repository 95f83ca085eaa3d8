"""The regime map: pick a method and a cell; see the maps, and the cell's curves."""

import pandas as pd
from matplotlib.figure import Figure

from toastlab.analysis.statistics import BASELINE
from toastlab.plots import describe_regime_view, regime_view
from toastlab.studies.regime import AXES, MEASURES, METHODS, Cell, gains, load
from toastlab.widgets.panel import Panel, choice, slider


class RegimePanel(Panel):
    """Look-up over the stored map.

    Args:
        method: shown first; one of `regime.METHODS`.
    """

    def __init__(self, method: str = "TOAST") -> None:
        self.rows, self.curves = load("rows"), load("curves")
        self.gains: dict[str, dict[str, pd.DataFrame]] = {}  # method -> measure -> cells
        methods = [m for m in METHODS if m != BASELINE]
        controls = {
            "method": choice("method", methods, method, "compared with cross-entropy"),
            "per_class": slider(
                "images per class", [int(n) for n in AXES["per_class"]], 50, "ten classes"
            ),
            "noise_rate": slider("label noise", list(AXES["noise_rate"]), 0.2, "share flipped"),
            "epochs": slider("epochs", [int(n) for n in AXES["epochs"]], 60, "training length"),
            "augmented": choice(
                "augmentation", [("none", 0), ("crop, flip, Cutout", 1)], 0, "of training images"
            ),
        }
        super().__init__(controls, "Look-up: stored real runs only, three seeds a cell.")

    def cell(self) -> Cell:
        """The cell of the controls."""
        return Cell(**{name: self.controls[name].value for name in AXES})

    def draw(self) -> tuple[Figure, str]:
        """The three maps of the method, and the curves of the cell."""
        method, cell = str(self.controls["method"].value), self.cell()
        if method not in self.gains:
            self.gains[method] = {name: gains(self.rows, method, name) for name in MEASURES}
        found = self.gains[method]
        curves = self.curves[self.curves.method.isin([BASELINE, method])]
        for name, value in vars(cell).items():
            curves = curves[curves[name] == value]
        figure = regime_view(found, method, curves, vars(cell))
        return figure, describe_regime_view(found, method, cell.name, vars(cell))
