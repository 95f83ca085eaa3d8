"""The command line as a user meets it: help that teaches, one line for what is wrong, real runs."""

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toastlab.cli import main as cli
from toastlab.cli.overview import COMMANDS, RENAMED, TAKE_METHOD
from toastlab.core.errors import StoreError
from toastlab.store.runs import RunStore
from toastlab.studies.arms import Job
from toastlab.studies.catalogue import STUDIES
from toastlab.studies.study import Options, Progress, Study

ROOT = Path(__file__).parents[2]
FAST = ["--data.name", "digits", "--epochs", "1", "--batch-size", "64"]


def ok(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    cli.main(args)
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What a wrong command says: one line on stderr, exit code 2."""
    with pytest.raises(SystemExit) as stop:
        cli.main(args)
    err = capsys.readouterr().err
    assert stop.value.code == 2, err
    *above, line = err.splitlines()
    assert line.startswith("toastlab: ")
    assert all("starting" in x for x in above)  # at most the bar of a run that could not begin
    assert "--------" not in err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("args", [[], ["-h"], ["--help"], ["help"]])
def test_overview(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    out = ok(capsys, *args)
    groups = re.findall(r"^\w.*$", out, re.M)
    assert groups[1:-1] == ["Start here", "Train and compare", "Look", "Check"]
    assert out.index("toastlab demo ") < out.index("toastlab train ") < out.index("toastlab bench ")
    for command in COMMANDS:
        assert f"toastlab {command} " in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.split()
    if command in TAKE_METHOD:
        out = ok(capsys, command, "--help")
        assert f"toastlab {command} toast " in out
        assert "resnet-small" in out
        words.append("toast")
    if command == "study run":
        assert "toastlab study run ablation" in ok(capsys, *words, "--help")
        words.append("recipe")
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert len(out) > 200
    if command == "train":
        for option in ("--medoid-weight", "--data.noise-rate", "--warmup-epochs"):
            assert option in out, option
        assert "Share a of the medoid's soft target" in out


def test_groups_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert "toastlab data fetch" in ok(capsys, "data")
    assert re.match(r"toastlab \d+\.\d+", ok(capsys, "--version"))


def test_an_old_name_leads_to_the_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    for old, new in RENAMED.items():
        said = refused(capsys, *old.split(), "--seeds", "1")
        assert said == f"toastlab: `toastlab {old}` is now `toastlab {new}`.\n"
        words = new.split()
        assert " ".join(words[:2]) in COMMANDS
        assert words[2] in STUDIES


@pytest.mark.parametrize("args", [["study"], ["study", "list"], ["study", "run"]])
def test_studies_say_what_they_ask_and_how_long_they_take(
    args: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Study, "run", None)  # to train would be an error
    out = " ".join(ok(capsys, *args).split())
    for study in STUDIES.values():
        assert f"{study.name} {study.question} How long: {study.duration}." in out


class Typed(io.StringIO):
    """What is typed on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "option", "begins"),
    [
        ("", "", False),
        ("n\n", "", False),
        ("Y\n", "", True),
        ("yes\n", "", True),
        ("", "--yes", True),
    ],
)
def test_on_a_terminal_a_study_asks_first(
    typed: str, option: str, begins: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    began: list[tuple[object, ...]] = []

    def run(self: Study, *args: object, **how: object) -> Iterator[Progress]:
        began.append((self.name, *args, how))
        yield Progress(1, 1, "1 of 1 runs")

    screen = Typed()
    monkeypatch.setattr(Study, "run", run)
    monkeypatch.setattr(Study, "results", lambda *args: ["Shown at the end."])
    monkeypatch.setattr("sys.stdin", Typed(typed))
    monkeypatch.setattr("sys.stdout", screen)
    cli.main(["study", "run", "ablation", "--out", str(tmp_path), *option.split()])
    said = screen.getvalue()
    assert "How long: about 40 minutes on two cores." in said
    assert ("[y/N]" in said) == (not option)
    assert ("Nothing was trained." in said) == (not begins)
    assert ("Shown at the end." in said) == begins
    how = {"device": "auto", "workers": 0, "together": False}
    assert began == ([("ablation", Options(), "runs", str(tmp_path), how)] if begins else [])


def test_without_a_terminal_a_study_asks_nobody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Study, "run", lambda *args, **how: iter([Progress(1, 1, "done")]))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    out = ok(capsys, "study", "run", "regime")
    assert out.splitlines() == [
        STUDIES["regime"].question,
        f"How long: {STUDIES['regime'].duration}.",
        "Tables: data/regime",
    ]


def test_a_page_is_written_from_what_is_stored(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "deep" / "page.md"
    assert ok(capsys, "study", "page", "recipe", "--out", str(file)) == f"{file}\n"
    assert file.read_text(encoding="utf-8") == STUDIES["recipe"].page()
    assert "Did you mean" in refused(capsys, "study", "page", "recipes")


def test_a_bug_is_a_traceback_and_never_wrong_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(error: Exception) -> Callable[..., object]:
        def work(*args: object) -> object:
            raise error

        return work

    def foreign(*args: object) -> object:
        return np.zeros(2).reshape(3)  # a ValueError, but none of ours

    for bug in (TypeError("x"), KeyError("x"), AttributeError("x"), RuntimeError("x")):
        monkeypatch.setattr("toastlab.cli.data.sources.check", raises(bug))
        with pytest.raises(type(bug)):
            cli.main(["data", "check", "digits"])
    monkeypatch.setattr("toastlab.cli.data.sources.check", foreign)
    with pytest.raises(ValueError, match="reshape"):
        cli.main(["data", "check", "digits"])
    monkeypatch.setattr("toastlab.cli.data.sources.check", raises(OSError(28, "No space left")))
    assert "No space left" in refused(capsys, "data", "check", "digits")


def test_a_value_refused_in_a_worker_is_wrong_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["compare", *FAST, "--batch-size", "5000", "--seeds", "2", "--methods", "toast"]
    args += ["--workers", "2", "--device", "cpu", "--store", str(tmp_path), "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        cli.main(args)
    assert stop.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.match("toastlab: .* at most the 1078 training samples", line)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("trian", "Did you mean 'train'"),
        ("data lst", "Did you mean 'list'"),
        ("train toats", "Did you mean 'toast'"),
        ("train toast --model resnt18", "Did you mean 'resnet18'"),
        ("train toast --data.name cifar", "Did you mean 'cifar10"),
        ("train toast --epochs 0", "epochs is 0"),
        ("train toast --epochs ten", "ten"),
        ("train toast --epoch 3", "--epochs"),
        ("train toast --batch-size 7", "must be even"),
        ("train toast --data.name digits --batch-size 5000", "at most the 1078 training samples"),
        ("train toast --medoid-temperature 0", r"medoid temperature is 0"),
        ("train toast --past-weight -1", "past weight is -1"),
        (
            "train toast --carried-loss target --medoid-weight 0.6 --past-weight 0.6",
            r"weights add to 1\.2",
        ),
        ("train toast --criterion hard", "unknown criterion 'hard'"),
        ("train toast --device cuda:77", "no device 'cuda:77'"),
        ("train toast --data.name folder --data.path nowhere", "no folder 'nowhere'"),
        ("train toast --data.name idx", "needs a folder"),
        ("train toast --data.noise-rate 1", "noise rate is 1"),
        ("compare --methods toats", "Did you mean 'toast'"),
        ("compare --seeds 0", "seeds is 0"),
        ("demo --seeds 0", "seeds is 0"),
        ("demo --model nothing", "unknown model"),
        ("demo --device tpu", "no device 'tpu'"),
        ("data check imagenet", "unknown data set"),
        ("data fetch digits", "is part of toastlab"),
        ("data fetch", "Missing.*fashion-mnist"),
        ("runs show 123abc", "0 runs"),
        ("lab --folder nowhere", "no folder 'nowhere'"),
        ("dashboard --trainings 0", "trainings is 0"),
        ("dashboard --gone-after 0.1", r"gone after is 0\.1"),
        ("study rn", "Did you mean 'run'"),
        ("study run pers", "Did you mean 'peers'"),
        ("study page regime", "Choose one of: peers, readings, recipe"),
        ("study run recipe ps-kd-30", "Did you mean 'ps-kd-300'"),
        ("study run recipe ps-kd-300 --data cifar10", "Did you mean 'cifar100'"),
        ("study run recipe ps-kd-300 --epochs 301", r"epochs is 301, but must lie in \[0, 300\]"),
        ("study run recipe ps-kd-300 --budgets image", "Did you mean 'images'"),
        ("study run recipe ps-kd-300 --models resnet", "Did you mean 'resnet18'"),
    ],
)
def test_wrong_input_is_one_line(
    args: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(cli.__file__).parent)  # nothing may be written there
    before = sorted(p.name for p in Path().iterdir())
    assert re.search(message, refused(capsys, *args.split()))
    after = sorted(p.name for p in Path().iterdir())
    assert [n for n in after if n not in before] in ([], ["runs"])


def test_unwritable_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert "cannot write" in refused(capsys, "demo", "--out", str(file / "demo"))
    assert "cannot write" in refused(capsys, "train", "toast", *FAST, "--store", str(file / "x"))
    assert "is a file" in refused(capsys, "train", "toast", *FAST, "--store", str(file))


def test_train_finds_its_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["train", "toast", *FAST, "--store", str(tmp_path), "--device", "cpu"]
    first = ok(capsys, *args)
    assert "top-1 %" in first
    assert "in the store already" not in first
    again = ok(capsys, *args)
    assert "in the store already" in again
    assert first.splitlines()[-1] == again.splitlines()[-1]
    key = first.splitlines()[-1].split()[1]
    assert key in ok(capsys, "runs", "list", "--store", str(tmp_path))
    assert "medoid_weight=0.3" in ok(capsys, "runs", "show", key[:5], "--store", str(tmp_path))


def test_brackets_in_a_name_are_brackets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = ok(capsys, "train", "cross-entropy", *FAST, "--store", "[red]x [/x]", "--device", "cpu")
    key = out.splitlines()[-1].split()[1]
    assert out.splitlines()[-1] == f"Run {key} in [red]x [/x]/{key}"
    assert "'[red]x [/x]'" not in ok(capsys, "runs", "list", "--store", "[red]x [/x]")
    assert "ok    store: 1 of 1 runs in [red]x [/x] sound" in ok(
        capsys, "doctor", "--store", "[red]x [/x]", "--device", "cpu"
    )


def test_a_store_that_can_only_be_read_gives_its_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ["train", "cross-entropy", *FAST, "--store", str(tmp_path), "--device", "cpu"]
    last = ok(capsys, *args).splitlines()[-1]

    def refuses(self: RunStore) -> None:
        raise StoreError("cannot write there.")

    monkeypatch.setattr(RunStore, "check_writable", refuses)
    assert ok(capsys, *args).splitlines()[-1] == last
    assert "cannot write there." in refused(capsys, *args, "--seed", "1")


def test_the_command_in_a_report_can_be_typed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    monkeypatch.setattr("toastlab.cli.compare._compare", lambda *args: told.append(args[-1]))
    words = ["toastlab", "compare", "--methods", "toast", "--out", str(tmp_path / "two words")]
    monkeypatch.setattr("sys.argv", words)
    cli.main()
    assert shlex.split(told[0]) == words


def test_compare_takes_methods_that_have_no_stored_rows_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[list[Job]] = []
    monkeypatch.setattr("toastlab.cli.compare._compare", lambda *args: told.append(args[0]))
    words = ["selc", "elr", "zipf", "gce", "sce"]
    cli.main(["compare", "--methods", *words, "--seeds", "1"])
    assert [job.config.method.name for job in told[0]] == ["cross-entropy", *words]


def test_compare_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ok(
        capsys,
        *("compare", *FAST, "--methods", "toast", "--seeds", "2", "--device", "cpu"),
        *("--out", str(tmp_path / "out"), "--store", str(tmp_path / "runs"), "--workers", "1"),
    )
    assert "cross-entropy" in out
    assert (tmp_path / "out" / "report.html").is_file()
    rows = pd.read_csv(tmp_path / "out" / "results.csv")
    assert rows.groupby("method").size().to_dict() == {"cross-entropy": 2, "TOAST": 2}
    for method, group in rows.groupby("method"):
        shown = f"{100 * group.test_top1.mean():.1f} ± {100 * group.test_top1.std():.1f}"
        assert shown in out, (method, shown)


def test_demo_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ok(
        capsys, "demo", "--seeds", "1", "--epochs", "1", "--out", str(tmp_path), "--device", "cpu"
    )
    assert out.count("TOAST stage 1") >= 2
    assert "one seed: nothing to say" in out
    assert (tmp_path / "report.html").stat().st_size > 200_000
    rows = pd.read_csv(tmp_path / "results.csv")
    assert len(rows) == 8
    assert rows.setting.nunique() == 2


def test_data_commands(capsys: pytest.CaptureFixture[str]) -> None:
    listed = ok(capsys, "data", "list")
    for name in ("fashion-mini", "digits", "cifar100", "tiny-imagenet", "folder", "idx"):
        assert name in listed
    assert "fashion-mini is sound." in ok(capsys, "data", "check", "fashion-mini")


def test_divergence_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["train", "cross-entropy", *FAST, "--learning-rate", "1000", "--store", str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        cli.main(args)
    assert stop.value.code == 1
    assert "lower the learning rate" in capsys.readouterr().err


def test_interrupt_keeps_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from toastlab.training import loop as module

    args = ["train", "toast", *FAST, "--epochs", "3", "--store", str(tmp_path), "--device", "cpu"]
    epoch, calls = module.TrainingRun.epoch, []

    def interrupted(self: module.TrainingRun, *rest: object) -> object:
        calls.append(rest[0])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return epoch(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module.TrainingRun, "epoch", interrupted)
    with pytest.raises(SystemExit) as stop:
        cli.main(args)
    assert stop.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    ok(capsys, *args)
    assert calls == [0, 1, 2, 2], "the first two epochs are not trained again"


def test_as_a_module_and_a_program() -> None:
    for command in (
        [sys.executable, "-m", "toastlab"],
        [str(Path(sys.executable).parent / "toastlab")],
    ):
        done = subprocess.run([*command, "trian"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == (
            "toastlab: unknown command 'trian'. Did you mean 'train'? "
            "Choose one of: analyse, bench, compare, dashboard, data, demo, doctor, lab, runs, "
            "study, sweep, train.\n"
        )
