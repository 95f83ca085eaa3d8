"""Readings x claims: counts, order, and a title that says what the counts say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from toastlab import plots


def table(**verdicts: dict[str, str]) -> pd.DataFrame:
    """Reading -> claim -> a letter for each cell: h(olds), f(ails), o(pen), d(iverged)."""
    words = {"h": "holds", "f": "fails", "o": "open", "d": "diverged"}
    rows = [
        {"reading": reading, "claim": claim, "cell": f"cell {i}", "verdict": words[letter]}
        for reading, claims in verdicts.items()
        for claim, letters in claims.items()
        for i, letter in enumerate(letters)
    ]
    return pd.DataFrame(rows)


FOUND = table(
    literal={"gain": "hho", "stage 1": "hfo", "random": "ooo"},
    other={"gain": "hhh", "stage 1": "hoo", "random": "ood"},
)


def shown(found: pd.DataFrame, *order: str) -> tuple[list[str], list[str], str]:
    """Names of the rows, texts of the cells, title."""
    figure = plots.claims_view(found, order)
    (axis,) = figure.axes
    title = figure._suptitle.get_text().replace("\n", " ")  # type: ignore[attr-defined]
    return [t.get_text() for t in axis.get_yticklabels()], [t.get_text() for t in axis.texts], title


def test_counts_stand_in_the_cells() -> None:
    names, cells, title = shown(FOUND)
    assert names == ["literal", "other"]
    assert cells == ["2 / 0", "1 / 1", "0 / 0", "3 / 0", "1 / 0", "0 / 1"]
    assert title == "At most 2 of 3 claims hold somewhere and fail nowhere: “other”"
    names, cells, _ = shown(FOUND, "other", "literal")
    assert names == ["other", "literal"]
    assert cells[0] == "3 / 0"


def test_colours_say_gain_and_loss() -> None:
    (axis,) = plots.claims_view(FOUND).axes
    (image,) = axis.images
    depth = np.asarray(image.get_array())
    assert depth[0].tolist() == pytest.approx([2 / 3, -1 / 3, 0])
    red, _, blue = to_rgb(image.cmap(image.norm(depth[1, 0])))
    assert blue > red
    red, _, blue = to_rgb(image.cmap(image.norm(depth[1, 2])))
    assert red > blue


def test_words() -> None:
    assert plots.describe_claims_view(FOUND) == (
        "At most 2 of 3 claims hold somewhere and fail nowhere: “other”; satisfied by every "
        "reading: gain; satisfied by none: random."
    )
    same = table(a={"x": "hh"}, b={"x": "ho"})
    assert plots.describe_claims_view(same) == (
        "At most 1 of 1 claims hold somewhere and fail nowhere: 2 of 2 readings; satisfied by "
        "every reading: x; satisfied by none: no claim."
    )


def test_a_claim_that_was_not_asked_of_a_reading_counts_nothing() -> None:
    found = table(a={"x": "h", "y": "h"}, b={"x": "h"})
    assert shown(found)[1] == ["1 / 0", "1 / 0", "1 / 0", "0 / 0"]


def test_long_names_are_broken_and_nothing_lies_on_another() -> None:
    long = (
        "carried-loss target, past-weight 0.47, medoid-temperature 2, criterion quantile, share 0.5"
    )
    figure = plots.claims_view(table(**{long: {"gain": "hh"}, "literal": {"gain": "ho"}}))
    figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in figure.axes[0].get_yticklabels()]
    assert boxes[0].x0 >= 0
    assert boxes[0].y0 > boxes[1].y1 or boxes[0].y1 < boxes[1].y0
