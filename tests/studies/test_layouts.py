"""t-SNE layouts: features, alignment, what is stored, and the refusal of what does not fit."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from toastlab.core.errors import DataError
from toastlab.course.runs import course_data, course_runs, course_store
from toastlab.store.runs import Run
from toastlab.studies import layouts as embedding

RANDOM = np.random.RandomState(0)
GROUPS = np.repeat(np.arange(3), 30)
POINTS = RANDOM.randn(90, 5) + 8 * np.eye(5)[GROUPS]


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    return course_runs(course_store())


def test_features() -> None:
    z = RANDOM.randn(4, 3)
    assert np.array_equal(embedding.features(z, "logits"), z)
    q = softmax(z / 2, axis=1)
    assert np.allclose(embedding.features(z, "soft targets") ** 2, q)
    with pytest.raises(ValueError, match="features"):
        embedding.features(z, "pixels")


def test_a_layout_keeps_neighbours_and_noise_has_none_to_keep() -> None:
    good = embedding.trustworthiness(POINTS, embedding.layout(POINTS, 10))
    scrambled = embedding.trustworthiness(POINTS, RANDOM.randn(90, 2))
    assert good > 0.8
    assert scrambled < 0.6


def test_the_next_layout_starts_from_the_last_and_is_turned_onto_it() -> None:
    first = embedding.layout(POINTS, 10)
    angle = np.array([[0.0, -1.0], [1.0, 0.0]])
    nearly = POINTS + 0.01 * RANDOM.randn(*POINTS.shape)

    def moved(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.linalg.norm(a - b, axis=1).mean() / np.linalg.norm(b, axis=1).mean())

    assert moved(embedding.layout(nearly, 10, start=first), first) < 0.3
    turned = first @ angle
    assert moved(embedding.layout(nearly, 10, start=turned), turned) < 0.3
    assert moved(turned, first) > 1


def test_pick_takes_as_many_of_each_class_as_there_are() -> None:
    labels = np.array([0] * 10 + [1] * 3)
    index = embedding.pick(labels, 5)
    assert np.bincount(labels[index]).tolist() == [5, 3]
    assert (np.diff(index) > 0).all()


def test_stored_layouts_are_of_the_stored_runs(runs: dict[str, Run]) -> None:
    layouts = embedding.load_layouts(runs)
    assert len(layouts.places) == 2 * 2 * 4 * 7, "runs, features, perplexities, epochs"
    assert np.array_equal(layouts.index, embedding.pick(course_data().train.labels.numpy()))  # type: ignore[union-attr]
    key = ("TOAST", "logits", 15.0, 10)
    dynamics = runs["TOAST"].dynamics
    assert dynamics is not None
    assert dynamics.logits is not None
    x = embedding.features(dynamics.logits[9][layouts.index], "logits")
    found = embedding.trustworthiness(x, layouts.places[key])
    assert found == pytest.approx(layouts.trust[key], abs=0.01), "they are of these very logits"
    assert found > 0.9
    side = layouts.extent("logits", 15.0)
    assert all(np.abs(v).max() <= side for k, v in layouts.places.items() if k[1:3] == key[1:3])


def test_layouts_of_other_runs_are_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="other runs"):
        embedding.load_layouts({"TOAST": runs["cross-entropy"], "cross-entropy": runs["TOAST"]})
    with pytest.raises(DataError, match="cannot be read"):
        embedding.load_layouts(runs, tmp_path / "none.safetensors")


def test_made_saved_and_read_again(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "PERPLEXITIES", (5.0,))
    index = embedding.pick(course_data().train.labels.numpy(), 4)  # type: ignore[union-attr]
    found = list(embedding.make(runs, index, epochs=(1, 2)))
    assert {k for k, _, _ in found} == {
        (n, f, 5.0, e) for n in runs for f in embedding.FEATURES for e in (1, 2)
    }
    layouts = embedding.Layouts(
        index,
        {n: r.key for n, r in runs.items()},
        {k: xy for k, xy, _ in found},
        {k: t for k, _, t in found},
    )
    embedding.save(tmp_path / "l.safetensors", layouts)
    again = embedding.load_layouts(runs, tmp_path / "l.safetensors")
    for key, xy in layouts.places.items():
        assert np.allclose(again.places[key], xy, rtol=1e-3, atol=0.05)
        assert again.trust[key] == pytest.approx(layouts.trust[key], abs=1e-4)
