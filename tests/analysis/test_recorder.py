"""The recorder: three lines in any loop, without a wait, and what it then knows."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.helpers import Crossings, Watch, needs_fake_cuda, tiny
from toastlab import Recorder, analyse
from toastlab.analysis.callbacks import Listener, huggingface_callback, lightning_callback
from toastlab.core.errors import PackageMissing, TrainingDiverged

N, K = 64, 4


def indexed() -> TensorDataset:
    data = tiny(N, K).train
    every = torch.arange(N)
    return TensorDataset(data.images_at(every).float() / 255, data.labels, every)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, K))


def test_three_lines_in_a_loop_of_ones_own() -> None:
    rows, model = indexed(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    labels = rows.tensors[1]
    recorder, seen = Recorder(N, K), []
    for _ in range(3):
        now = torch.zeros(N, K)
        for images, y, index in DataLoader(rows, 16, shuffle=True):
            logits = model(images)
            recorder.add(index, logits)
            now[index] = logits.detach()
            F.cross_entropy(logits, y).backward()
            optimizer.step()
            optimizer.zero_grad()
        recorder.end_epoch()
        seen.append(now)
    found, wanted = analyse(recorder, labels), analyse(torch.stack(seen).half(), labels)
    assert found.num_epochs == 3
    np.testing.assert_array_equal(found.outputs, wanted.outputs)
    np.testing.assert_array_equal(found.table["aum"], wanted.table["aum"])
    assert found.table["carried"].isna().all()
    history = recorder.history()
    assert bool((history["visits"] == 1).all())
    assert history["outputs"].dtype == np.float16


def test_samples_that_come_late_twice_or_carried() -> None:
    recorder = Recorder(3, 2)
    recorder.add(torch.tensor([0, 1]), torch.tensor([[1.0, 0], [2, 0]]))
    recorder.add(torch.tensor([0]), torch.tensor([[0.0, 4]]), carried=torch.tensor([True]))
    recorder.end_epoch()
    recorder.add(torch.tensor([2]), torch.tensor([[5.0, 0]]))
    recorder.end_epoch()
    history = recorder.history()
    np.testing.assert_array_equal(history["known"], [[True, True, False], [True, True, True]])
    np.testing.assert_array_equal(history["visits"], [[2, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(history["outputs"][1], [[0, 4], [2, 0], [5, 0]])
    found = analyse(recorder, [0, 0, 0])
    np.testing.assert_array_equal(found.table["carried"], [1, 0, 0])
    np.testing.assert_array_equal(found.table["aum"], [-4, 2, 5])
    np.testing.assert_array_equal(found.predictions_at(0), [1, 0, -1])
    assert found.curves is not None
    assert np.isnan(found.curves[0, 2])


def test_logits_beyond_float16_are_clipped() -> None:
    recorder = Recorder(1, 2)
    recorder.add(torch.tensor([0]), torch.tensor([[1e30, -1e30]], dtype=torch.float64))
    recorder.end_epoch()
    np.testing.assert_array_equal(recorder.history()["outputs"], [[[65504, -65504]]])


def test_probabilities_may_be_recorded() -> None:
    recorder = Recorder(3, 2)
    for index, row in ((0, [0.75, 0.25]), (1, [0.5, 0.5])):
        recorder.add(torch.tensor([index]), torch.tensor([row]))
    recorder.end_epoch()
    with pytest.raises(ValueError, match="say probabilities=True"):
        analyse(recorder, [0, 0, 1])
    found = analyse(recorder, [0, 0, 1], probabilities=True).table
    np.testing.assert_array_equal(found["confidence"], [0.75, 0.5, np.nan])
    np.testing.assert_array_equal(found["margin"], [0.5, 0, np.nan])
    assert found["prediction"].tolist() == [0, 0, -1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_logits_of_any_precision_without_a_gradient(dtype: torch.dtype) -> None:
    recorder = Recorder(2, 2)
    logits = torch.ones(2, 2, dtype=dtype, requires_grad=True)
    recorder.add(torch.tensor([1, 0]), logits)
    recorder.end_epoch()
    assert recorder.bank is not None
    assert not recorder.bank.logits.requires_grad


@needs_fake_cuda
def test_a_step_does_not_wait_for_the_device() -> None:
    with FakeTensorMode(), Watch() as watch, Crossings() as crossings:
        recorder = Recorder(N, K)
        index = torch.zeros(8, dtype=torch.int64, device="cuda")
        for _ in range(2):
            logits = torch.zeros(8, K, device="cuda")
            recorder.add(index, logits, torch.zeros(8, dtype=torch.bool, device="cuda"))
    assert not watch.waits
    assert not crossings.found


@pytest.mark.gpu
def test_on_a_real_device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    recorder = Recorder(3, 2)
    recorder.add(torch.tensor([2, 0, 1]), torch.eye(3, 2, device="cuda"))
    recorder.end_epoch()
    np.testing.assert_array_equal(recorder.history()["outputs"][0], [[0, 1], [0, 0], [1, 0]])


def test_it_goes_on_from_its_state() -> None:
    def batch(recorder: Recorder, value: float) -> None:
        recorder.add(torch.tensor([0, 1]), torch.full((2, 2), value), torch.tensor([True, False]))
        recorder.end_epoch()

    straight, first, second = Recorder(2, 2), Recorder(2, 2), Recorder(2, 2)
    batch(straight, 1.0)
    batch(straight, 2.0)
    batch(first, 1.0)
    second.load_state_dict(first.state_dict())
    batch(second, 2.0)
    for name, array in straight.history().items():
        np.testing.assert_array_equal(second.history()[name], array, err_msg=name)
    assert second.knows_carried
    with pytest.raises(ValueError, match="state is of logits"):
        Recorder(3, 2).load_state_dict(first.state_dict())
    empty = Recorder(2, 2)
    empty.load_state_dict(Recorder(2, 2).state_dict())
    assert empty.num_epochs == 0


@pytest.mark.parametrize(
    ("index", "logits", "error", "said"),
    [
        (torch.tensor([3]), torch.zeros(1, 2), ValueError, r"index runs from 3 to 3.*0\.\.2"),
        (torch.tensor([-1]), torch.zeros(1, 2), ValueError, "index runs from -1"),
        (torch.tensor([0]), torch.zeros(1, 3), ValueError, r"for 2 classes; give \[B, 2\]"),
        (torch.tensor([0, 1]), torch.zeros(1, 2), ValueError, "shapes do not belong together"),
        (torch.tensor([0.0]), torch.zeros(1, 2), TypeError, "index"),
        (torch.tensor([0]), torch.zeros(1, 2).long(), TypeError, "logits"),
        ([0], torch.zeros(1, 2), TypeError, "index"),
    ],
)
def test_what_it_refuses(index: Any, logits: Tensor, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Recorder(3, 2).add(index, logits)


def test_epochs_without_a_batch_and_logits_that_are_none() -> None:
    recorder = Recorder(3, 2)
    with pytest.raises(ValueError, match="no batch was added"):
        recorder.end_epoch()
    recorder.add(torch.tensor([1]), torch.tensor([[0.0, torch.nan]]))
    with pytest.raises(TrainingDiverged, match="sample 1 are NaN or infinite after epoch 1"):
        recorder.end_epoch()
    for n, k in ((0, 2), (2, 1)):
        with pytest.raises(ValueError, match="number of"):
            Recorder(n, k)


# --- other people's loops -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # Lightning's own: how many workers a loader has, and so on
def test_lightning(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = network()
            self.seen = torch.zeros(N, K)

        def training_step(self, rows: Any, batch_idx: int) -> dict[str, Tensor]:
            images, y, index = rows
            logits = self.model(images)
            self.seen[index] = logits.detach()
            return {"loss": F.cross_entropy(logits, y), "logits": logits, "index": index}

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def trainer(recorder: Recorder, epochs: int) -> Any:
        return lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            callbacks=[lightning_callback(recorder)],
        )

    rows, recorder, module = indexed(), Recorder(N, K), Module()
    first = trainer(recorder, 2)
    first.fit(module, DataLoader(rows, 16, shuffle=True))
    assert recorder.num_epochs == 2
    np.testing.assert_array_equal(recorder.history()["outputs"][1], module.seen.half().numpy())
    found = analyse(recorder, rows.tensors[1])
    assert found.table["aum"].notna().all()
    first.save_checkpoint(tmp_path / "last.ckpt")
    again = Recorder(N, K)
    trainer(again, 3).fit(
        Module(), DataLoader(rows, 16, shuffle=True), ckpt_path=tmp_path / "last.ckpt"
    )
    assert again.num_epochs == 3
    np.testing.assert_array_equal(again.history()["outputs"][:2], recorder.history()["outputs"])


@pytest.mark.filterwarnings("ignore")
def test_lightning_steps_that_return_too_little() -> None:
    pytest.importorskip("lightning")
    callback = lightning_callback(Recorder(N, K))
    trainer: Any = SimpleNamespace()
    for outputs, name in (({"loss": 0, "index": 1}, "logits"), ({"logits": 1}, "index")):
        with pytest.raises(ValueError, match=f"training_step did not return '{name}'"):
            callback.on_train_batch_end(trainer, trainer, outputs, None, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did not return 'logits'"):
        callback.on_train_batch_end(trainer, trainer, torch.ones(3), None, 0)


class Named(Dataset[dict[str, Tensor]]):
    """What a Hugging Face data set yields: named columns."""

    def __init__(self) -> None:
        self.rows = indexed()

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        images, labels, index = self.rows[i]
        return {"pixels": images, "labels": labels, "index": index}


class HuggingModel(nn.Module):
    """A network with the face of theirs: named arguments, and an output with loss and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.model = network()

    def forward(self, pixels: Tensor, labels: Tensor) -> Any:
        logits = self.model(pixels)
        return SimpleNamespace(loss=F.cross_entropy(logits, labels), logits=logits)


def their_trainer(model: nn.Module, callback: Any, epochs: int) -> None:
    """A minimal stand-in for transformers.Trainer: it calls its callbacks as that one does, by name
    and with the network as a keyword, and evaluates after each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    args, state, control = SimpleNamespace(), SimpleNamespace(), SimpleNamespace()

    def event(name: str) -> None:
        getattr(callback, name)(args, state, control, model=model, optimizer=optimizer)

    event("on_train_begin")
    for _ in range(epochs):
        model.train()
        for batch in DataLoader(Named(), 16, shuffle=True):
            model(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        event("on_epoch_end")
        model.eval()
        for batch in DataLoader(Named(), 16):
            model(**batch)
    event("on_train_end")


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers, or a stand-in for the one class of it that is needed."""
    try:
        import transformers as there
    except ImportError:
        there = ModuleType("transformers")
        there.TrainerCallback = type("TrainerCallback", (), {})  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "transformers", there)


@pytest.mark.usefixtures("transformers")
def test_hugging_face() -> None:
    recorder, model = Recorder(N, K), HuggingModel()
    their_trainer(model, huggingface_callback(recorder), 2)
    history = recorder.history()
    assert bool((history["visits"] == 1).all()), "what is evaluated is not recorded"
    assert len(analyse(recorder, indexed().tensors[1]).table) == N
    with pytest.raises(TypeError, match="index"):  # nobody listens any more
        model(**next(iter(DataLoader(Named(), 4))))


@pytest.mark.usefixtures("transformers")
def test_hugging_face_without_the_column() -> None:
    callback = huggingface_callback(Recorder(N, K), index="number")
    model: Any = nn.Linear(2, 2)
    callback.on_train_begin({}, {}, {}, model=model)
    model(torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"never given 'number'.*remove_unused_columns=False"):
        callback.on_epoch_end({}, {}, {})


@pytest.mark.parametrize("form", ["dict", "tuple", "tensor"])
def test_outputs_of_every_form(form: str) -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return {
                "dict": {"loss": x.sum(), "logits": x},
                "tuple": (x.sum(), x),
                "tensor": x,
            }[form]

    recorder, model = Recorder(2, 2), Model()
    listener = Listener(recorder)
    listener.start(model)
    model(x=torch.eye(2), index=torch.tensor([1, 0]))
    listener.check()
    recorder.end_epoch()
    np.testing.assert_array_equal(recorder.history()["outputs"][0], [[0, 1], [1, 0]])


def test_what_is_not_installed_is_named() -> None:
    needed = {"lightning": "lightning", "huggingface": "transformers"}
    code = "import sys\n"
    code += "".join(f"sys.modules[{module!r}] = None\n" for module in needed.values())
    code += "from toastlab.analysis import callbacks, recorder\n"
    for name in needed:
        code += (
            "try:\n"
            f"    callbacks.{name}_callback(recorder.Recorder(2, 2))\n"
            "except ImportError as error:\n"
            "    print(type(error).__name__, error)\n"
        )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for module, said in zip(needed.values(), done.stdout.splitlines(), strict=True):
        assert said.startswith(PackageMissing.__name__), said
        assert f"pip install {module}." in said
