"""Names with what a terminal library takes for markup or an emoji: printed as they are."""

import io
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from toastlab.cli import main as cli
from toastlab.cli import terminal

NAMES = ["x [/x]", "[red]x[/red]", "[link=y]z", "a:smile:b", "back\\[slash", "[bold"]
TRAIN = "train toast --data.name digits --epochs 1 --store"


@pytest.mark.parametrize("name", NAMES)
def test_a_store_of_that_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store = shlex.quote(name)

    def told(line: str) -> str:
        cli.main(shlex.split(line))
        return capsys.readouterr().out

    assert f" in {name}/" in told(f"{TRAIN} {store}")
    assert f"store already: {name}/" in told(f"{TRAIN} {store}")
    (key,) = (p.name for p in Path(name).glob("[!.]*"))
    assert f"{name}/{key}" in told(f"runs show {key} --store {store}")
    assert f"1 of 1 runs in {name} sound" in told(f"doctor --device cpu --store {store}")
    assert f"removed {name}/{key}" in told(f"runs rm {key} --store {store}")
    assert repr(name) in told(f"runs list --store {store}")


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_value_of_that_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in (f"{TRAIN} x --seed", "runs list --store", "data check"):
        with pytest.raises(SystemExit):
            cli.main([*line.split(), name])
        assert name in capsys.readouterr().err.replace("\\\\", "\\")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["bar", "plain table", "comparison", "title"])
def test_a_table_or_a_bar_with_that_name(
    name: str, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas as pd

    def bar() -> str:
        said = io.StringIO()
        with terminal.progress() as shown:
            shown.add_task(name, total=None)
            Console(file=said, width=200).print(shown)
        return said.getvalue()

    def table(made: object) -> Callable[[], str]:
        def show() -> str:
            terminal.console().print(made)
            return capsys.readouterr().out

        return show

    frame = pd.DataFrame({"what": [name]})
    ways = {
        "bar": bar,
        "plain table": table(terminal.plain_table(["a"], [[name]])),
        "comparison": table(terminal.comparison_table("t", frame)),
        "title": table(terminal.comparison_table(name, frame)),
    }
    assert name in ways[where]()
