"""`analyse_folder` and `toastlab analyse`: what may lie on disk, and what is said of the rest."""

import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers import save
from toastlab import analyse, analyse_folder
from toastlab.cli import main as cli
from toastlab.core.errors import DataError, StoreError

ROOT = Path(__file__).parents[2]
RUN = next(p for p in sorted((ROOT / "data" / "runs").iterdir()) if (p / "config.json").exists())
E, N, K = 3, 20, 4


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    g = np.random.default_rng(0)
    return {"logits": g.normal(size=(E, N, K)), "labels": np.arange(N) % K}


@pytest.fixture
def folder(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    place = tmp_path / "training"
    place.mkdir()
    for name, array in arrays.items():
        np.save(place / f"{name}.npy", array)
    return place


def test_a_folder_of_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    wanted = analyse(arrays["logits"], arrays["labels"])
    pd.testing.assert_frame_equal(analyse_folder(folder).table, wanted.table)
    np.save(folder / "ids.npy", np.array([f"{i}.png" for i in range(N)]))
    np.save(folder / "clean_labels.npy", np.zeros(N, dtype=int))
    np.save(folder / "images.npy", np.zeros((N, 5, 5), dtype=np.uint8))
    (folder / "classes.txt").write_text("cat\ndog\nfox\nowl\n", encoding="utf-8")
    found = analyse_folder(str(folder))
    assert found.table["id"].tolist() == [f"{i}.png" for i in range(N)]
    assert found.class_names == ("cat", "dog", "fox", "owl")
    assert found.images_at([1]).shape == (1, 1, 5, 5)
    assert found.table["flipped"].sum() == N - N // K


def test_one_file(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "all.npz", **arrays)  # type: ignore[arg-type]
    np.save(tmp_path / "z.npy", arrays["logits"])
    (tmp_path / "labels.txt").write_text("\n".join(map(str, arrays["labels"])), encoding="utf-8")
    wanted = analyse(**{"outputs": arrays["logits"], "labels": arrays["labels"]}).table
    pd.testing.assert_frame_equal(analyse_folder(tmp_path / "all.npz").table, wanted)
    with_labels = analyse_folder(tmp_path / "z.npy", labels=tmp_path / "labels.txt")
    pd.testing.assert_frame_equal(with_labels.table, wanted)


def test_probabilities_are_known_by_their_name(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    p = np.exp(arrays["logits"])
    p /= p.sum(2, keepdims=True)
    (folder / "logits.npy").unlink()
    np.save(folder / "probabilities.npy", p)
    assert analyse_folder(folder).kind == "probabilities"
    np.save(folder / "outputs.npy", p)
    labels = folder / "labels.npy"
    with pytest.raises(ValueError, match="--probabilities"):
        analyse_folder(folder / "outputs.npy", labels=labels)
    found = analyse_folder(folder / "outputs.npy", labels=labels, probabilities=True)
    assert found.kind == "probabilities"


def test_images_of_a_folder(tmp_path: Path, folder: Path) -> None:
    for i in range(N):
        save(tmp_path / "images" / f"{i:02}.png", colour=(10 * i, 0, 0))
    found = analyse_folder(folder, images=tmp_path / "images")
    assert found.table["id"].tolist() == [f"{i:02}.png" for i in range(N)]
    assert found.images_at([3])[0, 0, 0, 0] == 30
    ids = [f"{i:02}.png" for i in reversed(range(N))]
    turned = analyse_folder(folder, images=tmp_path / "images", ids=ids)
    assert turned.images_at([0])[0, 0, 0, 0] == 190
    with pytest.raises(DataError, match="the ids are numbers"):
        analyse_folder(folder, images=tmp_path / "images", ids=np.arange(N))
    with pytest.raises(DataError, match="there is no folder"):
        analyse_folder(folder, images=tmp_path / "nothing")


def test_a_run_folder(tmp_path: Path) -> None:
    found = analyse_folder(RUN)
    assert found.has_images
    assert found.table["aum"].notna().all()
    with pytest.raises(ValueError, match="a run folder has labels of its own"):
        analyse_folder(RUN, labels=[1])
    shutil.copytree(RUN, tmp_path / RUN.name)
    (tmp_path / RUN.name / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot be trusted"):
        analyse_folder(tmp_path / RUN.name)


def test_what_cannot_be_read(tmp_path: Path, folder: Path) -> None:
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (tmp_path / "nothing", {}, "nothing does not exist"),
        (tmp_path, {}, "holds neither a run"),
        (folder / "labels.npy", {"labels": tmp_path / "none.txt"}, "none.txt cannot be read"),
    ]
    (tmp_path / "x.txt").write_text("1\ntwo\n", encoding="utf-8")
    cases += [
        (tmp_path / "x.txt", {}, "neither a folder nor a"),
        (folder, {"labels": tmp_path / "x.txt"}, "does not hold labels"),
    ]
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    (tmp_path / "cut.npy").write_bytes((folder / "logits.npy").read_bytes()[:200])
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 no archive")
    cases += [
        (tmp_path / "objects.npy", {"labels": [0]}, "objects.npy cannot be read"),
        (tmp_path / "cut.npy", {"labels": [0]}, "cut.npy cannot be read"),
        (tmp_path / "cut.npz", {"labels": [0]}, "cut.npz cannot be read"),
    ]
    for place, options, said in cases:
        with pytest.raises(DataError, match=said):
            analyse_folder(place, **options)
    (folder / "labels.npy").unlink()
    with pytest.raises(DataError, match=r"has no labels\.npy; give the labels \(--labels FILE\)"):
        analyse_folder(folder)


def test_the_command_writes_a_table(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "doubtful.csv"
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nfox\nowl", encoding="utf-8")
    cli.main(["analyse", str(folder), "--out", str(out), "--names", str(names), "--count", "5"])
    table, whole = pd.read_csv(out), analyse_folder(folder).table
    np.testing.assert_allclose(table["aum"], sorted(whole["aum"])[:5])
    said = capsys.readouterr().out
    assert "The 10 most doubtful of 20 labels, by aum" in said
    assert "owl" in said
    cli.main(["analyse", str(folder), "--out", str(out), "--by", "el2n"])
    assert pd.read_csv(out)["el2n"].is_monotonic_decreasing
    cli.main(["analyse", str(folder), "--out", str(out)])
    assert pd.read_csv(out)["id"].tolist() == list(range(N))


def test_the_command_reads_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["analyse", str(RUN), "--out", str(tmp_path / "t.csv")])
    assert len(pd.read_csv(tmp_path / "t.csv")) == len(analyse_folder(RUN).table)
    assert "most doubtful" in capsys.readouterr().out


def test_the_command_hands_the_explorer_what_it_shows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the explorer, with the face that the command asks for."""

    class Explorer:
        def __init__(self, found: Any) -> None:
            self.found = found

        def save(self, path: Path) -> None:
            path.write_text(f"<p>{len(self.found.table)} samples", encoding="utf-8")

    module = ModuleType("toastlab.widgets.explorer")
    module.Explorer = Explorer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toastlab.widgets.explorer", module)
    cli.main(["analyse", str(folder), "--out", str(tmp_path / "report.html")])
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "<p>20 samples"
