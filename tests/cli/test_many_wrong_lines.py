"""Hundreds of wrong command lines, made from the options that there are: no traceback, one line.

A line is right but for one thing: a value of another type, or beyond its range, or none of the
choices; an option, a command or a method that does not exist; something missing or too much. So
none of them may train, and each must end in a line that begins with "toastlab: ".
"""

import dataclasses
import importlib
import inspect
import random
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest

from tests.properties.fuzz import LONG
from toastlab.cli import main as cli
from toastlab.cli.overview import COMMANDS, FILES, TAKE_METHOD
from toastlab.core.settings import Range
from toastlab.methods import CONFIGS
from toastlab.studies.catalogue import STUDIES
from toastlab.training.config import TrainConfig

# What is not of that type, in any range.
NO_INT = ("x", "1.5", "''", "1e3", "0x10", "1,5", "nan", "--", "∞")
NO_FLOAT = ("x", "''", "1,5", "0x10", "1.2.3", "--")
NO_CHOICE = ("nothing", "''", "TOAST!", "3", "a/b")
HUGE = "9" * 40
# A right line of each command that takes something: one thing is then made wrong.
RIGHT = {
    "demo": "demo",
    "lab": "lab",
    "train": "train toast",
    "compare": "compare",
    "sweep": "sweep toast",
    "runs list": "runs list",
    "runs show": "runs show abc",
    "dashboard": "dashboard",
    "data check": "data check digits",
    "doctor": "doctor",
    "bench": "bench",
}


def plain(hint: Any) -> tuple[Any, Range | None]:
    """A type without what is annotated, and its range."""
    if get_origin(hint) is not Annotated:
        return hint, None
    kind, *extras = get_args(hint)
    return kind, next((e for e in extras if isinstance(e, Range)), None)


def wrong_values(hint: Any) -> Iterator[str]:
    kind, limits = plain(hint)
    if get_origin(kind) is tuple:
        kind, limits = plain(get_args(kind)[0])
    if get_origin(kind) is Literal:
        yield from NO_CHOICE
    elif kind is int:
        yield from NO_INT
    elif kind is float:
        yield from NO_FLOAT
    if limits is not None and kind in (int, float):
        top = f"{limits.high:.0f}" if kind is int else f"{limits.high:g}"
        yield f"{top}0" if limits.high >= 1 else "2"
        yield from (HUGE,) if kind is int else ("1e400", "nan", "inf", "-inf")
        yield f"{limits.low - 1:.0f}"


def fields_of(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Options of a dataclass of settings, those inside too."""
    for name, hint in get_type_hints(settings, include_extras=True).items():
        if name not in {f.name for f in dataclasses.fields(settings)} or name == "method":
            continue
        inner = plain(hint)[0]
        if dataclasses.is_dataclass(inner):
            yield from fields_of(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, hint


def options_of(words: str) -> Iterator[tuple[str, Any]]:
    """Name and type of each option of a command, but the method's."""
    file = words.split()[0]
    module = importlib.import_module(f"toastlab.cli.{FILES.get(file, file)}")
    call = getattr(module, words.replace(" ", "_"))
    for name, hint in get_type_hints(call, include_extras=True).items():
        kind, _ = plain(hint)
        if name == "method" or inspect.signature(call).parameters.get(name) is None:
            continue
        if dataclasses.is_dataclass(kind):
            yield from fields_of(kind, "data." if name == "data" else "")
        else:
            yield name, hint


def made() -> list[str]:
    """All wrong lines, in a fixed order."""
    lines = [f"{words} --nothing 3" for words in RIGHT.values()]
    lines += [f"{words} too much" for words in RIGHT.values()]
    for words, right in RIGHT.items():
        for name, hint in options_of(words):
            option = "--" + name.replace("_", "-")
            values = set(wrong_values(hint))
            lines += [f"{right} {option}={value}" for value in sorted(values)]
            lines += [f"{right} {option}s-and-more 1"]
            if values and get_origin(plain(hint)[0]) is not tuple:  # an empty list may be meant
                lines += [f"{right} {option}"]
    for name, config in CONFIGS.items():
        for field, hint in fields_of(config):
            option = "--" + field.replace("_", "-")
            lines += [f"train {name} {option}={value}" for value in sorted(set(wrong_values(hint)))]
    for name, study in STUDIES.items():
        lines += [f"study run {name} --nothing", f"study run {name[:-1]}x --yes"]
        for field, hint in fields_of(study.options):
            option = "--" + field.replace("_", "-")
            right = f"study run {name} --yes"
            lines += [f"{right} {option}={value}" for value in sorted(set(wrong_values(hint)))]
    for words in COMMANDS:
        first, _, second = words.partition(" ")
        lines += [f"{first}x {second}", f"-{words}"]
        lines += [f"{first} {second[:-1]}zz q"] if second else []
    for words in TAKE_METHOD:
        lines += [f"{words} {name}" for name in ("toasty", "''", "-1", "../x", "TOAST", "no.toml")]
    ports = ("0", "-1", "65536", "99999", "x", HUGE)
    lines += [f"{words} --port={port}" for words in ("lab", "dashboard") for port in ports]
    for words in ("demo", "compare", "sweep toast --axis seed 0,1"):
        lines += [f"{words} --workers={n}" for n in ("-1", "-99", "1025", HUGE, "x")]
        lines += [f"{words} --seeds={n}" for n in ("0", "-1", "1001", HUGE)]
        lines += [f"{words} --device={name}" for name in ("gpu", "cuda:x", "cuda:99", "''")]
    lines += [f"dashboard --{name}={n}" for name in LIMITS for n in ("0", "-1", HUGE, "nan", "x")]
    lines += [f"dashboard --spare={n}" for n in ("-1", "1001", HUGE, "nan", "x")]
    lines += [f"runs show {key}" for key in ("''", "../..", "*", "zz", "é", "'a b'", "a" * 99)]
    lines += [f"data {do} {n}" for do in ("check", "fetch") for n in ("''", "x", "../x", "idx")]
    return list(dict.fromkeys(lines))


LIMITS = ("visitors", "trainings", "gone-after")


def complaint(line: str, capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    """What is wrong with the answer to a wrong line, or nothing."""
    try:
        cli.main(shlex.split(line))
        return f"accepted: {capsys.readouterr().out[-100:]}"
    except SystemExit as stop:
        code = stop.code
    except BaseException as error:
        return f"traceback: {error!r}"
    found = capsys.readouterr()
    said = found.err.splitlines()
    if code not in (1, 2):
        return f"exit code {code}"
    if "Traceback" in found.err + found.out or not said or len(said) > 3:
        return f"said: {said[:4]}"
    if not said[-1].startswith("toastlab: ") or not said[-1].endswith((".", "help.")):
        return f"said: {said[-1]}"
    if len(said[-1]) > 700 or "  " in said[-1]:
        return f"unclear: {said[-1]}"
    if left := [str(p.relative_to(folder)) for p in folder.rglob("*")]:
        return f"left {left[:3]}"
    return ""


def test_no_wrong_line_gets_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = made()
    if not LONG:
        lines = random.Random(0).sample(lines, 240)
    wrong = {line: told for line in lines if (told := complaint(line, capsys, tmp_path))}
    assert len(lines) >= 200
    assert not wrong, "\n".join(f"{line}: {told}" for line, told in wrong.items())


def test_there_are_many_and_each_option_has_some() -> None:
    lines = made()
    assert len(lines) > 1000
    for name, hint in fields_of(TrainConfig):
        option = "--" + name.replace("_", "-")
        bare = plain(hint)[0] in (bool, str)
        assert bare or any(f" {option}=" in line for line in lines), option
