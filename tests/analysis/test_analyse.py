"""`analyse`: the table by hand and against the measures it is made of, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.helpers import save
from toastlab import Analysis, Recorder, RunStore, TrainConfig, analyse
from toastlab.analysis.dynamics import aum, confidence, data_map, el2n, forgetting
from toastlab.analysis.sample_table import COLUMNS
from toastlab.analysis.scores import SCORES
from toastlab.data.dataset import DataConfig
from toastlab.methods import ToastConfig

ROOT = Path(__file__).parents[2]
# Two epochs, three samples, two classes; log(3) makes the probabilities quarters.
L = float(np.log(3))
HAND = np.array([[[L, 0], [0, L], [L, 0]], [[0, L], [0, L], [0, 0]]])
HAND_LABELS = [0, 1, 1]


def history(e: int = 4, n: int = 30, k: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(seed)
    return 2 * g.normal(size=(e, n, k)), np.arange(n) % k


def softmax(z: np.ndarray) -> np.ndarray:
    p = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(p / p.sum(-1, keepdims=True))


def test_the_table_by_hand() -> None:
    found = analyse(
        HAND, HAND_LABELS, ids=["a", "b", "c"], class_names=("cat", "dog"), clean_labels=[0, 1, 0]
    )
    t = found.table
    assert list(t) == list(COLUMNS)
    assert t.index.name == "sample"
    assert t["id"].tolist() == ["a", "b", "c"]
    assert t["label_name"].tolist() == ["cat", "dog", "dog"]
    assert t["prediction"].tolist() == [1, 1, 0]
    assert t["prediction_name"].tolist() == ["dog", "dog", "cat"]
    wanted: dict[str, Any] = {
        "confidence": [0.5, 0.75, 0.375],
        "variability": [0.25, 0.0, 0.125],
        "correctness": [0.5, 1.0, 0.0],
        "forgetting": [1, 0, 0],
        "never_learnt": [False, False, True],
        "aum": [0.0, L, -L / 2],
        "el2n_early": [2**0.5 / 4, 2**0.5 / 4, 2**0.5 * 3 / 4],
        "el2n": [2**0.5 * 3 / 4, 2**0.5 / 4, 2**0.5 / 2],
        "margin": [-0.5, 0.5, 0.0],
        "p1p": [0.25, 0.75 * 0.25, 0.375 * 0.625],
    }
    for name, values in wanted.items():
        np.testing.assert_allclose(t[name].to_numpy(dtype=float), values, err_msg=name)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(2)
    np.testing.assert_allclose(t["entropy"], [entropy / 0.25, entropy / 0.75, 2.0])
    # the only right sample of the last epoch is the second one: class 0 has no medoid
    np.testing.assert_array_equal(found.medoids_at(-1), [-1, 1])
    assert np.isnan(t["distance"][0])
    np.testing.assert_allclose(t["distance"][1:], [0, L])
    assert t["flipped"].tolist() == [False, False, True]
    assert t["carried"].isna().all()
    np.testing.assert_allclose(found.curves, [[0.75, 0.75, 0.25], [0.25, 0.75, 0.5]])


def test_it_is_made_of_the_measures() -> None:
    z, y = history()
    found = analyse(z, y, early=2)
    rows = np.arange(len(y))
    own = softmax(z)[:, rows, y]
    np.testing.assert_allclose(found.table["confidence"], confidence(own))
    np.testing.assert_allclose(found.table["aum"], aum(z, y))
    np.testing.assert_allclose(found.table["el2n_early"], el2n(z[1], y))
    np.testing.assert_allclose(found.table["el2n"], el2n(z[3], y))
    events, never = forgetting(z.argmax(2) == y)
    np.testing.assert_array_equal(found.table["forgetting"], events)
    np.testing.assert_array_equal(found.table["never_learnt"], never)
    probabilities = found.probabilities_at(0)
    assert probabilities is not None
    np.testing.assert_allclose(probabilities, softmax(z[0]))
    np.testing.assert_array_equal(found.predictions_at(1), z[1].argmax(1))


@pytest.mark.parametrize("epochs", [10, 11, 30, 1])
def test_early_is_after_a_tenth(epochs: int) -> None:
    z, y = history(epochs)
    at = {10: 0, 11: 1, 30: 2, 1: 0}[epochs]
    np.testing.assert_allclose(analyse(z, y).table["el2n_early"], el2n(z[at], y))


def test_samples_may_come_in_any_order() -> None:
    z, y = history()
    order = np.random.default_rng(1).permutation(len(y))
    straight = analyse(z, y, ids=np.arange(len(y))).table.set_index("id")
    turned = analyse(z[:, order], y[order], ids=order).table.set_index("id")
    pd.testing.assert_frame_equal(straight, turned.loc[straight.index])


def test_classes_may_be_numbered_in_any_order() -> None:
    z, y = history()
    order = np.array([2, 0, 1])  # class order[c] is now called c
    scores = analyse(z, y).table[list(SCORES)]
    again = analyse(z[:, :, order], np.argsort(order)[y]).table[list(SCORES)]
    pd.testing.assert_frame_equal(scores, again)


def test_one_epoch_may_be_given_alone() -> None:
    z, y = history()
    one, whole = analyse(z[0], y), analyse(z[:1], y)
    pd.testing.assert_frame_equal(one.table, whole.table)
    assert one.num_epochs == 1
    assert (one.table["variability"] == 0).all()
    assert (one.table["forgetting"] == 0).all()
    np.testing.assert_array_equal(one.table["el2n"], one.table["el2n_early"])


@pytest.mark.parametrize(
    "form", [np.float16, np.float32, torch.float16, torch.bfloat16, torch.float64, "list"]
)
def test_kinds_of_numbers(form: Any) -> None:
    z, y = history()
    given: Any = z.tolist() if form == "list" else torch.tensor(z)
    if isinstance(form, torch.dtype):
        given = given.to(form).requires_grad_()
    elif form != "list":
        given = z.astype(form)
    atol = 0.1 if form == torch.bfloat16 else 1e-2
    found, wanted = analyse(given, torch.tensor(y)).table, analyse(z, y).table
    for name in ("confidence", "aum", "margin", "el2n"):
        np.testing.assert_allclose(found[name], wanted[name], atol=atol, err_msg=name)


def test_probabilities() -> None:
    z, y = history()
    p = softmax(z)
    found, wanted = analyse(p, y, probabilities=True), analyse(z, y)
    for name in SCORES:
        if name in ("aum", "distance", "carried"):
            assert found.table[name].isna().all(), name
        else:
            np.testing.assert_allclose(
                found.table[name].astype(float), wanted.table[name].astype(float), err_msg=name
            )
    assert found.logits_at(0) is None
    assert found.medoids_at(0) is None
    with pytest.raises(ValueError, match="say probabilities=True"):
        analyse(p, y)
    np.testing.assert_allclose(analyse(p, y, probabilities=False).table["aum"], aum(p, y))
    with pytest.raises(ValueError, match="the outputs of epoch 1 of sample 0 run from"):
        analyse(z, y, probabilities=True)


def test_a_run_has_all_that_it_recorded() -> None:
    run = RunStore(ROOT / "data" / "runs").list()[0]
    found, stored = analyse(run), run.dynamics
    assert stored is not None
    wanted = data_map(stored)
    for name in ("confidence", "variability", "correctness", "forgetting", "never_learnt"):
        np.testing.assert_array_equal(found.table[name], wanted[name], err_msg=name)
    np.testing.assert_array_equal(found.table["carried"].astype(int), wanted["carried"])
    np.testing.assert_array_equal(found.table["flipped"].astype(bool), wanted["flipped"])
    assert len(found.class_names) == 10
    assert not found.class_names[0].isdigit()
    assert found.has_images
    assert found.images_at([0, 5]).shape == (2, 1, 28, 28)
    assert found.images_at([]).shape == (0, 1, 28, 28)
    top = found.suspicious(200)
    assert top["flipped"].astype(bool).mean() > 0.5, "its flips are mostly found"


@pytest.fixture(scope="module")
def summary_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    config = TrainConfig(
        data=DataConfig(name="digits", noise_rate=0.2),
        method=ToastConfig(),
        epochs=2,
        batch_size=64,
        record="summary",
    )
    return RunStore(tmp_path_factory.mktemp("runs")).get(config, device="cpu")


def test_a_run_of_summaries_has_the_rest(summary_run: Any) -> None:
    found = analyse(summary_run)
    assert found.outputs is None
    assert found.num_epochs == 2
    for name in ("aum", "el2n", "el2n_early", "margin", "entropy", "distance"):
        assert found.table[name].isna().all(), name
    assert found.table["confidence"].notna().any()
    assert (found.table["prediction"] == -1).all()
    assert (found.table["prediction_name"] == "").all()
    assert found.predictions_at(0) is None
    assert found.suspicious(3)["confidence"].is_monotonic_increasing
    with pytest.raises(ValueError, match="a run has ids of its own"):
        analyse(summary_run, ids=[1])
    with pytest.raises(ValueError, match="a run records logits"):
        analyse(summary_run, probabilities=True)


def test_the_most_doubtful() -> None:
    z, y = history()
    found = analyse(z, y)
    assert found.suspicious(7)["aum"].tolist() == sorted(found.table["aum"])[:7]
    top = found.suspicious(5, by="entropy")["entropy"].tolist()
    assert top == sorted(found.table["entropy"], reverse=True)[:5]
    assert len(found.suspicious(1000)) == len(y)
    with pytest.raises(ValueError, match="Did you mean 'margin'"):
        found.suspicious(5, by="margins")
    p = analyse(softmax(z), y, probabilities=True)
    assert p.suspicious(3)["confidence"].tolist() == sorted(p.table["confidence"])[:3]


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5), (3, 6, 5), (6, 5, 3), (6, 5, 1)])
@pytest.mark.parametrize("kind", ["bytes", "floats", "tensor", "function"])
def test_images_of_every_form(shape: tuple[int, ...], kind: str) -> None:
    z, y = history(n=4)
    g = np.random.default_rng(0)
    pixels = g.integers(0, 256, (4, *shape), dtype=np.uint8)
    given: Any = pixels
    if kind == "floats":
        given = pixels / 255
    elif kind == "tensor":
        given = torch.from_numpy(pixels)
    elif kind == "function":
        given = lambda rows: pixels[rows]  # noqa: E731
    found = analyse(z, y, images=given).images_at([3, 1])
    assert found.dtype == np.uint8
    channels = 3 if 3 in shape else 1
    assert found.shape == (2, channels, 6, 5)
    flat = pixels.reshape(4, -1) if shape[-1] != 3 else pixels.transpose(0, 3, 1, 2).reshape(4, -1)
    np.testing.assert_array_equal(found.reshape(2, -1), flat[[3, 1]])


def test_images_in_files(tmp_path: Path) -> None:
    z, y = history(n=3)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        save(path, (20 + i, 30), (10 * i, 0, 0))
    found = analyse(z, y, images=paths).images_at([2, 0])
    assert found.shape == (2, 3, 64, 64)
    assert found[:, 0].max((1, 2)).tolist() == [20, 0]


def test_tables_are_written(tmp_path: Path) -> None:
    z, y = history()
    found = analyse(z, y, ids=[f"image {i}, of 'all'" for i in range(30)])
    found.save(tmp_path / "t.csv")
    again = pd.read_csv(tmp_path / "t.csv")
    assert list(again) == list(COLUMNS)
    assert again["id"].tolist() == found.table["id"].tolist()
    np.testing.assert_allclose(again["aum"], found.table["aum"])
    with pytest.raises(ValueError, match=r"Did you mean '\.csv'"):
        found.save(tmp_path / "t.cvs")


def test_a_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    z, y = history(n=3)
    analyse(z, y, ids=["a.png", "\udcff.png", "b.png"]).save(tmp_path / "t.csv")
    assert r"\udcff.png" in (tmp_path / "t.csv").read_text(encoding="utf-8")


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    z, y = history()
    found = analyse(z, y)
    monkeypatch.setattr("toastlab.disk.tables.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs pyarrow: pip install pyarrow"):
        found.save(tmp_path / "t.parquet")
    monkeypatch.undo()
    pytest.importorskip("pyarrow")
    found.save(tmp_path / "t.parquet")
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == 30


def nan_at(z: np.ndarray) -> np.ndarray:
    z = z.copy()
    z[1, 7] = np.nan
    return z


Z, Y = history()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"outputs": nan_at(Z)}, "sample 7 in epoch 2 are NaN"),
        ({"labels": Y + 1}, r"labels run from 1 to 3, but must lie in 0\.\.2"),
        ({"labels": Y[:-1]}, "shapes do not belong together"),
        ({"labels": Y + 0.5}, "labels: .*not whole numbers"),
        ({"labels": None}, "labels are missing"),
        ({"outputs": Z[:, :, :1], "labels": 0 * Y}, "needs an epoch and two classes"),
        ({"outputs": Z[:0]}, "needs an epoch and two classes"),
        ({"outputs": Z[0, 0]}, "shapes do not belong together"),
        ({"outputs": torch.zeros(2, 30, 3, device="meta")}, "device 'meta'"),
        ({"outputs": "runs/abc"}, "toastlab.analyse_folder"),
        ({"outputs": [["a"]]}, "cannot be read as numbers"),
        ({"ids": ["a"]}, "ids have the shape"),
        ({"class_names": ("a", "b")}, "2 class names for 3 classes"),
        ({"clean_labels": Y + 1}, "clean labels run from 1 to 3"),
        ({"clean_labels": Y[1:]}, "shapes do not belong together"),
        ({"carried": -1 - Y}, "carried begins at -3"),
        ({"early": 5}, r"early is 5, but must lie in \[1, 4\]"),
        ({"early": 0}, "early is 0"),
        ({"images": np.zeros((29, 4, 4))}, "29 images for 30 samples"),
        ({"images": np.zeros((30, 4, 4, 4))}, "one or three channels"),
        ({"images": np.zeros((30, 4, 4), dtype=int)}, "give uint8, or floats"),
        ({"outputs": Recorder(30, 3)}, "nothing is recorded yet"),
    ],
)
def test_what_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        analyse(**{"outputs": Z, "labels": Y, **given})


def test_wrong_numbers_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="outputs: int64 will not do"):
        analyse(Z.astype(int), Y)


def test_epochs_and_rows_out_of_range() -> None:
    found = analyse(Z, Y)
    for look in (found.logits_at, found.probabilities_at, found.predictions_at, found.medoids_at):
        with pytest.raises(ValueError, match=r"epoch is 4, but must lie in \[-4, 3\]"):
            look(4)
    with pytest.raises(ValueError, match="no images are known"):
        found.images_at([0])
    whole = analyse(Z, Y, images=np.zeros((30, 4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="rows run from 30 to 30"):
        whole.images_at([30])


def test_an_analysis_may_be_made_by_hand() -> None:
    found = Analysis(analyse(Z, Y).table, ("a", "b", "c"))
    assert found.num_epochs == 0
    assert not found.has_images
