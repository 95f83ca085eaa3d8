"""Pushes on logits, and which samples are carried: what is drawn, and said of it."""

import numpy as np
import pytest

from toastlab import plots


def test_pushes_have_a_panel_each_on_one_scale() -> None:
    pushes = {"new": np.array([-0.8, 0.9, -0.1]), "carried": np.array([1e-9, -1e-9, 0.0])}
    figure = plots.pushes_view(pushes, ["a\n(said)", "b", "c"])
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(pushes)
    heights = [[p.get_height() for p in axis.patches] for axis in figure.axes]  # type: ignore[attr-defined]
    assert np.allclose(heights, list(pushes.values()))
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    assert figure.alt == (
        "Pushes on the logits of a (said), b, c. new: -0.80, +0.90, -0.10; "
        "carried: +0.00, +0.00, +0.00."
    )


def test_carried_samples_are_counted_from_the_first_epoch_with_any() -> None:
    wrong, right, lot = np.array([0, 6, 9]), np.array([0, 4, 1]), np.array([0, 2, 2])
    figure = plots.carried_view(wrong, right, lot)
    (axis,) = figure.axes
    assert axis.get_title(loc="left") == "Carried with a wrong label: 75 %; by lot 20 %"
    heights = [p.get_height() for p in axis.patches]  # type: ignore[attr-defined]
    assert heights == [*wrong, *right]
    assert np.asarray(axis.lines[0].get_xdata()).tolist() == pytest.approx([2, 3])
    assert figure.alt == (
        "Visits of carried samples: none before epoch 2, 10 in it, 10 in the last; 75 % of them "
        "have a wrong label, by lot 20 %."
    )
