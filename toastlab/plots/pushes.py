"""What a loss does to the logits of one sample."""

from collections.abc import Mapping, Sequence

import numpy as np

from toastlab.plots.style import PALETTE, Picture, headline, new_figure, style


def pushes_view(
    pushes: Mapping[str, np.ndarray], classes: Sequence[str], title: str = ""
) -> Picture:
    """The push on each logit, minus the gradient of the loss, in a panel for each loss.

    Args:
        pushes: name of a loss -> [K].
        classes: K names, of two lines at most.
        title: the finding; empty: none.
    """
    with style():
        figure = new_figure(min(8.4, 2.1 * len(pushes)), 2.2 if title else 2.1)
        axes = figure.subplots(1, len(pushes), squeeze=False, sharey=True)[0]
        for axis, (name, push) in zip(axes, pushes.items(), strict=True):
            axis.bar(range(len(push)), push, color=PALETTE[: len(push)])
            axis.set_xticks(range(len(push)), classes)
            axis.axhline(0, color="#666666", linewidth=0.8)
            axis.set_title(name, fontsize=9)
        axes[0].set_ylabel("push on the logit")
        if title:
            headline(figure, title)
    figure.alt = describe_pushes_view(pushes, classes, title)
    return figure


def describe_pushes_view(
    pushes: Mapping[str, np.ndarray], classes: Sequence[str], title: str = ""
) -> str:
    """Each push in numbers, in words."""
    parts = []
    for name, push in pushes.items():
        numbers = (f"{value if abs(value) >= 0.005 else 0.0:+.2f}" for value in push)
        parts.append(f"{name}: {', '.join(numbers)}")
    names = ", ".join(name.replace("\n", " ") for name in classes)
    said = f"Pushes on the logits of {names}. {'; '.join(parts)}."
    return f"{title}. {said}" if title else said
