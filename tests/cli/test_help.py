"""The help of every command: whole sentences for readers, and nothing of the source behind them."""

import re
import shlex
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pytest

from toastlab.cli import main as cli
from toastlab.cli.overview import COMMANDS, FILES, METHODS, TAKE_METHOD
from toastlab.methods import CONFIGS
from toastlab.studies.catalogue import STUDIES
from toastlab.widgets.visitors import MEMORY

ROOT = Path(__file__).parents[2]
NAMES: dict[str, Iterable[str]] = {"study run": STUDIES, **dict.fromkeys(TAKE_METHOD, CONFIGS)}
PAGES = [
    [*command.split(), *name]
    for command in COMMANDS
    for name in ([[name] for name in NAMES[command]] if command in NAMES else [[]])
]
LEFTOVERS = ("Suppress", "noqa", "type: ignore", "Annotated", "dataclass", ">=", "# ")


def page(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def options(text: str) -> dict[str, str]:
    """Each option, positional argument and head of a group -> its help, without the default."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        body = line[2:].rstrip("│ ")  # a frame of lines, or of blanks where those are not known
        if line[:2] not in ("│ ", "  ") or not body.strip("─- "):
            continue
        if not body.startswith(" "):
            name = re.match(r"([-{].*?|[A-Z\[].*?)(?:  +(.*))?$", body)
            if name is None or not (name[1][0] in "-{" or name[1].isupper()):
                found[f"group: {body}"] = [body]
                continue
            found[name[1]] = [name[2] or ""]
        else:
            found[list(found)[-1]].append(body.strip())
    plain = {name: " ".join(lines).strip() for name, lines in found.items()}
    note = r" ?\((default: .*|required|once per setting)\)$"
    return {name: re.sub(note, "", said) for name, said in plain.items()}


def test_the_parser_of_this_test() -> None:
    box = (
        "╭─ options ──╮\n│ --a INT   Ask. (default: 1) │\n│ --long-one STR │\n"
        "│           Of (two)  │\n│           lines. (required) │\n╰────╯"
    )
    assert options(box) == {"--a INT": "Ask.", "--long-one STR": "Of (two) lines."}


@pytest.mark.parametrize("words", PAGES, ids=" ".join)
def test_every_option_is_explained_in_a_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    text = page(words, capsys)
    for leftover in LEFTOVERS:
        assert leftover not in text, leftover
    found = options(text)
    assert found.pop("-h, --help") == "show this help message and exit"  # tyro's own words
    for name, said in found.items():
        assert re.match(r"[A-Z`\"'\d]", said), (name, said)
        assert re.search(r"\.$", said), (name, said)
        assert len(said.split()) >= 3 or name.startswith("group"), (name, said)
    first = text.split("\n\n")[1]
    # an older tyro sets the first example behind the sentence, not below it
    assert re.match(r"[A-Z].+?[.:](\s|$)", first, re.S), first


def test_what_is_said_before_anything_is_loaded_is_true() -> None:
    """The overview's sentences are the first ones of the help and of the methods."""
    for words, line in COMMANDS.items():
        first = words.split()[0]
        module = import_module(f"toastlab.cli.{FILES.get(first, first)}")
        assert (getattr(module, words.replace(" ", "_")).__doc__ or "").splitlines()[0] == line
    assert {name: (c.__doc__ or "").splitlines()[0] for name, c in CONFIGS.items()} == METHODS


@pytest.mark.parametrize("command", ["train toast", "compare", "sweep toast", "bench", "analyse"])
def test_examples_in_the_help_are_commands_that_are_understood(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    # an older tyro sets the first example behind the sentence, not below it
    examples = re.findall(r"(?:^|\. )toastlab (.*)", page(command.split(), capsys), re.M)
    examples = [e for e in examples if ".toml" not in e]
    assert len(examples) >= 2
    for example in examples:
        assert callable(cli._prepare(shlex.split(example)))


@pytest.mark.parametrize("name", STUDIES)
def test_the_example_of_a_study_is_understood(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = page(["study", "run", name], capsys)
    (example,) = re.findall(r"^toastlab (study run .*)", text, re.M)
    assert callable(cli._prepare(shlex.split(example)))


def test_times_in_the_help_are_those_of_the_page_about_the_data(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    rows = (ROOT / "data" / "README.md").read_text(encoding="utf-8").splitlines()
    for command, times in {
        "ablation": ["about 40 minutes on two cores"],
        "regime": ["about two hours on two cores"],
        "layouts": ["3 minutes"],
        "peers": ["about 3 hours on two cores", "40 minutes"],
        "scores": ["about 15 minutes on two cores"],
    }.items():
        said = " ".join(page(["study", "run", command], capsys).split()).lower()
        made_by = re.compile(rf"\| `toastlab study run {command}\b")
        stored = " ".join(row for row in rows if made_by.search(row)).lower()
        for time in times:
            assert time in said, (command, time)
            assert time in stored, (command, time)


def test_the_help_has_the_memory_of_a_visitor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured by tests/faults/test_soak.py."""
    monkeypatch.setenv("COLUMNS", "100")
    assert f"each takes {MEMORY:g} GB" in options(page(["dashboard"], capsys))["--visitors INT"]


def test_help_speaks_of_the_ends_that_the_settings_have(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the help names a range, both its ends are taken and what lies beyond is refused."""
    monkeypatch.setenv("COLUMNS", "100")
    count = 0
    alone = {"past_weight": {"carried_loss": "distilled"}}  # as a share of a target it ends at 1
    for method, kind in CONFIGS.items():
        for name, said in options(page(["train", method], capsys)).items():
            ends = re.search(r", ([\d.]+) to ([\d.]+\d)\b", said)
            field = name.split()[0].removeprefix("--").replace("-", "_")
            if ends is None or not hasattr(kind(), field):
                continue
            count += 1
            number = type(getattr(kind(), field))
            for end in ends.groups():
                kind(**{field: number(float(end)), **alone.get(field, {})})
            with pytest.raises(ValueError, match=field.replace("_", " ")):
                kind(**{field: number(float(ends[2]) * 2)})
    assert count > 10
