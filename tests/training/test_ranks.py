"""Two processes that `torchrun` starts, on gloo: one bank, one set of medoids, one run folder."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from tests.faults.test_kill import same
from tests.helpers import save, tiny, torchrun
from tests.training import ranks_job
from tests.training.ranks_job import DIGITS, GRADIENTS, RUNS, gradients
from toastlab.cli import main as cli
from toastlab.core.errors import DeviceError, Stopped
from toastlab.data.dataset import load
from toastlab.disk.durable import load_checkpoint
from toastlab.medoids.targets import class_medoids
from toastlab.store.names import run_key
from toastlab.store.runs import Run, RunStore
from toastlab.training import ranks
from toastlab.training.loop import train
from toastlab.training.ranks import ALONE, Ranks

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not dist.is_available() or not dist.is_gloo_available(),
    reason="needs torch.distributed with gloo",
)
ROOT = Path(__file__).parents[2]


def launch(*args: object) -> subprocess.CompletedProcess[str]:
    return torchrun("tests.training.ranks_job", *args)


def begin(store: Path, **options: Any) -> Run:
    """The run of these tests, as one rank does it."""
    return RunStore(store).get(DIGITS, device="cpu", **options)


@pytest.fixture(scope="module")
def killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A store, and the job in it whose rank 1 was killed in the third epoch."""
    store = tmp_path_factory.mktemp("killed")
    return store, launch("killed", store)


@pytest.fixture(scope="module")
def job(
    killed: tuple[Path, object], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of a job that was not killed, and what its two ranks left."""
    out = tmp_path_factory.mktemp("job")
    shutil.copytree(killed[0], out / "interrupted")
    count = iter(range(100))
    with pytest.raises(Stopped):
        begin(out / "grown", should_stop=lambda: next(count) == ranks_job.KILLED_AT)
    for i in range(40):
        for k, name in enumerate("ab"):
            save(out / "images" / name / f"{i}.png", (8, 8), 200 * k + i)
    done = launch("together", out, out / "images")
    assert done.returncode == 0, done.stderr
    left = [torch.load(out / f"rank{r}.pt", weights_only=False) for r in (0, 1)]
    return out, left


def of(job: tuple[Path, list[dict[str, Any]]], name: str) -> tuple[Any, Any]:
    first, second = job[1]
    return first[name], second[name]


@pytest.mark.parametrize("name", [*RUNS, "odd", "streamed"])
def test_every_method_is_the_same_on_both_ranks(job: Any, name: str) -> None:
    """Bank, targets, medoids and exits to the bit; weights, metrics; not what each draws."""
    one, two = of(job, name)
    for part in ("state", "weights"):
        assert one[part].keys() == two[part].keys()
        for key, tensor in one[part].items():
            assert torch.equal(tensor, two[part][key]), key
    np.testing.assert_equal(one["metrics"], two["metrics"])
    assert not torch.equal(one["dropout"], two["dropout"])
    drawn = torch.cat([one["drawn"], two["drawn"]])
    assert torch.equal(drawn.sort().values, torch.arange(len(drawn)))
    visits, seen = one["state"]["bank.visits"], one["state"]["bank.seen"]
    for mine in (one["drawn"], two["drawn"]):  # both ranks' visits are there
        assert visits[mine].sum() == visits.sum() / 2 > 0
        assert seen[mine].any()
    assert one["facts"]["ranks"] == "2 from epoch 1"
    assert one["metrics"]["ranks"] == [2, 2]


def test_the_medoids_are_those_of_one_process_on_the_same_bank(job: Any) -> None:
    for name, labels in (("toast", tiny().train.labels), ("odd", ranks_job.odd().train.labels)):
        state = of(job, name)[1]["state"]
        alone = class_medoids(state["bank.logits"], labels, seen=state["bank.seen"])
        assert (alone.index >= 0).any()
        assert torch.equal(alone.index, state["medoids.index"])
        assert torch.equal(alone.logits, state["medoids.logits"])


def test_metrics_are_of_all_ranks(job: Any) -> None:
    """Counts like those of one process; the share that is carried, as the bank has it."""
    counts = ["images", "passes", "gradients", "steps"]
    for name in ("toast", "cs-kd", "dlb", "extra", "tf-kd-self"):
        alone = train(replace(RUNS[name], spread=False), dataset=tiny(), device="cpu")
        assert alone is not None
        found = of(job, name)[0]["metrics"]
        assert [found[c] for c in counts] == [alone.metrics[c].tolist() for c in counts], name
        assert "ranks" not in alone.metrics
        assert "ranks" not in alone.facts
    one = of(job, "extra")[0]
    share = one["state"]["bank.carried"].sum() / one["state"]["bank.visits"].sum()
    assert 0 < one["metrics"]["carried_share"][-1] == pytest.approx(float(share))


def test_class_sums_are_of_all_ranks(job: Any) -> None:
    (mine, both), (other, again) = of(job, "ols sums")
    assert torch.equal(both, again)
    assert torch.equal(both, mine + other)
    assert not torch.equal(mine, both)


@pytest.mark.parametrize("name", ["selc", "elr"])
def test_what_either_rank_remembers_is_on_both(job: Any, name: str) -> None:
    """SELC corrects labels in the second of two epochs, ELR averages from the first one on."""
    one = of(job, name)[0]
    rows, labels = one["state"]["memory.rows"], tiny().train.labels
    first = torch.eye(4)[labels] if name == "selc" else torch.zeros(64, 4)
    moved = (rows != first).any(1)
    for other in of(job, name):
        assert moved[other["drawn"]].float().mean() > 0.5
    seen = one["state"]["bank.seen"]
    assert not (moved & ~seen).any()


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_those_of_the_whole_batch(job: Any, name: str) -> None:
    alone = gradients(GRADIENTS[name], ALONE)
    for found in of(job, f"{name} gradients"):
        assert len(alone) == len(found) >= 4
        for a, b in zip(alone, found, strict=True):
            torch.testing.assert_close(a, b)


def test_accuracy_is_that_of_one_process(job: Any) -> None:
    """Within three standard errors of the difference of two means, and half a point."""
    spread, again = of(job, "seeds")
    assert spread == again
    alone, digits = [], load(DIGITS.data)
    for seed in range(3):
        result = train(replace(DIGITS, seed=seed, spread=False), dataset=digits, device="cpu")
        assert result is not None
        alone.append(float(result.metrics.test_top1.iloc[-1]))
    error = float(np.sqrt((np.var(alone, ddof=1) + np.var(spread, ddof=1)) / 3))
    assert min(spread) > 0.85
    assert abs(np.mean(alone) - np.mean(spread)) < 3 * error + 0.005, (alone, spread)


def test_a_dead_rank_ends_the_job_with_a_message(killed: Any) -> None:
    store, done = killed
    assert done.returncode not in (0, None)
    lines = [line for line in done.stderr.splitlines() if "toastlab: " in line]
    assert len(lines) == 1, done.stderr
    assert "rank 0 of 2 ends, because another one died" in lines[0]
    assert "goes on" in lines[0]
    assert "Traceback" not in done.stderr.split("toastlab: ")[0]
    (partial,) = store.glob(".partial-*")
    state = load_checkpoint(partial / "checkpoint.pt", ["epoch", "others"])
    assert state is not None
    assert state["epoch"] == 2
    assert RunStore(store).list() == []


def run_of(store: Path) -> Run:
    (run,) = RunStore(store).list()
    return run


def test_it_goes_on_with_as_many_ranks_to_the_bit(job: Any) -> None:
    out, _ = job
    same(run_of(out / "whole"), run_of(out / "interrupted"))
    assert of(job, "whole") == of(job, "interrupted")
    assert run_of(out / "whole").facts["ranks"] == "2 from epoch 1"
    for name in ("whole", "interrupted"):
        assert not list((out / name).glob(".*"))


def test_it_goes_on_with_one_rank(killed: Any, job: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(killed[0], store)
    epochs: list[float] = []
    run = begin(store, on_epoch=lambda row: epochs.append(row["epoch"]))
    assert run is not None
    assert epochs == [3, 4]
    assert run.facts["ranks"] == "2 from epoch 1, 1 from epoch 3"
    assert run.metrics["ranks"].tolist() == [2, 2, 1, 1]
    whole = run_of(job[0] / "whole")
    assert run.key == whole.key
    assert run.metrics.loss[:2].tolist() == whole.metrics.loss[:2].tolist()
    assert run.last["test_top1"] == pytest.approx(whole.last["test_top1"], abs=0.05)


def test_it_goes_on_with_more_ranks(job: Any) -> None:
    run = run_of(job[0] / "grown")
    assert run.facts["ranks"] == "1 from epoch 1, 2 from epoch 3"
    assert run.key == run_of(job[0] / "whole").key
    assert run.last["test_top1"] > 0.85


def test_an_error_of_rank_0_is_everybodys(job: Any) -> None:
    assert of(job, "error") == ("said on rank 0", "said on rank 0")


# --- without a second process ---------------------------------------------------------------------


def test_spread_is_part_of_the_name_and_how_many_is_not() -> None:
    assert run_key(DIGITS, "data") != run_key(replace(DIGITS, spread=False), "data")


@pytest.mark.parametrize(
    ("batch_size", "count", "use"),
    [(128, 3, "Use 126 or 132"), (64, 64, r"Use 128\."), (6, 2, "Use 4 or 8")],
)
def test_a_batch_that_cannot_be_shared(batch_size: int, count: int, use: str) -> None:
    with pytest.raises(ValueError, match=f"{batch_size} cannot be shared by {count} ranks.*{use}"):
        Ranks(0, count).local_batch_size(batch_size)
    assert Ranks(0, 4).local_batch_size(128) == 32


def test_seeds_and_shards() -> None:
    assert ALONE.seeds(7)[:4] == np.random.SeedSequence(7).generate_state(4).tolist()
    every = [Ranks(r, c).seeds(7, e) for c in (1, 2) for r in range(c) for e in (0, 3)]
    assert len({s for seeds in every for s in seeds}) == 5 * len(every)
    shards = Ranks(1, 3).shards(100, 0, torch.device("cpu"))
    assert sorted(len(s) for s in shards) == [33, 33, 34]
    assert torch.equal(torch.cat(shards).sort().values, torch.arange(100))
    parts = [Ranks(r, 3).part(100) for r in range(3)]
    assert torch.equal(torch.cat([p for p in parts if p is not None]), torch.arange(100))
    assert Ranks(0, 3).part(2) is None


@pytest.mark.parametrize("name", ["mps", "cuda:0", "cuda"])
def test_devices_that_ranks_cannot_share(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "99")
    with pytest.raises(DeviceError, match=r"GPU"):
        Ranks(0, 2).check_device(torch.device(name))
    ALONE.check_device(torch.device(name))


def test_only_train_is_for_several_ranks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextlib.contextmanager
    def two() -> Iterator[Ranks]:
        yield Ranks(0, 2)

    monkeypatch.setattr(ranks, "job", two)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit):
        cli.main(["demo"])
    assert "torchrun can start `toastlab train`" in capsys.readouterr().err


def test_nobody_can_stop_one_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toastlab.training.loop.here", lambda: Ranks(0, 2))
    with pytest.raises(ValueError, match="stop torchrun"):
        train(DIGITS, dataset=tiny(), device="cpu", should_stop=lambda: False)


def test_an_error_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rank 0 fails too, the others are silent; where it does not, they tell."""
    monkeypatch.setattr(ranks, "PATIENCE", timedelta(seconds=0.1))
    store = dist.HashStore()  # type: ignore[attr-defined]
    ranks._leave_it_to_rank_0(store, 1, ValueError("only here"))
    ranks._leave_it_to_rank_0(store, 0, ValueError("everywhere"))
    with pytest.raises(SystemExit) as stop:
        ranks._leave_it_to_rank_0(store, 1, ValueError("everywhere"))
    assert stop.value.code == 1
