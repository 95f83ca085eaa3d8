"""`toastlab bench`: turns, medians, rows and the command, on settings that take seconds."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
import torch

from tests.helpers import tiny
from toastlab.bench import timing
from toastlab.bench.config import BenchConfig, against, at_work
from toastlab.bench.measure import data, methods, mlp, per_image
from toastlab.bench.medoids import ROOF, imagenet
from toastlab.bench.memory import memory, peak_rss
from toastlab.bench.timing import Clock, Loop, epochs_in_turns, in_turns
from toastlab.cli import main as cli
from toastlab.data.augment import AugmentConfig
from toastlab.data.splits import Split

CPU = torch.device("cpu")
SMALL = BenchConfig("mlp", 16, 2, 3, ("toast", "dlb"), small=True)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What each use of the clock will have taken; the work it stands for is not timed."""
    planned: list[float] = []

    def read(self: Clock) -> float:
        return planned.pop(0)

    monkeypatch.setattr(timing.Clock, "seconds", read)
    return planned


def test_works_take_turns_and_a_ratio_is_the_median_of_rounds(seconds: list[float]) -> None:
    order: list[str] = []
    works = {"ours": lambda: order.append("ours"), "theirs": lambda: order.append("theirs")}
    # a round to warm up goes backwards, the next forwards; the slow third round hits both
    seconds += [9, 9, 1, 2, 30, 10, 1, 4]
    rounds = list(against(works, 3, CPU, 12, "way"))
    assert order == ["theirs", "ours", "ours", "theirs", "theirs", "ours", "ours", "theirs"]
    ours, theirs = rounds[-1]
    assert theirs["rounds"] == [2, 3, 4]
    assert theirs["time_ratio"] == 3
    assert ours["rounds"] == [1, 1, 1]
    assert (ours["seconds"], theirs["seconds"]) == (1, 4)
    assert theirs["per_second"] == 3
    assert [rows[1]["time_ratio"] for rows in rounds] == [2, 2.5, 3]
    assert not seconds


def test_loops_take_turns_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    train = tiny().train
    assert isinstance(train, Split)
    chance = torch.randint(4, (64,), generator=torch.Generator().manual_seed(0))
    train = Split(train.images, chance, chance)  # nothing to learn, so that there is a carry
    names = ("cross-entropy", "toast")
    loops = [Loop(at_work(name), train, 4, "mlp", 16) for name in names]
    order, real = [], Loop._step

    def step(self: Loop, batch: object) -> torch.Tensor:
        order.append(loops.index(self))
        return real(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Loop, "_step", step)
    rounds = list(epochs_in_turns(loops, 2))
    assert len(rounds) == 2
    assert all(t > 0 for times in rounds for t in times)
    assert order == [1, 0] * 4 + [0, 1] * 4 + [1, 0] * 4
    assert loops[0].new == 64
    assert loops[1].new < 64, "some places went to carried samples"


def test_rows_of_the_methods() -> None:
    *_, rows = methods(SMALL, CPU)
    assert [row["method"] for row in rows] == ["cross-entropy", "toast", "dlb"]
    assert [row["passes_per_image"] for row in rows] == [1, 1, 2]
    for row in rows:
        assert len(row["rounds"]) == 3
        assert row["time_ratio"] == median(row["rounds"])
        assert row["images_per_second"] > 0
        assert row["step_ms"] > 0
    assert rows[0]["rounds"] == [1, 1, 1]


def test_a_step_alone_is_without_the_epochs_end(seconds: list[float]) -> None:
    """Of two steps and an end each: a round to warm up, then cross-entropy 1, 1, 0 and TOAST 2, 1,
    7 - in turns, step by step."""
    seconds += [9.0] * 6 + [1.0, 2.0, 1.0, 1.0, 0.0, 7.0]
    ce, toast = next(mlp(replace(SMALL, model="resnet-small", rounds=1), CPU))
    assert (ce["method"], toast["method"]) == ("cross-entropy", "toast")
    assert (ce["step_ratio"], toast["step_ratio"]) == (1, 1.5)
    assert toast["time_ratio"] == 5
    assert not seconds


def test_rows_of_the_data_path() -> None:
    *_, rows = data(SMALL, CPU)
    paths = ["batched on the device", "DataLoader, image by image"]
    shapes = ["1 x 28 x 28", "3 x 32 x 32"]
    assert [(r["images"], r["path"]) for r in rows] == [(s, p) for s in shapes for p in paths]
    assert rows[0]["per_second"] == 2 * 16 / rows[0]["seconds"]
    assert rows[1]["time_ratio"] == median(rows[1]["rounds"])
    wanted = AugmentConfig(crop=4, flip=True, cutout=8)
    one = per_image(wanted, 28, (0.5,), (0.25,))(torch.full((1, 28, 28), 255, dtype=torch.uint8))
    assert one.shape == (1, 28, 28)
    assert set(one.unique().tolist()) <= {-2.0, 0.0, 2.0}, "border, square, image"
    assert int((one == 0).sum()) == 64


def test_all_of_imagenet_at_the_rate_of_four_classes() -> None:
    name = "four of ImageNet's: 4 x 1281 x 1000"
    rows = [{"logits": name, "way": "toastlab", "seconds": 0.04, "time_ratio": 1.0}]
    rows += [{"logits": name, "way": ROOF, "seconds": 0.12, "time_ratio": 3.0}]
    rows += [{"logits": "others", "way": "toastlab", "seconds": 9.0, "time_ratio": 1.0}]
    assert imagenet(rows) == {"seconds": 0.01, "whole_here_s": 10.0, "roof_share": 3.0}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process's peak")
def test_peak_memory_is_of_a_process_of_its_own() -> None:
    before = peak_rss()
    held = torch.ones(64 * 2**18)  # 64 MiB
    assert peak_rss() >= before
    config = BenchConfig("mlp", 16, 2, 1, (), ("memory",), small=True)
    *_, rows = memory(config, CPU)
    assert [row["method"] for row in rows] == ["cross-entropy"]
    assert 50 < rows[0]["peak_mib"] < 4000
    assert rows[0]["peak_over_base_mib"] == 0
    assert rows[0]["kept_bytes"] == 0
    del held


def test_the_command_and_its_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    args = ["--quick", "--device", "cpu", "--sections", "methods", "data", "medoids"]
    cli.main(["bench", *args, "--json", str(file)])
    out = capsys.readouterr().out
    for word in ("images/s", "toast", "DataLoader, image by image", "torch.mm", "time ratio"):
        assert word in out, word
    found = json.loads(file.read_text(encoding="utf-8"))
    assert set(found) == {"facts", "settings", "methods", "data", "medoids"}
    assert found["facts"]["clock"] == "processor time, one thread"
    assert {"processor", "torch", "cores"} <= set(found["facts"])
    assert found["settings"] == {"model": "mlp", "batch_size": 128, "steps": 2, "rounds": 1}
    ways = [row["way"] for row in found["medoids"]]
    assert ways[:3] == ["toastlab", "torch.mm of all pairs", "scikit-learn distances"]
    cli.main(["bench", "--quick", "--device", "cpu", "--sections", "data", "--stdout"])
    assert json.loads(capsys.readouterr().out)["data"][0]["time_ratio"] == 1


def test_an_interrupt_ends_it_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(self: Loop, batch: object) -> torch.Tensor:
        raise KeyboardInterrupt

    threads = torch.get_num_threads()
    monkeypatch.setattr(Loop, "_step", stopped)
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "--quick", "--device", "cpu", "--sections", "methods"])
    assert stop.value.code == 130
    assert "interrupted" in capsys.readouterr().err
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--methods tost", "Did you mean 'toast'"),
        ("--sections memoids", "Did you mean 'medoids'"),
        ("--model resnet", "Did you mean"),
        ("--steps 0", "steps is 0"),
        ("--rounds 0", "rounds is 0"),
        ("--batch-size 3", "must be even"),
        ("--steps 1000 --sections data", "need 128000 images"),
        ("--json nowhere/bench.json", "no folder for 'nowhere/bench.json'"),
    ],
)
def test_wrong_options_are_one_line(
    args: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "--device", "cpu", *args.split()])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    out = capsys.readouterr().out
    for word in ("toastlab bench --quick", "--sections", "--json", "median", "processor time"):
        assert word in out, word


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_times_on_a_gpu_are_its_own() -> None:
    cuda = torch.device("cuda")
    x = torch.randn(4096, 4096, device=cuda)
    times = list(
        in_turns({"one": lambda: x @ x, "ten": lambda: [x @ x for _ in range(10)]}, 3, cuda)
    )
    assert median(t["ten"] / t["one"] for t in times) > 4
    *_, rows = methods(SMALL, cuda)
    assert all(row["step_ms"] > 0 for row in rows)
