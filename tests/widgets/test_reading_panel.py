"""What a sample is taught under each reading: the library's loss, and words that say what it does
to the label."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from toastlab import CrossEntropyConfig, DataConfig, Dataset, Run, RunStore, Toast, TrainConfig
from toastlab.analysis.dynamics import Dynamics
from toastlab.course.runs import course_data, course_runs, course_store
from toastlab.medoids.targets import class_targets, soft_targets
from toastlab.widgets import ReadingPanel
from toastlab.widgets.readings import EACH, READINGS
from toastlab.widgets.visitors import allowed


@pytest.fixture(scope="module")
def data() -> Dataset:
    return course_data()


@pytest.fixture(scope="module")
def run() -> Run:
    return course_runs(course_store())["TOAST"]


@pytest.fixture(scope="module")
def panel(run: Run, data: Dataset) -> ReadingPanel:
    return ReadingPanel(run, data)


def set_to(panel: ReadingPanel, **values: object) -> None:
    plain = {"medoid_weight": 0.3, "past_weight": 1.0, "epoch": 10}
    panel.restore(
        json.dumps({**plain, "medoid_temperature": 2.0, "past_temperature": 3.0} | values)
    )
    assert panel.error.value == ""


def history(run: Run) -> Dynamics:
    assert run.dynamics is not None
    return run.dynamics


def logits(run: Run, epoch: int, i: int) -> np.ndarray:
    found = history(run).logits
    assert found is not None
    return np.asarray(found[epoch - 1, i].astype(np.float64))


def of_kind(panel: ReadingPanel, kind: str) -> list[int]:
    return [i for words, i in panel.controls["sample"].options if words.startswith(kind)]


def test_samples_of_each_kind_can_be_chosen(panel: ReadingPanel, run: Run, data: Dataset) -> None:
    dynamics, right = history(run), history(run).correct.mean(0) >= 0.5
    wanted = {
        "flipped label": dynamics.flipped,
        "misclassified": ~dynamics.flipped & ~right,
        "right": ~dynamics.flipped & right,
    }
    for kind, mask in wanted.items():
        assert of_kind(panel, kind) == np.flatnonzero(mask)[:EACH].tolist()
    words, i = panel.controls["sample"].options[0]
    assert panel.controls["sample"].value == i, "it opens on a flipped label"
    names = data.classes
    clean, label = names[dynamics.clean_labels[i]], names[dynamics.labels[i]]
    assert f"{clean} as {label}" in words
    assert panel.controls["reading"].value == panel.config().__class__().carried_loss


@pytest.mark.parametrize("kind", ["flipped label", "misclassified", "right"])
@pytest.mark.parametrize(("a", "b", "t_m", "t_p"), [(0.3, 1.0, 2.0, 3.0), (0.5, 0.4, 1.0, 0.5)])
def test_gradients_are_those_of_the_equations(
    panel: ReadingPanel, run: Run, kind: str, a: float, b: float, t_m: float, t_p: float
) -> None:
    i, epoch = of_kind(panel, kind)[1], 8
    at = {"medoid_weight": a, "past_weight": b, "medoid_temperature": t_m, "past_temperature": t_p}
    medoids = run.group("medoids")
    soft = soft_targets(
        torch.from_numpy(medoids["logits"][epoch - 2].astype(np.float32)),
        torch.from_numpy(medoids["index"][epoch - 2] >= 0),
        t_m,
    )
    label = int(history(run).labels[i])
    target = class_targets(soft, a)[label].numpy()
    now, past = logits(run, epoch, i), logits(run, epoch - 1, i)
    p, hard = softmax(now), np.eye(10)[label]
    kl = b * t_p * (softmax(past / t_p) - softmax(now / t_p))
    share = min(b, 1 - a)
    mixed = target + share * (softmax(past / t_p) - hard)
    carried = {"distilled": kl, "label-and-kl": target - p + kl, "target": mixed - p}
    for reading, wanted in carried.items():
        set_to(panel, reading=reading, sample=i, epoch=epoch, **at)
        taught = panel.taught()
        np.testing.assert_allclose(taught.now, p, atol=1e-6)
        np.testing.assert_allclose(taught.target, target, atol=1e-6)
        np.testing.assert_allclose(taught.past, softmax(past / t_p), atol=1e-6)
        np.testing.assert_allclose(taught.push_new, target - p, atol=1e-5)
        np.testing.assert_allclose(taught.push_carried, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["flipped label", "misclassified", "right"])
def test_where_a_carried_sample_is_pulled_to(panel: ReadingPanel, run: Run, kind: str) -> None:
    i = of_kind(panel, kind)[0]
    past = softmax(logits(run, 9, i))
    set_to(panel, reading="distilled", sample=i, past_temperature=3.0)
    np.testing.assert_allclose(panel.taught().rest, past, atol=1e-3)
    set_to(panel, reading="label-and-kl", sample=i, past_temperature=1.0, past_weight=2.0)
    taught = panel.taught()
    np.testing.assert_allclose(taught.rest, (taught.target + 2 * past) / 3, atol=1e-3)
    set_to(panel, reading="target", sample=i, past_temperature=1.0, past_weight=0.5)
    taught = panel.taught()
    hard = np.eye(10)[history(run).labels[i]]
    np.testing.assert_allclose(taught.rest, taught.target + 0.5 * (past - hard), atol=1e-3)


def test_the_loss_is_the_library_s(panel: ReadingPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `Toast.loss` gives is what the panel shows."""
    set_to(panel, reading="label-and-kl", past_temperature=1.0)
    before, loss = panel.taught(), Toast.loss

    def twice(self: Toast, *args: object) -> object:
        found = loss(self, *args)  # type: ignore[arg-type]
        return dataclasses.replace(found, total=2 * found.total)

    monkeypatch.setattr(Toast, "loss", twice)
    after = panel.taught()
    np.testing.assert_allclose(after.push_new, 2 * before.push_new, atol=1e-6)
    np.testing.assert_allclose(after.push_carried, 2 * before.push_carried, atol=1e-6)
    np.testing.assert_allclose(after.rest, before.rest, atol=1e-3)


def test_words_for_a_flipped_label(panel: ReadingPanel, run: Run, data: Dataset) -> None:
    i = of_kind(panel, "flipped label")[0]
    label = data.classes[history(run).labels[i]]
    before = softmax(logits(run, 9, i))[history(run).labels[i]]
    set_to(panel, reading="distilled", sample=i)
    assert (
        f"Carried, “distilled only” holds the sample to what it said before, {label}" in panel.text
    )
    assert "the wrong label is not taught again" in panel.text
    for reading, words in (("label-and-kl", "label and KL"), ("target", "mixed target")):
        set_to(panel, reading=reading, sample=i, past_weight=0.4)
        rest = panel.taught().rest[history(run).labels[i]]
        assert rest > before + 0.1
        assert panel.text.startswith(
            f"Carried, “{words}” pulls towards the wrong label {label} again, "
            f"from {before:.2f} to {rest:.2f}."
        )
    assert "whose label was flipped to" in panel.text


def test_words_for_other_samples(panel: ReadingPanel) -> None:
    set_to(panel, reading="label-and-kl", sample=of_kind(panel, "misclassified")[0])
    assert "with its right label" in panel.text
    assert " the label " in panel.text
    assert "wrong label" not in panel.text
    pulled = set()
    for i in of_kind(panel, "right"):
        set_to(panel, reading="label-and-kl", sample=i, medoid_temperature=10.0, epoch=30)
        pulled.add(panel.text.split("”")[1].split(" the ")[0])
        assert "so that it is not carried" in panel.text or "so that it can be" in panel.text
    assert " pulls down" in pulled, "a surer sample than its target"


def test_without_past_weight_the_library_teaches_the_label(panel: ReadingPanel) -> None:
    set_to(panel, reading="distilled", sample=of_kind(panel, "flipped label")[0], past_weight=0)
    taught = panel.taught()
    np.testing.assert_allclose(taught.push_carried, taught.push_new)
    assert "pulls towards the wrong label" in panel.text


def test_a_share_that_leaves_less_than_nothing_is_named(panel: ReadingPanel) -> None:
    set_to(panel, reading="target", medoid_weight=0.35, past_weight=3.0)
    assert panel.config().past_weight == pytest.approx(0.65)
    assert panel.text.endswith("As a share of one target b counts as 0.65 here.")
    set_to(panel, reading="confidence", medoid_weight=0.35, past_weight=3.0)
    assert panel.config().past_weight == 1
    set_to(panel, reading="label-and-kl", medoid_weight=0.35, past_weight=3.0)
    assert panel.config().past_weight == 3
    assert "counts as" not in panel.text


def test_every_reading_of_the_library_is_there() -> None:
    from typing import get_args, get_type_hints

    from toastlab import ToastConfig

    assert set(READINGS.values()) == set(get_args(get_type_hints(ToastConfig)["carried_loss"]))


def test_without_a_kernel_it_is_its_picture_and_sentence(panel: ReadingPanel) -> None:
    set_to(panel, reading="distilled")
    bundle, metadata = panel._repr_mimebundle_()
    assert bundle["text/plain"] == metadata["image/png"]["alt"] == panel.text
    assert "image/png" in bundle
    assert Image.open(io.BytesIO(panel.picture.value)).format == "PNG"


def test_visitors_may_move_its_controls(panel: ReadingPanel) -> None:
    sample = panel.controls["sample"]
    assert allowed(sample, "index", len(sample.options) - 1)
    assert not allowed(sample, "index", len(sample.options))
    assert allowed(panel.controls["past_weight"].slider, "value", 2.0)


def test_a_run_that_keeps_too_little_is_refused(data: Dataset, tmp_path: Path) -> None:
    small = DataConfig(name="digits")
    for method, epochs in ((CrossEntropyConfig(), 2), (None, 1)):
        more = {} if method is None else {"method": method}
        config = TrainConfig(data=small, epochs=epochs, record="logits", **more)  # type: ignore[arg-type]
        made = RunStore(tmp_path).get(config, device="cpu")
        with pytest.raises(ValueError, match=f"run {made.key} does not keep logits and medoids"):
            ReadingPanel(made, data)
