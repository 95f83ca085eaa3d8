"""The lock, the licences and the lower ends agree with pyproject.toml."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dependencies", ROOT / "docs/dependencies.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(x) for x in re.findall(r"\d+", version)[:3])


def test_every_declared_package_has_its_licence_and_its_place_in_the_lock(
    tool: ModuleType,
) -> None:
    page = tool.PAGE.read_text(encoding="utf-8")
    pins = dict(
        line.split("==") for line in tool.LOCK.read_text().splitlines() if not line.startswith("#")
    )
    for name, text in tool.declared().items():
        if "python_version" in text and name not in pins:
            continue
        assert name in pins, f"{name}: run python docs/dependencies.py"
        assert re.search(rf"^\| {name} \| {re.escape(pins[name])} \| (?!not stated)", page, re.M)
        low = re.search(r">=([\w.]+)", text)
        assert low
        assert numbers(pins[name]) >= numbers(low[1]), name
        high = re.search(r"<(\d[\w.]*)", text)
        assert high is None or numbers(pins[name]) < numbers(high[1]), name


def test_the_lower_ends_are_those_of_pyproject(tool: ModuleType) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pins = tool.lowest()
    assert len(pins) >= 20
    for pin in pins:
        name, version = pin.split("==")
        assert re.search(rf'"{name}>={re.escape(version)}[",]', text, re.I), pin


def test_make_and_ci_use_them() -> None:
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "docs/dependencies.py --lowest" in make
    assert "$(if $(LOCK),--constraint $(LOCK))" in make
    assert "make test LOCK=constraints.txt" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
