"""The studies' common face: what each says of itself, its options, its tables, its page."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest

import toastlab
from toastlab.analysis.statistics import BASELINE
from toastlab.core.errors import StoreError, TrainingDiverged
from toastlab.data.dataset import DataConfig
from toastlab.methods.plan import BUDGETS
from toastlab.studies import ablation, catalogue, peers
from toastlab.studies.arms import ARM_OF, Job, plan
from toastlab.studies.catalogue import STUDIES, PeersOptions, RecipeOptions
from toastlab.studies.study import Options, Progress, Study, Work
from toastlab.studies.tuning import SPACES
from toastlab.training.config import TrainConfig
from toastlab.training.names import MODELS

ROOT = Path(__file__).parents[2]
DIGITS = DataConfig(name="digits")
every = pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES.keys())


def drain(steps: Any) -> tuple[list[Progress], Any]:
    """What a step yields, and what it returns."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


@every
def test_a_study_says_what_it_is(study: Study) -> None:
    assert STUDIES[study.name] is study
    assert study.question.endswith("?")
    assert study.duration
    assert issubclass(study.options, Options)
    if study.name != "recipe":  # it has to be named
        study.options()
        out = ROOT / study.out
        for name in study.tables:
            assert (out if out.suffix else out / f"{name}.csv").is_file()
    assert bool(study.page_module) == bool(study.page_out)


@every
def test_stored_tables_and_pages(study: Study) -> None:
    for name in study.tables:
        table = study.load(name)
        assert not isinstance(table, pd.DataFrame) or len(table)
    page = study.page()
    assert page == ((ROOT / study.page_out).read_text("utf-8") if study.page_out else None)
    with pytest.raises(ValueError, match="unknown table" if study.tables else "no tables"):
        study.load("nothing")


def test_names_that_stand_in_the_catalogue_are_those_of_the_code() -> None:
    assert tuple(ARM_OF) == catalogue.METHOD_NAMES
    assert get_args(catalogue.Budget) == BUDGETS
    assert set(PeersOptions().models) <= set(peers.NETWORKS)
    for name in peers.NETWORKS:
        assert PeersOptions(models=(name,)).models == (name,)  # type: ignore[arg-type]
    assert set(catalogue.FAMILIES) <= set(MODELS)


def test_reading_the_catalogue_loads_nothing_heavy() -> None:
    """Whatever the front door loads: a stand-in for it here."""
    code = (
        "import sys, types\n"
        "door = types.ModuleType('toastlab'); door.__path__ = [sys.argv[1]]\n"
        "sys.modules['toastlab'] = door\n"
        "import toastlab.studies.catalogue\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'scipy') if m in sys.modules])"
    )
    folder = str(Path(toastlab.__file__).parent)
    command = [sys.executable, "-c", code, folder]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (lambda: PeersOptions(parts=()), "no part is given; name one or more of: defaults"),
        (lambda: PeersOptions(models=()), "no model is given"),
        (lambda: PeersOptions(budgets=()), "no budget is given"),
        (lambda: PeersOptions(seeds=-3), "seeds is -3"),
        (lambda: PeersOptions(more_seeds=0), "more seeds is 0"),
        (lambda: PeersOptions(parts=("tunde",)), "Did you mean 'tuned'"),  # type: ignore[arg-type]
        (lambda: RecipeOptions("dlb-240", methods=()), "no method is given"),
        (lambda: RecipeOptions("dlb-240", val_share=1.0), "val share is 1.0"),
        (lambda: RecipeOptions("dlb-240", data="cifar10"), "Did you mean 'cifar100'"),  # type: ignore[arg-type]
    ],
)
def test_options_that_are_none(options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        options()


def test_where_tables_cannot_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    study = STUDIES["ablation"]
    for out in ("file/x.csv", "folder.csv"):
        Path("folder.csv").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=f"cannot write '{out}'"):
            study.run(Options(), "runs", out)
    with pytest.raises(ValueError, match="cannot write 'file'"):
        STUDIES["regime"].run(Options(), "runs", "file")
    with pytest.raises(StoreError):
        study.run(Options(), "file", "x.csv")
    assert not list(tmp_path.rglob("config.json")), "nothing was trained"


def test_the_ablation_condenses_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two points of the grid, trained for one epoch: rows in the order and form of the table."""
    points = ablation.points()
    few = [points[0], points[-1]]
    whole = ablation.config_of
    monkeypatch.setattr(ablation, "points", lambda: few)
    monkeypatch.setattr(ablation, "SEEDS", (0, 1))
    monkeypatch.setattr(ablation, "MORE_SEEDS", (0, 1))
    monkeypatch.setattr(
        ablation, "config_of", lambda p, s: replace(whole(p, s), epochs=1, data=DIGITS)
    )
    seen = list(STUDIES["ablation"].run(Options(), tmp_path / "runs", tmp_path / "a.csv"))
    assert [(p.done, p.total) for p in seen] == [(i, 4) for i in (1, 2, 3, 4)]
    assert seen[-1].text == "the grid: 4 of 4 runs"
    table, stored = (pd.read_csv(f) for f in (tmp_path / "a.csv", ROOT / "data" / "ablation.csv"))
    assert list(table) == list(stored)
    assert table.seed.tolist() == [0, 1, 0, 1]
    assert table[list(ablation.AXES)].iloc[2].to_dict() == few[1]


def test_peers_writes_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = TrainConfig(data=DIGITS, epochs=1, batch_size=64, record="none")
    monkeypatch.setitem(peers.NETWORKS, "mlp", base)
    few = (BASELINE, "TOAST")
    monkeypatch.setattr(peers, "ARMS", few)
    monkeypatch.setattr(peers, "HEADLINE", (BASELINE,))
    monkeypatch.setattr(peers, "SPACES", {name: SPACES[name] for name in few})
    monkeypatch.setattr(peers, "NOISE", {"clean labels": 0.0, "20 % noise": 0.2})
    study, out = STUDIES["peers"], tmp_path / "out"
    options = PeersOptions(parts=("defaults", "tuned"), budgets=("samples",), seeds=1, more_seeds=2)
    seen = list(study.run(options, tmp_path / "runs", out))
    assert {p.text.split(":")[0] for p in seen} == {"mlp, defaults", "mlp, trials", "mlp, tuned"}
    rows, trials, curves = (pd.read_csv(out / f"{name}.csv") for name in study.tables)
    # all have more seeds in the headline's setting, which is the noisy one
    assert rows.groupby(["part", "setting", "method"]).seed.nunique().to_dict() == {
        ("defaults", "clean labels", BASELINE): 2,
        ("defaults", "clean labels", "TOAST"): 1,
        ("tuned", "clean labels", BASELINE): 1,
        ("tuned", "clean labels", "TOAST"): 1,
        **{(part, "20 % noise", m): 2 for part in ("defaults", "tuned") for m in few},
    }
    assert list(rows.columns[:7]) == ["part", "model", "budget", "setting", "method", "seed", "run"]
    assert (rows[rows.method == BASELINE].passes_to_baseline > 0).all()
    assert trials.groupby("method").size().to_dict() == {BASELINE: 34, "TOAST": 34}
    assert set(curves.epoch) == {1}

    before = rows[rows.part == "tuned"].run.tolist()
    list(study.run(replace(options, parts=("defaults",), seeds=2), tmp_path / "runs", out))
    again = pd.read_csv(out / "rows.csv")
    assert again[again.part == "tuned"].run.tolist() == before, "rows of other parts stay"
    assert (again.part == "defaults").sum() == 8


def test_a_run_that_diverges_is_left_out_or_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = TrainConfig(data=DIGITS, epochs=1, batch_size=64)
    good = plan([BASELINE], 1, base)[0]
    bad = Job("digits", "TOAST", replace(base, learning_rate=1000.0))
    work = Work(tmp_path / "runs", tmp_path, workers=1)
    seen, runs = drain(work.train([good, bad, good], "a test"))
    assert set(runs) == {good}
    assert seen[-1].text == "a test: 1 of 2 runs"
    assert "left out: digits, TOAST, seed 0" in caplog.text
    with pytest.raises(TrainingDiverged, match="TOAST, seed 0"):
        drain(work.train([good, bad], "a test", leave_out_diverged=False))
