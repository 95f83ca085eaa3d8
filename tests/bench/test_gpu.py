"""`toastlab bench --gpu`: its small version on a CPU, its page, and what must hold on a GPU."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.helpers import Crossings, Watch, needs_fake_cuda, tiny
from toastlab.bench.config import BenchConfig
from toastlab.bench.gpu import __main__ as gpu
from toastlab.bench.gpu import parts, run
from toastlab.bench.gpu.captured import captured, in_place
from toastlab.bench.gpu.page import MEASURES, ending, page_of
from toastlab.bench.gpu.scale import SMALL, Content, Scale, Until, images_of, trainee_of
from toastlab.bench.trainee import Trainee
from toastlab.data.splits import Split
from toastlab.studies.arms import plan
from toastlab.training.config import TrainConfig
from toastlab.training.models import build

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def test_the_small_version_measures_every_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """About half a minute of processor time."""
    file, page = tmp_path / "gpu.json", tmp_path / "gpu.md"
    args = ["--small", "--device", "cpu", "--json", str(file), "--page", str(page)]
    assert gpu.main(args) == 0, capsys.readouterr().out
    known = json.loads(file.read_text("utf-8"))
    assert list(known["parts"]) == list(run.PARTS)
    for name, found in known["parts"].items():
        assert not {"error", "stopped"} & set(found), (name, found)
        assert all("error" not in row for row in found.get("rows", ())), (name, found)
    assert set(known["parts"]["tests"]["counts"]) == {"skipped"} or torch.cuda.is_available()
    assert known["parts"]["facts"]["facts"]["torch"]
    for name in ("eager", "compiled"):
        rows = {row["method"]: row for row in known["parts"][name]["rows"]}
        assert rows["cross-entropy"]["step_ratio"] == 1
        assert rows["toast"]["step_ms"] > 0
    assert "way of its own" in rows["dlb"]["skipped"]
    assert known["parts"]["eager"]["rows"][2]["method"] == "dlb"
    waits = {row["method"]: row["waits"] for row in known["parts"]["waits"]["rows"]}
    assert waits == dict.fromkeys(SMALL.methods, 0)
    assert "no CUDA graphs" in known["parts"]["graphs"]["skipped"]
    text = page.read_text("utf-8")
    assert "A trial, not a measurement" in text
    assert "Not run yet" not in text
    assert str(tmp_path) not in file.read_text("utf-8") + text


def test_the_page_says_what_was_run() -> None:
    """It is made of the JSON; without a JSON it has no number and says that it was not run."""
    file = ROOT / "data" / "gpu.json"
    known = json.loads(file.read_text("utf-8")) if file.exists() else None
    assert (ROOT / "docs" / "gpu_measured.md").read_text("utf-8") == page_of(known)
    empty = page_of(None)
    assert "**Not run yet.**" in empty
    assert not any(row.startswith("|") for row in empty.splitlines())
    assert set(run.PARTS) <= set(MEASURES)


def test_one_process_a_part_and_none_takes_the_others_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part that hangs is ended with what it had; one that cannot be run is its own error."""
    monkeypatch.setattr(run, "GRACE", 0.0)
    monkeypatch.setattr(run, "LEAST", -9.0)
    names = ("facts", "medoids")
    cut = dict(run.run_parts(Scale(seconds=0.05), "cpu", names))["medoids"]["parts"]
    assert all("stopped" in found for found in cut.values()), cut
    two = {name: run.Part(name, parts.facts, 1200) for name in ("no such part", "facts")}
    monkeypatch.setattr(run, "PARTS", two)
    found = dict(run.run_parts(Scale(seconds=2400), "cpu", tuple(two)))["facts"]["parts"]
    assert found["no such part"]["error"] == "the process ended with code 2"
    assert "unknown part 'no such part'" in " ".join(found["no such part"]["output"])
    assert found["facts"]["facts"]["device"] == "cpu"
    assert not {"error", "stopped", "output"} & set(found["facts"])


def test_what_a_part_had_found_is_kept_beside_its_error() -> None:
    def part(scale: Scale, device: torch.device, until: Until) -> Any:
        yield {"rows": [1]}
        raise RuntimeError("CUDA error: out of memory")

    kept: list[Content] = []
    found = run.measured(run.Part("x", part, 1), SMALL, "cpu", 1, kept.append)
    assert found == {"rows": [1], "error": "RuntimeError: CUDA error: out of memory"}
    assert kept == [{"rows": [1]}, found]
    assert ending(found) == "FAILED: RuntimeError: CUDA error: out of memory"
    assert ending({"counts": {"passed": 3, "failure": 1}}).startswith("TESTS FAILED")
    assert run.without_nan({"a": [float("nan"), 1.5, (2, float("inf"))]}) == {
        "a": [None, 1.5, [2, None]]
    }


def test_the_demo_is_the_demo() -> None:
    from toastlab.cli import compare  # which needs what a lent GPU's machine may not have

    settings = {compare.NOISY: TrainConfig().data, compare.CLEAN: TrainConfig().data}
    settings[compare.NOISY] = parts.demo_configs(Scale())[0].data
    assert settings[compare.NOISY].noise_rate == 0.2
    jobs = plan(compare.IN_DEMO, 3, TrainConfig(model="mlp", epochs=30), settings)
    assert [job.config for job in jobs] == parts.demo_configs(Scale())


def trainee(name: str, split: Split, seed: int = 0) -> Trainee:
    network = build("mlp", 4, 1, 8, seed=seed)
    torch.manual_seed(seed)  # of the exits that BYOT makes
    return trainee_of(SMALL, name, split, network, 16, False, build("mlp", 4, 1, 8, seed=1))


@pytest.mark.parametrize("name", Scale().methods)
def test_a_step_in_place_is_the_step(name: str) -> None:
    """All state stays where it lay, which a graph needs, and nothing else changes."""
    split = tiny().train
    assert isinstance(split, Split)
    plain, held = trainee(name, split), trainee(name, split)
    step = in_place(held)
    lying = {k: v.data_ptr() for k, v in held.method.named_buffers()}
    at = held.stream.pointer.data_ptr()
    for i in range(4):
        for one in (plain.step, step):
            torch.manual_seed(i)
            one()
    assert {k: v.data_ptr() for k, v in held.method.named_buffers()} == lying
    assert held.stream.pointer.data_ptr() == at
    for (k, a), b in zip(plain.method.named_buffers(), held.method.buffers(), strict=True):
        assert torch.equal(a, b), k
    assert torch.equal(plain.stream.pointer, held.stream.pointer)


@needs_fake_cuda
@pytest.mark.parametrize("name", Scale().methods)
def test_a_timed_step_on_a_fake_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It mixes no devices, copies nothing to the device and waits for nothing; backward aside, for
    which autograd would ask the driver."""
    monkeypatch.setattr(torch.Tensor, "backward", lambda self: None)
    if name == "byot":
        pytest.skip("its exits are made on the images' device, which a fake one cannot draw on")
    with FakeTensorMode():
        labels = torch.zeros(64, dtype=torch.int64, device="cuda")
        images = torch.zeros(64, 3, 8, 8, dtype=torch.uint8, device="cuda")
        with torch.device("cuda"):
            networks = [build("mlp", 4, 3, 8) for _ in range(2)]
        one = trainee_of(
            SMALL, name, Split(images, labels, labels), networks[0], 16, False, networks[1]
        )
        step = in_place(one)
        one.optimizer = torch.optim.SGD(networks[0].parameters(), 0.1)
        step()
        with Crossings() as crossings, Watch() as watch:
            step()
    assert not crossings.found
    assert not watch.waits


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", ["cross-entropy", "toast", "ps-kd"])
def test_a_captured_step_goes_on(name: str) -> None:
    """Replayed, it draws other samples, changes the weights and fills bank and carry."""
    cuda = torch.device("cuda")
    data = tiny().to(cuda).train
    assert isinstance(data, Split)
    network = build("mlp", 4, 1, 8, seed=0).to(cuda)
    one = trainee_of(SMALL, name, data, network, 16, False)
    replay = captured(one)
    one.rewind()
    one.method.bank.start_epoch()
    before = [p.detach().clone() for p in network.parameters()]
    for _ in range(4):
        replay()
    assert int(one.stream.pointer) > 16
    assert int(one.method.bank.visits.sum()) == 4 * 16
    assert any(not torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(bool(torch.isfinite(p).all()) for p in network.parameters())


def test_made_up_images() -> None:
    split = images_of(SMALL, CPU)
    assert list(split.images.shape) == [256, 3, 8, 8]
    assert set(split.labels.tolist()) == {0, 1, 2, 3}


def test_wrong_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--parts", "eagre"]) == 2
    assert "Did you mean 'eager'" in capsys.readouterr().err
    assert gpu.main(["--device", "tpu"]) == 2
    assert gpu.main(["--small", "--device", "cpu", "--json", "nowhere/x.json"]) == 2
    assert "no folder" in capsys.readouterr().err


@pytest.mark.parametrize("failed", [0, 2])
def test_the_flag_is_the_module(failed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`toastlab bench --gpu` asks for what `python -m toastlab.bench.gpu` asks for."""
    from toastlab.cli.bench import bench

    asked: list[Any] = []

    def measure(*args: Any) -> int:
        asked.append(args[:-1])
        return failed

    for module in (run, gpu):
        monkeypatch.setattr(module, "measure", measure)
    assert gpu.main(["--small", "--device", "cpu", "--json", "a", "--page", "b"]) == bool(failed)
    code = 0
    try:
        bench(BenchConfig(), "cpu", quick=True, json_file="a", gpu=True, page="b")
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == bool(failed)
    assert asked[0] == asked[1] == (SMALL, "cpu", tuple(run.PARTS), "a", "b")
