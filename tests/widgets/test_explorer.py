"""The explorer without a browser: what its page is sent, and what comes back."""

import base64
import io
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from traitlets import TraitError

import toastlab
from toastlab import Analysis, Run
from toastlab.course.runs import course_data, course_runs, course_store
from toastlab.studies.layouts import load_layouts
from toastlab.widgets import Explorer, SamplePanel
from toastlab.widgets.explorer import data, page, places, view

ROOT = Path(__file__).parents[2]
HOSTILE = "</script><script>alert('x')</script>"


def small(samples: int = 40, epochs: int = 5, **more: Any) -> Analysis:
    """Four classes, of which one has a name that would leave its element; the last is flipped."""
    draw = np.random.default_rng(0)
    labels = np.arange(samples) % 4
    logits = draw.normal(size=(epochs, samples, 4))
    logits[:, np.arange(samples), labels] += np.linspace(0, 3, epochs)[:, None]
    given: dict[str, Any] = {
        "images": draw.integers(0, 256, (samples, 6, 5), dtype=np.uint8),
        "ids": [f"folder/{i}.png" for i in range(samples)],
        "class_names": ("cat", "dog", HOSTILE, "owl"),
        "clean_labels": np.where(np.arange(samples) == samples - 1, 0, labels),
    }
    return toastlab.analyse(logits, labels, **(given | more))


def array(packed: data.Packed, name: str) -> np.ndarray:
    kinds = {"Uint8Array": "u1", "Uint16Array": "<u2", "Int32Array": "<i4", "Float32Array": "<f4"}
    return np.frombuffer(packed.arrays[name], kinds[packed.meta["arrays"][name]])


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    return course_runs(course_store())


def test_the_page_is_sent_what_the_analysis_has() -> None:
    analysis = small()
    packed = data.pack(analysis, places.made(analysis, "pca"), 100)
    table, meta = analysis.table, packed.meta
    assert (meta["samples"], meta["epochs"]) == (40, 5)
    assert array(packed, "label").tolist() == table.label.tolist()
    assert array(packed, "clean").tolist() == table.clean_label.tolist()
    assert analysis.curves is not None
    curve = array(packed, "curve").reshape(5, 40) / 254
    assert np.abs(curve - analysis.curves).max() <= 0.5 / 254 + 1e-9
    predictions = array(packed, "prediction").reshape(5, 40)
    for epoch in range(5):
        assert predictions[epoch].tolist() == list(analysis.predictions_at(epoch))
        medoids = array(packed, "medoids").reshape(5, 4)[epoch]
        assert medoids.tolist() == list(analysis.medoids_at(epoch))
    scores = array(packed, "scores").reshape(len(meta["choices"]["score"]), 40)
    for name, score in zip(meta["choices"]["score"], scores, strict=True):
        assert score == pytest.approx(table[name].to_numpy(np.float64), rel=1e-6, nan_ok=True)
    assert "carried" not in meta["choices"]["score"], "not known, so not offered"
    assert packed.arrays["ids"].decode().split("\0")[:-1] == table.id.tolist()
    assert meta["placeEpochs"] == [0, 1, 2, 3, 4]
    assert json.loads(json.dumps(meta)) == meta


def test_a_sheet_holds_the_images_themselves() -> None:
    analysis = small(samples=1100)
    packed = data.pack(analysis, None, 1050)
    tile = array(packed, "tile")
    lowest = np.argsort(analysis.table.confidence.to_numpy(), kind="stable")[:1050]
    assert sorted(np.flatnonzero(tile >= 0)) == sorted(lowest), "the least sure have images"
    assert {n for n in packed.arrays if n.startswith("sheet")} == {"sheet0", "sheet1"}
    images = packed.meta["images"]
    for row in (lowest[0], np.flatnonzero(tile == 1030)[0]):
        sheet = Image.open(io.BytesIO(packed.arrays[f"sheet{tile[row] // images['each']}"]))
        at = tile[row] % images["each"]
        x = (at % images["columns"]) * images["width"]
        y = at // images["columns"] * images["height"]
        cut = np.asarray(sheet.crop((x, y, x + images["width"], y + images["height"])))
        assert np.array_equal(cut, analysis.images_at(np.array([row]))[0, 0])
    assert "tile" not in data.pack(analysis, None, 0).arrays


def test_large_and_coloured_images_become_thumbnails() -> None:
    picture = data.thumbnail(np.zeros((3, 96, 48), np.uint8))
    assert (picture.size, picture.mode) == ((16, 32), "RGB")


def test_what_is_not_known_is_left_out() -> None:
    """Probabilities only, without images, ids or clean labels; and one epoch."""
    analysis = toastlab.analyse(np.full((1, 3, 2), 0.5), [0, 1, 1], probabilities=True)
    packed = data.pack(analysis, places.made(analysis, "pca"), 100)
    assert {"clean", "medoids", "tile"} & set(packed.arrays) == set()
    assert packed.meta["choices"]["colour"] == ["label", "prediction"]
    assert "flipped" not in packed.meta["choices"]["region"]
    nothing = pd.DataFrame({"confidence": [np.nan], "variability": [np.nan]})
    assert data.region(nothing).tolist() == [0]


def test_unknown_probabilities_and_places_stay_unknown() -> None:
    assert data.steps(np.array([0.0, np.nan, 1.0, 0.5])).tolist() == [0, 255, 254, 127]
    flat = np.array([[0.0, 0.0], [2.0, 1.0], [np.nan, np.nan]])
    assert data.quantised([flat]).tolist() == [[[0, 16384], [65534, 49150], [65535, 65535]]]
    assert (data.quantised([np.full((2, 2), np.nan)]) == 65535).all()


def test_regions_are_those_of_the_panel_of_samples(runs: dict[str, Run]) -> None:
    panel = SamplePanel(runs["TOAST"], course_data())
    panel.controls["threshold"].value = 1.0
    found = data.region(toastlab.analyse(runs["TOAST"]).table)
    dynamics = runs["TOAST"].dynamics
    assert dynamics is not None
    below_one = dynamics.probability[-1] < 1  # the panel leaves out the others
    for word in ("easy", "ambiguous", "hard"):
        (name,) = (x for x in panel.controls["region"].options if x.startswith(word))
        panel.controls["region"].value = name
        ours = np.flatnonzero((found == data.REGIONS.index(word)) & below_one)
        assert len(ours) > 100
        assert set(panel.selected()) == set(ours)


def test_every_class_has_a_colour_of_its_own() -> None:
    colours = data.palette(100)
    assert len({tuple(c) for c in colours}) == 100
    assert all(0 <= x <= 255 for colour in colours for x in colour)


def test_principal_components_keep_their_axes_over_the_epochs() -> None:
    analysis = small()
    made = places.made(analysis, "pca")
    assert made is not None
    last = analysis.logits_at(-1)
    assert last is not None
    last = last.astype(np.float64)
    centred = last - last.mean(1, keepdims=True)
    spread = np.sort(np.linalg.eigvalsh(np.cov(centred.T)))[::-1]
    assert np.cov(made.xy[5].T) == pytest.approx(np.diag(spread[:2]), abs=1e-9)
    assert analysis.outputs is not None
    shift = np.zeros((5, 40, 4)) + 7.0  # a constant in all logits changes no prediction
    moved = Analysis(analysis.table, analysis.class_names, analysis.outputs + shift)
    again = places.made(moved, "pca")
    assert again is not None
    assert again.xy[1] == pytest.approx(made.xy[1], abs=1e-4)


def test_few_epochs_of_many_are_laid_out() -> None:
    assert places.some_epochs(5, 12) == [1, 2, 3, 4, 5]
    some = places.some_epochs(200, 8)
    assert (some[0], some[-1]) == (1, 200)
    assert len(some) <= 8


def test_tsne_places_some_samples_and_leaves_the_others_out() -> None:
    made = places.made(small(samples=60, epochs=2), "tsne")
    assert made is not None
    assert list(made.xy) == [1, 2]
    assert made.title == "t-SNE of soft targets"
    assert np.isfinite(made.xy[2]).all()


def test_stored_layouts_are_placed(runs: dict[str, Run]) -> None:
    layouts = load_layouts(runs)
    placed = places.stored(layouts, "TOAST", 6000)
    known = np.flatnonzero(np.isfinite(placed.xy[30]).all(1))
    assert known.tolist() == layouts.index.tolist()
    explorer = Explorer(runs["TOAST"], places=placed, thumbnails=0)
    assert explorer.meta["placeEpochs"] == [0, 1, 2, 4, 9, 19, 29]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "places is empty"),
        ({1: np.zeros((3, 2))}, r"shape \[3, 2\]"),
        ({6: np.zeros((40, 2))}, "epoch of a layout is 6"),
        ({0: np.zeros((40, 2))}, "epoch of a layout is 0"),
        ({1: np.full((40, 2), np.nan)}, "no finite place"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(given: dict[int, np.ndarray], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Explorer(small(), places=given)


def test_selected_samples_are_named_by_their_ids(tmp_path: Path) -> None:
    explorer = Explorer(small())
    assert explorer.selected == []
    explorer.selection = bytes([0, 1, 1] + [0] * 37)  # as the page does
    assert explorer.selected == ["folder/1.png", "folder/2.png"]
    assert explorer.selected_table.index.tolist() == [1, 2]
    explorer.selected = ["folder/9.png", "folder/3.png"]
    assert explorer.selected_rows.tolist() == [3, 9]
    with pytest.raises(ValueError, match=r"there is no sample 'x\.png'"):
        explorer.selected = ["folder/1.png", "x.png"]
    assert explorer.selected_rows.tolist() == [3, 9], "as it was"
    text = explorer.to_csv()
    assert text is not None
    read = pd.read_csv(io.StringIO(text))
    assert read.id.tolist() == ["folder/3.png", "folder/9.png"]
    assert explorer.to_csv(tmp_path / "all.csv") is None
    explorer.selected = []
    explorer.to_csv(tmp_path / "all.csv")
    assert len(pd.read_csv(tmp_path / "all.csv")) == 40, "none selected: all of them"
    assert repr(explorer) == "Explorer of 40 samples, 0 selected"


def test_state_is_kept_and_what_is_none_is_refused() -> None:
    explorer = Explorer(small())
    explorer.view = {"epoch": 2, "hidden": [1], "score": "aum", "low": -1.5}
    explorer.selected = ["folder/5.png"]
    state = explorer.state()
    again = Explorer(small())
    again.restore(state)
    assert (again.view, again.selected) == (explorer.view, ["folder/5.png"])
    for wrong in (
        "", "[]", "{}", '{"view": {}, "selected": [40]}', '{"view": {}, "selected": [1.5]}',
        '{"view": {"epoch": 5}, "selected": []}', '{"view": {"epoch": true}, "selected": []}',
        '{"view": {"html": 1}, "selected": []}', '{"view": {"hidden": [9]}, "selected": []}',
        '{"view": {"low": NaN}, "selected": []}', '{"view": {"score": "x"}, "selected": []}',
        '{"view": {}, "selected": [1000000000000000000000]}', '{"view": [], "selected": []}',
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError), match=r"explorer\.state|unknown part|rows"):
            again.restore(wrong)
    with pytest.raises(TraitError, match="epoch of a view cannot be 9"):
        again.view = {"epoch": 9}
    with pytest.raises(TraitError, match="40 bytes"):
        again.selection = b"\1"
    assert again.state() == state, "nothing of them was taken"


def test_a_browser_sets_view_and_selection_and_nothing_else_behind_the_guard() -> None:
    """Messages as a browser sends them, in a process of its own: the guard stays for good."""
    code = """
from tests.widgets.test_explorer import small
from toastlab.widgets import Explorer, take_only_controls
explorer, other = Explorer(small()), Explorer(small())
take_only_controls(explorer)

def send(widget, state, **buffers):
    data = {"method": "update", "state": state, "buffer_paths": [[name] for name in buffers]}
    content = [memoryview(x) for x in buffers.values()]
    widget._handle_msg({"content": {"data": data}, "buffers": content})

before = dict(explorer.meta), dict(explorer.arrays), explorer._esm
mask = bytes([1]) + bytes(39)
send(explorer, {"view": {"epoch": 1}, "selection": None}, selection=mask)
assert (explorer.view["epoch"], explorer.selected) == (1, ["folder/0.png"])
send(explorer, {"selection": None}, selection=bytes(39))
send(explorer, {"selection": None}, selection=bytes([2] * 40))
send(explorer, {"selection": 40})
for wrong in ({"epoch": 99}, {"hidden": ["x"]}, {"more": 1}, [], "x", {"focus": 40}, {}):
    send(explorer, {"view": wrong})
send(explorer, {"_esm": "alert(1)", "_css": "x", "meta": {}, "layout": "x", "_view_module": "x"})
send(explorer, {"arrays": {"label": None}})
assert (explorer.view["epoch"], explorer.selected) == (1, ["folder/0.png"])
assert (dict(explorer.meta), dict(explorer.arrays), explorer._esm) == before
send(other, {"view": {"epoch": 1}})
assert other.view["epoch"] == 4, "one that was not named"
print("held")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "held\n", done.stderr


def test_the_page_has_all_it_needs_and_loads_nothing(tmp_path: Path) -> None:
    explorer = Explorer(small(), title="Owls & <others>")
    explorer.selected = ["folder/7.png"]
    path = explorer.save(tmp_path / "map.html")
    text = path.read_text(encoding="utf-8")
    assert "<title>Owls &amp; &lt;others&gt;</title>" in text
    assert text.count("</script>") == 2, "no name leaves its element"
    assert not re.search(r"""(?:src|href)\s*=\s*["']|@import|url\(|https?://""", text)
    assert "default-src 'none'" in text
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found
    read = json.loads(found[1])
    assert read["meta"] == explorer.meta
    assert json.loads(read["state"])["selected"] == [7]
    for name, content in explorer.arrays.items():
        assert zlib.decompress(base64.b64decode(read["arrays"][name])) == content
    with pytest.raises(ValueError, match=r"let it end in \.html"):
        explorer.save(tmp_path / "map.png")


def test_without_a_kernel_a_notebook_shows_the_static_picture() -> None:
    bundle, metadata = Explorer(small())._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"].startswith("40 training samples")
    assert metadata["image/png"]["alt"] == bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_the_code_of_the_page_is_small_and_whole() -> None:
    files = sorted(page.WEB.iterdir())
    assert {f.name for f in files} == {*page.SCRIPTS, "explorer.css"}
    lines = {f.name: f.read_text(encoding="utf-8").splitlines() for f in files}
    assert sum(map(len, lines.values())) <= 900
    for name, text in lines.items():
        assert max(map(len, text)) <= 100, name
        assert text[0].startswith(("//", "/*")), f"{name} says what it is"
    script = page.script()
    assert not re.search(r"^(import|export (?!default))", script, re.M)
    declared = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", script, re.M)
    assert len(declared) == len(set(declared)), "one name for one thing: it becomes one module"
    assert "innerHTML" not in script.replace("root.innerHTML = BODY;", "")


def test_the_code_of_the_page_is_part_of_the_package() -> None:
    """What hatchling packs: all that git knows below toastlab/."""
    listed = subprocess.run(
        ["git", "ls-files", "toastlab/widgets/explorer/web"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {Path(x).name for x in listed.stdout.split()} == {f.name for f in page.WEB.iterdir()}
    assert 'packages = ["toastlab"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_view_and_mask() -> None:
    assert view.is_mask(b"\0\1", 2)
    assert view.is_mask(memoryview(b""), 0)
    assert not any(view.is_mask(x, 2) for x in (b"\0", b"\0\2", "ab", None, [0, 1]))
    assert view.mask_of([1], 3) == b"\0\1\0"
    assert view.mask_of([], 2) == b"\0\0"
    for wrong in ([-1], [3], [0.5], [[0]], "x"):
        with pytest.raises((ValueError, TypeError), match="rows"):
            view.mask_of(wrong, 3)
