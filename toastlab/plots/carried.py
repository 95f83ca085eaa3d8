"""Which samples TOAST carries, epoch by epoch."""

import numpy as np

from toastlab.plots.style import FLAG, PALETTE, Picture, new_figure, style


def carried_view(wrong: np.ndarray, right: np.ndarray, lot: np.ndarray) -> Picture:
    """Visits of carried samples in each epoch, by whether their label is wrong.

    Args:
        wrong, right: [E] visits of samples with a wrong and with a right label.
        lot: [E] wrong labels among as many samples drawn by lot.
    """
    every = wrong + right
    epochs, some = np.arange(1, len(every) + 1), every > 0
    with style():
        figure = new_figure(8.2, 2.5)
        axis = figure.subplots()
        axis.bar(epochs, wrong, 0.8, color=FLAG, label="carried, wrong label")
        axis.bar(epochs, right, 0.8, wrong, color=PALETTE[0], label="carried, right label")
        axis.plot(epochs[some], lot[some], "kD", markersize=4, label="wrong labels, by lot")
        axis.set(xlabel="epoch", ylabel="visits of carried samples", xlim=(0.4, len(every) + 0.6))
        shares = (100 * x.sum() / every.sum() for x in (wrong, lot))
        axis.set_title("Carried with a wrong label: {:.0f} %; by lot {:.0f} %".format(*shares))
        figure.legend(loc="outside right center")
    figure.alt = describe_carried_view(wrong, right, lot)
    return figure


def describe_carried_view(wrong: np.ndarray, right: np.ndarray, lot: np.ndarray) -> str:
    """When the carry begins, and how many of the carried have a wrong label, in words."""
    every = wrong + right
    begin = int((every > 0).argmax())
    return (
        f"Visits of carried samples: none before epoch {begin + 1}, {every[begin]:.0f} in it, "
        f"{every[-1]:.0f} in the last; {100 * wrong.sum() / every.sum():.0f} % of them have a "
        f"wrong label, by lot {100 * lot.sum() / every.sum():.0f} %."
    )
