"""Every sample leads back to the user's own data: rows of arrays and source files, image files."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision.datasets as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from tests.helpers import write_cifar, write_tiny_imagenet
from toastlab import plots
from toastlab.analysis.dynamics import Dynamics, data_map
from toastlab.core.errors import DataError
from toastlab.data.dataset import DataConfig, Dataset, from_tensors, images_of, load
from toastlab.data.decode import decode
from toastlab.data.ids import as_ids, caption, pack, unpack
from toastlab.data.idx import write_idx
from toastlab.data.image_files import resized
from toastlab.data.splits import DiskSplit, Split
from toastlab.methods import CrossEntropyConfig
from toastlab.store.names import run_key
from toastlab.store.runs import RunStore
from toastlab.studies.report import _inside
from toastlab.training.config import TrainConfig
from toastlab.widgets import SamplePanel

ROOT = Path(__file__).parents[2]
SPOILT = np.array([3, 17, 40, 55, 101, 102, 150, 163, 200, 211, 222, 239])
NAMES = ("plain", "two words", "50 $ a$", "größe", "line\nbreak", "raw\udcff")


def own(n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 6, 6] whose class is a bright row, and labels [N] of which 12 are wrong."""
    random = np.random.default_rng(0)
    labels = random.permutation(n) % 3
    images = random.integers(0, 90, (n, 6, 6), dtype=np.uint8)
    images[np.arange(n), labels] += 120
    labels[SPOILT] = (labels[SPOILT] + 1) % 3
    return images, labels


def write_folder(root: Path, parts: tuple[str, ...] = ("",)) -> Path:
    """Three classes of 24 images with awkward names, in each part."""
    random = np.random.default_rng(0)
    for part in parts:
        for c, label in enumerate(("ape", "bee", "cat")):
            (root / part / label / "deep").mkdir(parents=True)
            for i in range(24):
                pixels = random.integers(0, 90, (12, 12, 3), dtype=np.uint8)
                pixels[4 * c : 4 * c + 4] += 120
                file = Path("deep" if i % 2 else "") / f"{NAMES[i % 6]} {i}.png"
                Image.fromarray(pixels).save(root / part / label / file)
    return root


def splits(data: Dataset) -> tuple[Split | DiskSplit, ...]:
    return data.train, data.val, data.test


def trained(data: Dataset, root: Path, config: DataConfig | None = None, epochs: int = 6) -> Any:
    """A run of cross-entropy, opened again from its folder as if the data were gone."""
    settings = TrainConfig(
        data=config or DataConfig(), method=CrossEntropyConfig(), epochs=epochs, batch_size=16
    )
    run = RunStore(root).get(settings, dataset=data, device="cpu")
    assert run is not None
    return RunStore(root).open(run.key)


def test_from_wrong_labels_back_to_the_users_own_rows(tmp_path: Path) -> None:
    images, labels = own()
    data = from_tensors(images, labels)
    assert sorted(np.concatenate([s.ids for s in splits(data)])) == list(range(240))
    for split in splits(data):
        assert split.ids.dtype == np.int64
        np.testing.assert_array_equal(
            images_of(split, np.arange(len(split)))[:, 0], images[split.ids]
        )
        np.testing.assert_array_equal(split.labels.numpy(), labels[split.ids])
    run = trained(data, tmp_path)
    frame = data_map(run.dynamics)
    assert frame.index.name == "sample"
    assert frame.columns[0] == "id"
    np.testing.assert_array_equal(frame.id, data.train.ids)
    inside = np.intersect1d(SPOILT, data.train.ids)
    worst = frame.nsmallest(len(inside), "confidence")
    assert len(np.intersect1d(worst.id, inside)) >= 0.7 * len(inside)
    # "sample" still indexes the split, "id" the user's array
    samples, rows = worst.index.to_numpy(), worst.id.to_numpy()
    np.testing.assert_array_equal(images_of(data.train, samples)[:, 0], images[rows])
    again = pd.read_csv(io.StringIO(frame.to_csv()), index_col="sample")
    np.testing.assert_array_equal(again.id, data.train.ids)


@pytest.mark.parametrize("stream", [False, True], ids=["in memory", "streamed"])
@pytest.mark.parametrize("parts", [("",), ("train", "val", "test")], ids=["whole", "in parts"])
@pytest.mark.parametrize("per_class", [0, 7])
def test_from_a_folder_back_to_its_files(
    stream: bool, parts: tuple[str, ...], per_class: int, tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "images", parts)
    config = DataConfig(
        name="folder", path=str(root), size=8, channels="grey", noise_rate=0.2, workers=0,
        per_class=per_class, stream=stream,
    )  # fmt: skip
    data = load(config)
    files = [p.relative_to(root).as_posix() for p in root.rglob("*.png")]
    found = np.concatenate([s.ids for s in splits(data)])
    assert len(set(found)) == len(found)
    assert set(found) <= set(files)
    assert per_class or len(found) == len(files)
    run = trained(data, tmp_path / "runs", config, epochs=2)
    frame = data_map(run.dynamics)
    assert frame.id.tolist() == data.train.ids.tolist()
    for split in splits(data):
        shown = images_of(split, np.arange(len(split)))
        for image, name, clean in zip(shown, split.ids, split.clean_labels.tolist(), strict=True):
            wanted = resized(decode(root / name, True)[None], 8, "grey")[0]
            np.testing.assert_array_equal(image, wanted.numpy())
            assert data.classes[clean] in Path(name).parts
    assert str(tmp_path) not in (run.folder / "arrays.safetensors").read_bytes().decode("latin-1")


def test_rows_of_the_sources_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits, IDX and CIFAR: with held-out rows, subsets and noise, as the file counts them."""
    pixels, truth = load_digits(return_X_y=True)
    digits = load(DataConfig(name="digits", per_class=20, noise_rate=0.3, split_seed=3))
    for split in splits(digits):
        np.testing.assert_array_equal(truth[split.ids], split.clean_labels)
        whole = np.round(pixels[split.ids] * 255 / 16).astype(np.uint8)
        np.testing.assert_array_equal(
            images_of(split, np.arange(len(split))).reshape(len(split), -1), whole
        )
    images, labels = own()
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels.astype(np.uint8))
    plain = load(DataConfig(name="idx", path=str(tmp_path), per_class=30))
    write_cifar(tv.CIFAR10, tmp_path / "cifar", monkeypatch)
    colours = tv.CIFAR10(tmp_path / "cifar").data.transpose(0, 3, 1, 2)
    cifar = load(DataConfig(name="cifar10", path=str(tmp_path / "cifar"), noise_rate=0.2))
    for data, source in ((plain, images[:, None]), (cifar, colours)):
        for split in (data.train, data.val):
            np.testing.assert_array_equal(
                images_of(split, np.arange(len(split))), source[split.ids]
            )
        assert not set(data.train.ids) & set(data.val.ids)
        assert data.test.ids.tolist() == list(range(len(data.test)))


def test_tiny_imagenets_files(tmp_path: Path) -> None:
    data = load(DataConfig(name="tiny-imagenet", path=str(write_tiny_imagenet(tmp_path))))
    assert all(str(name).startswith("train/n00") for name in (*data.train.ids, *data.val.ids))
    assert data.test.ids[0] == "val/images/val_0.JPEG"


def test_splits_of_ones_own() -> None:
    images, y = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.arange(4)
    assert Split(images, y, y).ids.tolist() == [0, 1, 2, 3]
    names = Split(images, y, y, ids=["a", "b", "a/c", ""])  # type: ignore[arg-type]
    assert names.ids.tolist() == ["a", "b", "a/c", ""]
    whole = Dataset("own", tuple("abcd"), names, names, names, "", "")
    assert whole.to("meta").train.ids.tolist() == names.ids.tolist()
    assert DiskSplit((Path("x/y.png"),), y[:1], y[:1], 8, True, 0).ids.tolist() == ["x/y.png"]
    for bad, message in (
        (np.arange(5), r"shape \(5,\) for 4 samples"),
        (["a", "b"], r"shape \(2,\) for 4 samples"),
        (np.zeros(4), r"^0\.0 is no id"),
        (["a", "b", None, "d"], "^None is no id"),
        (["a", "b", "c\0d", "d"], "is no id"),
    ):
        with pytest.raises(DataError, match=message):
            Split(images, y, y, ids=bad)  # type: ignore[arg-type]


@given(texts=st.lists(st.text(st.characters(exclude_characters="\0")), max_size=9))
@settings(max_examples=60, deadline=None)
def test_packed_and_unpacked(texts: list[str]) -> None:
    ids = as_ids(texts, len(texts))
    assert unpack(pack(ids)).tolist() == texts
    assert pack(ids).dtype == np.uint8
    rows = np.arange(len(texts))
    assert unpack(pack(rows)) is rows


def test_the_stored_runs_know_their_samples() -> None:
    runs = RunStore(ROOT / "data" / "runs").list()
    assert runs
    for run in runs:
        data = load(run.config.data)
        assert run_key(run.config, data.fingerprint) == run.key
        assert run.dynamics is not None
        assert run.dynamics.ids is not None
        assert run.dynamics.ids.tolist() == data.train.ids.tolist() == list(range(6000))
        assert data_map(run.dynamics).id.tolist() == list(range(6000))


def test_runs_of_earlier_versions_say_that_they_do_not_know() -> None:
    """Their dynamics have no ids: no row number is made up."""
    (run, *_) = RunStore(ROOT / "data" / "runs").list()
    assert run.dynamics is not None
    assert data_map(replace(run.dynamics, ids=None)).id.isna().all()


def test_dynamics_refuse_ids_that_do_not_fit() -> None:
    ones = np.ones((2, 3), dtype=np.uint8)
    given_ = (np.ones((2, 3)), ones > 0, ones, ones, np.arange(3), np.arange(3))
    assert Dynamics(*given_, ids=np.array(["a", "b", "c"])).ids is not None
    with pytest.raises(DataError, match=r"shape \(4,\) for 3 samples"):
        Dynamics(*given_, ids=np.arange(4))


def texts_of(panel: SamplePanel) -> list[str]:
    figure, _ = panel.draw()
    assert figure is not None
    return [t.get_text() for axis in figure.axes for t in axis.texts]


def test_captions_say_which_sample_it_is(tmp_path: Path) -> None:
    """The panel and the report, by file name and by row; names are shown as they are."""
    assert caption(17) == "row 17"
    assert caption("train/boot/a.png") == "a.png"
    assert caption("x/a-very-long-name-0012.png") == "...name-0012.png"
    assert caption("a\nb") == r"a\nb"
    root = write_folder(tmp_path / "images")
    config = DataConfig(name="folder", path=str(root), size=8)
    data = load(config)
    panel = SamplePanel(trained(data, tmp_path / "runs", config), data)
    panel.controls["threshold"].value = 1.0
    upper, lower = texts_of(panel)[:8], texts_of(panel)[8:]
    chosen = panel.selected()
    for i, text in zip([*chosen[:8], *chosen[-8:]], [*upper, *lower], strict=True):
        assert text.splitlines()[1] == caption(data.train.ids[i])
    images, labels = own()
    rows = from_tensors(images, labels)
    panel = SamplePanel(trained(rows, tmp_path / "runs"), rows)
    worst = panel.selected()[0]
    assert f"row {rows.train.ids[worst]}" in texts_of(panel)[0]


def test_the_report_names_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []
    gallery = plots.sample_gallery

    def watch(images: Any, given_captions: Any, *rest: Any) -> Any:
        captions.extend(given_captions)
        return gallery(images, given_captions, *rest)

    monkeypatch.setattr(plots, "sample_gallery", watch)
    config = DataConfig(name="digits", per_class=10, noise_rate=0.2)
    run = RunStore(tmp_path).get(TrainConfig(data=config, epochs=2, batch_size=16), device="cpu")
    assert run is not None
    _inside(run, "digits")
    frame = data_map(run.dynamics)  # type: ignore[arg-type]
    hard = frame.sort_values("confidence", kind="stable")[:24]
    assert [text.splitlines()[1] for text in captions] == [f"row {one}" for one in hard.id]


def test_frames_say_what_they_mean_and_dollars_are_no_formulas() -> None:
    images = np.zeros((2, 1, 6, 6), dtype=np.uint8)
    shown = (images, ["$x", r"$\bad{$"], [True, False], "Title", "in the wrong folder")
    figure = plots.sample_gallery(*shown)
    plots.to_png(figure, dpi=40)
    assert " ".join(figure.get_suptitle().split()) == "Title; framed: those in the wrong folder"
    assert (
        plots.describe_sample_gallery(*shown) == "Title: 2 images, 1 of them in the wrong folder."
    )
