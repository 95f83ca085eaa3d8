"""One sample under a reading: the bars are the numbers, and the words name the same ones."""

import numpy as np

from toastlab import plots
from toastlab.plots.reading import Taught

CLASSES = ("x", "y", "z")
TAUGHT = Taught(
    now=np.array([0.7, 0.2, 0.1]),
    target=np.array([0.1, 0.85, 0.05]),
    past=np.array([0.5, 0.3, 0.2]),
    rest=np.array([0.34, 0.56, 0.1]),
    push_new=np.array([-0.6, 0.65, -0.05]),
    push_carried=np.array([-0.4, 0.5, -0.1]),
)


def test_each_bar_is_a_number_of_the_sample() -> None:
    image = np.zeros((1, 6, 6), dtype=np.uint8)
    figure = plots.reading_view(image, TAUGHT, CLASSES, 1, "What it does")
    picture, *axes = figure.axes
    assert len(picture.images) == 1
    assert "label: y" in picture.get_title(loc="left")
    wanted = [
        (TAUGHT.now, TAUGHT.target),
        (TAUGHT.past, TAUGHT.rest),
        (TAUGHT.push_new, TAUGHT.push_carried),
    ]
    for axis, pair in zip(axes, wanted, strict=True):
        for bars, values in zip(axis.collections, pair, strict=True):
            corners = [np.asarray(path.vertices) for path in bars.get_paths()]
            ends = [corner[:, 0] for corner in corners]
            np.testing.assert_allclose([x[np.abs(x).argmax()] for x in ends], values)
            middles = [corner[:4, 1].mean() for corner in corners]
            np.testing.assert_array_equal(np.round(middles), range(3))
        assert axis.get_xlabel()
        low, high = axis.get_xlim()
        assert low <= min(map(min, pair))
        assert high >= max(map(max, pair))
    weights = [text.get_fontweight() for text in axes[0].texts]
    assert [text.get_text() for text in axes[0].texts] == list(CLASSES)
    assert weights == ["normal", "bold", "normal"], "the label"
    assert figure._suptitle.get_text() == "What it does"  # type: ignore[attr-defined]
    assert len(figure.legends[0].get_texts()) == 3


def test_the_words_are_those_numbers() -> None:
    said = plots.describe_reading_view(TAUGHT, CLASSES, 1)
    assert said == (
        "Its label y has 0.20 now and is taught with 0.85 when the sample is drawn newly; before "
        "it had 0.30 at T_p, and carried it is pulled towards 0.56, with 0.34 for x. A step pushes "
        "its logit by +0.65 drawn newly and by +0.50 carried (times the learning rate)."
    )


def test_a_sample_that_nothing_pushes_is_drawn() -> None:
    none = np.zeros(3)
    still = Taught(TAUGHT.now, TAUGHT.now, TAUGHT.now, TAUGHT.now, none, none)
    figure = plots.reading_view(np.zeros((3, 6, 6), np.uint8), still, CLASSES, 0, "Nothing")
    low, high = figure.axes[3].get_xlim()
    assert low < 0 < high
