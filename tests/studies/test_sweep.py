"""Sweeps: what they ask for, that they resume, their table and ranking, files, the command."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from toastlab.analysis.statistics import interval
from toastlab.cli import main as cli
from toastlab.cli.sweep import options_of
from toastlab.data.dataset import DataConfig
from toastlab.disk.tables import writer
from toastlab.store import runs
from toastlab.studies.space import Axis, parse
from toastlab.studies.sweep import Done, Sweep, ranking, run, sweep_table
from toastlab.training.config import TrainConfig

BASE = TrainConfig(data=DataConfig(name="digits"), epochs=1, batch_size=64, record="none")
WEIGHTS = Axis("medoid-weight", (0.0, 0.6))
NOISE = Axis("data.noise-rate", (0.0, 0.4))
HERE: dict[str, Any] = {"device": "cpu", "workers": 1}
FAST = ["--data.name", "digits", "--epochs", "1", "--batch-size", "64", "--device", "cpu"]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """What this process trains, in order."""
    module: Any = runs
    train, seen = module.train, []

    def noted(config: TrainConfig, **options: Any) -> Any:
        seen.append(config)
        return train(config, **options)

    monkeypatch.setattr(runs, "train", noted)
    return seen


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"axes": ()}, "needs an axis"),
        ({"axes": (WEIGHTS, WEIGHTS)}, "given twice"),
        ({"seeds": 0}, "seeds is 0"),
        ({"trials": 0}, "trials is 0"),
        ({"search": "gird"}, "Did you mean 'grid'"),
        ({"axes": (Axis("medoid-weight", (0.0, 1.5)),)}, "medoid weight is 1.5"),
        ({"axes": (Axis("model", ("mlp", "mpl")),)}, "Did you mean 'mlp'"),
        ({"axes": (Axis("momentum", low=0.5, high=2),), "search": "sobol"}, "momentum is"),
        ({"axes": (Axis("momentum", low=0.5, high=2),), "search": "optuna"}, "momentum is"),
        ({"axes": (Axis("momentum", low=0.1, high=0.2),)}, "a grid cannot have the range"),
    ],
)
def test_a_sweep_is_valid_or_says_why_not(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Sweep(**{"base": BASE, "axes": (WEIGHTS,), **wrong})


def test_seeds_are_outermost() -> None:
    what = Sweep(replace(BASE, seed=5), (WEIGHTS, NOISE), seeds=2)
    jobs = what.jobs(what.points())
    assert [job.config.seed for job in jobs] == [5] * 4 + [6] * 4
    assert len(set(jobs)) == len(jobs) == what.size == 8
    assert jobs[1].setting == "medoid-weight 0.0, data.noise-rate 0.4"


def test_a_sweep_goes_on_where_it_stopped(tmp_path: Path, trained: list[TrainConfig]) -> None:
    what = Sweep(BASE, (WEIGHTS, NOISE), seeds=2)
    begun = run(what, tmp_path, **HERE)
    first = [next(begun) for _ in range(3)]
    del begun
    assert len(trained) == 3
    done = list(run(what, tmp_path, **HERE))
    assert len(trained) == len(set(trained)) == 8, "nothing twice"
    assert [one.stored for one in done] == [True] * 3 + [False] * 5
    assert {one.run.key for one in first if one.run} == {
        o.run.key for o in done if o.run and o.stored
    }
    again = list(run(what, tmp_path, **HERE))
    assert len(trained) == 8
    assert all(one.stored for one in again)
    pd.testing.assert_frame_equal(sweep_table(done), sweep_table(again))
    # another seed and another value: only what is new
    list(run(replace(what, seeds=3), tmp_path, **HERE))
    assert len(trained) == 12
    assert {config.seed for config in trained[8:]} == {2}


def test_the_table_is_tidy_and_of_the_runs(tmp_path: Path) -> None:
    what = Sweep(BASE, (WEIGHTS, NOISE), seeds=2)
    done = list(run(what, tmp_path, **HERE))
    table = sweep_table(done[::-1])
    assert list(table.columns[:4]) == ["medoid-weight", "data.noise-rate", "seed", "run"]
    assert table["seed"].tolist() == [0, 1] * 4
    assert table["medoid-weight"].tolist() == [0.0] * 4 + [0.6] * 4
    store = runs.RunStore(tmp_path)
    for row in table.to_dict("records"):
        of = store.open(row["run"])
        assert of.config.data.noise_rate == row["data.noise-rate"]
        assert of.config.method.medoid_weight == row["medoid-weight"]  # type: ignore[attr-defined]
        assert of.config.seed == row["seed"]
        assert of.last["val_top1"] == row["val_top1"]
        assert of.last["test_nll"] == row["test_nll"]
        assert row["seconds"] > 0
    measures = [c for c in table.columns[4:] if c != "seconds"]
    assert all(c.startswith(("val_", "test_")) for c in measures)


def test_settings_are_ranked_by_validation_not_by_test() -> None:
    table = pd.DataFrame(
        {
            "a": [1, 1, 2, 2, 3, 3],
            "seed": [0, 1] * 3,
            "val_top1": [0.5, 0.7, 0.8, 0.9, np.nan, 0.99],
            "test_top1": [0.9, 0.9, 0.1, 0.1, 0.95, 0.95],
        }
    )
    rows = ranking(table, ["a"])
    assert rows["a"].tolist() == [2, 1, 3], "the diverged one last"
    assert tuple(rows.loc[0, ["mean", "low", "high"]]) == interval([0.8, 0.9])
    assert rows["seeds"].tolist() == [2, 2, 2]


def test_a_run_that_diverges_does_not_end_the_sweep(tmp_path: Path) -> None:
    what = Sweep(BASE, (Axis("learning-rate", (1000.0, 0.05)),), seeds=1)
    done = list(run(what, tmp_path, **HERE))
    assert [one.run is None for one in sorted(done, key=lambda one: one.number)] == [True, False]
    table = sweep_table(done)
    assert table["run"].tolist()[0] == ""
    assert np.isnan(table["val_top1"][0])
    assert ranking(table, ["learning-rate"])["learning-rate"].tolist() == [0.05, 1000.0]
    assert Done(0, {}, 0, None).aim == 0


def test_the_command_names_what_diverged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--seeds", "1", "--workers", "1", "--axis", "learning-rate", "1000"]
    cli.main(["sweep", "toast", *FAST, *words])
    out = capsys.readouterr().out
    assert re.search(r"1000(\.0)? *│ *diverged", out)
    assert "1 runs diverged" in out
    assert len(pd.read_csv("sweep.csv")) == 1


def test_the_name_of_the_table_is_checked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"'\.cvs'. Did you mean '\.csv'"):
        writer(tmp_path / "table.cvs")
    monkeypatch.setattr("toastlab.disk.tables.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs pyarrow: pip install pyarrow"):
        writer(tmp_path / "table.parquet")
    writer(tmp_path / "t.csv")(pd.DataFrame({"a": [0.1 + 0.2]}))
    read = pd.read_csv(tmp_path / "t.csv", dtype=str)  # older pandas rounds what it reads
    assert float(read["a"][0]) == 0.1 + 0.2


def test_a_guided_search_asks_again_for_the_same_runs(
    tmp_path: Path, trained: list[TrainConfig]
) -> None:
    pytest.importorskip("optuna")
    axes = (
        Axis("learning-rate", low=0.001, high=0.3, log=True),
        Axis("medoid-weight", low=0, high=1),
        Axis("epochs", low=1, high=2, whole=True),
        Axis("schedule", ("cosine", "constant")),
    )
    what = Sweep(BASE, axes, seeds=2, search="optuna", trials=14)
    begun = run(what, tmp_path, **HERE)
    for _ in range(9):
        next(begun)
    del begun
    done = list(run(what, tmp_path, **HERE))
    assert len(done) == what.size == 28
    assert len(trained) == len(set(trained)) == 28, "found again, not trained again"
    assert sum(one.stored for one in done) == 9
    again = list(run(replace(what, trials=15), tmp_path, **HERE))
    assert [one.point for one in again[:28:2]] == [one.point for one in done[::2]]
    assert len(trained) == 30
    for one in done:
        assert 0.001 <= float(one.point["learning-rate"]) <= 0.3
        assert one.point["epochs"] in (1, 2)
    # guided: after its ten random trials it looks where the accuracy was, at large rates
    rates = [float(one.point["learning-rate"]) for one in done[::2]]
    assert np.median(rates[10:]) > np.median(rates[:10])


def test_a_guided_search_without_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    what = Sweep(BASE, (Axis("momentum", low=0, high=0.9),), search="optuna")
    with pytest.raises(ValueError, match=r'pip install "toastlab\[search\]"'):
        next(run(what, tmp_path, **HERE))


FILE = """
method = "toast"  # comments are welcome
seeds = 2
past-weight = 0.5
search = "grid"
channels-last = false
[data]
name = "digits"
per_class = 20
[augment]
flip = true
[axes]
medoid-weight = [0, 0.3]
augment.crop = 1
"data.noise-rate" = "0,0.2"
"""


def test_a_file_is_a_command_line_that_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(FILE.replace("augment.crop", '"augment.crop"'))
    assert " ".join(options_of(str(file))) == (
        "toast --axis medoid-weight 0,0.3 --axis augment.crop 1 --axis data.noise-rate 0,0.2 "
        "--seeds 2 --past-weight 0.5 --search grid --no-channels-last --data.name digits "
        "--data.per-class 20 --augment.flip"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method = ", "is not TOML"),
        ("seeds = 2", "does not name its method"),
        ('method = "toast"\naxes = 3', r"make it a table: a line \[axes\]"),
        ('method = "toats"', "Did you mean 'toast'"),
        ('method = "toast"\nsede = 2', "--sede"),
        ('method = "toast"\n[data]\nnoise-rate = 2\n', "noise rate is 2"),
        ('method = "toast"\n[axes]\nmomentom = [0, 0.5]', "Did you mean 'momentum'"),
    ],
)
def test_wrong_files_get_one_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(SystemExit) as stop:
        cli.main(["sweep", str(file)])
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert len(err.splitlines()) == 1
    assert re.search(said, err), err


def test_the_command(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    trained: list[TrainConfig],
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["sweep", "toast", *FAST, "--axis", "learning-rate", "0.001,0.2", "--seeds", "2"]
    cli.main([*args, "--axis", "method", "toast,cross-entropy", "--workers", "1"])
    out = capsys.readouterr().out
    table = pd.read_csv("sweep.csv")
    assert len(table) == len(trained) == 8
    means = table.groupby(["learning-rate", "method"])["val_top1"].mean()
    best, worst = means.max(), means.min()
    assert out.index(f"{100 * best:.1f}") < out.index(f"{100 * worst:.1f}")
    assert "4 settings by mean validation top-1" in out
    assert "test_top1" not in out
    # from a file, with other words for the same: nothing is trained
    Path("s.toml").write_text(
        'method = "toast"\nseeds = 2\nepochs = 5\nbatch-size = 64\nworkers = 1\ndevice = "cpu"\n'
        '[data]\nname = "digits"\n[axes]\nlearning-rate = [0.001, 0.2]\n'
        'method = ["toast", "cross-entropy"]\n'
    )
    cli.main(["sweep", "s.toml", "--epochs", "1", "--out", "again.csv"])
    pd.testing.assert_frame_equal(table, pd.read_csv("again.csv"))
    assert len(trained) == 8
    assert "8 runs" in capsys.readouterr().out


def test_help_and_wrong_words(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["sweep", "--help"])
    assert "toastlab sweep FILE.toml" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        cli.main(["sweep", "toast", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "log:0.01..0.3" in out
    assert "--medoid-weight" in out
    for words, said in (
        (["--axis", "medod-weight", "0,1"], "Did you mean 'medoid-weight'"),
        (["--axis", "medoid-weight"], "Expected 2 values"),
        (["--axis", "medoid-weight", "0,2"], "medoid weight is 2"),
        (["--axis", "epochs", "1,2", "--backend", "dusk"], "Did you mean 'dask'"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(["sweep", "toast", *words])
        err = capsys.readouterr().err
        assert stop.value.code == 2
        assert said in err
        assert len(err.splitlines()) == 1


def test_axes_of_the_command_are_axes_of_the_library() -> None:
    assert parse("medoid-weight", "0,0.6", BASE) == WEIGHTS
