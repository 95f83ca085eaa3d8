"""The lock is what is installed and tested; licences and lower ends agree with pyproject.toml."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.helpers import module_at

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
# Where the page of licences was made, and what is tested most.
HOME = {
    "python_version": "3.11",
    "python_full_version": "3.11.7",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
}
# Stands for Python in a set-up that installs nothing: it notes what pip was asked for.
NOTES = """#!/bin/sh
case "$*" in
    "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    *"pip install"*) echo "$*" >> asked ;;
esac
"""


needs_make = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("make") is None, reason="no make here, or no shell"
)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return module_at(ROOT / "docs" / "dependencies.py")


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(x) for x in re.findall(r"\d+", version)[:3])


def test_every_declared_package_has_its_licence_and_its_place_in_the_lock(
    tool: ModuleType,
) -> None:
    page = tool.PAGE.read_text(encoding="utf-8")
    pins = tool.lock(**HOME)
    for name, text in tool.declared().items():
        if "python_version" in text and name not in pins:
            continue
        assert name in pins, f"{name}: run make lock"
        assert re.search(rf"^\| {name} \| {re.escape(pins[name])} \| (?!not stated)", page, re.M)


def test_what_stands_apart_is_named_with_its_licence(tool: ModuleType) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = tomllib.loads(text)["project"]["optional-dependencies"][tool.APART]
    names = [line.partition(">=")[0] for line in lines if not line.startswith("toastlab[")]
    assert names == ["nbgrader"]
    page = tool.PAGE.read_text(encoding="utf-8")
    assert page.startswith(tool.TEXT.format(audit=tool.AUDIT))
    for name in names:
        assert name not in tool.declared()
        assert re.search(rf"{name} \(\w+ licence, tried\s+with [\d.]+\)", page)


IMPORTED_AS = {"PIL": "pillow", "sklearn": "scikit-learn"}  # where a package has another name
# What is installed with which extra -> the places that may import nothing beyond it.
PLACES = {
    "data": ["toastlab/core", "toastlab/medoids", "toastlab/methods", "toastlab/data"],
    "train": ["toastlab/disk", "toastlab/analysis", "toastlab/training", "toastlab/store"],
    "lab,cluster,search": ["toastlab/plots", "toastlab/course", "toastlab/studies"],
    "lab": ["toastlab/widgets", "toastlab/cli"],
    "test": ["toastlab/bench", "tests", "notebooks", "docs"],  # bench times others' medoids, too
}


def with_extras(project: dict[str, Any], extras: str) -> set[str]:
    """The packages that `pip install "toastlab[EXTRAS]"` names."""
    lines = [*project["dependencies"]]
    for extra in extras.split(","):
        for line in project["optional-dependencies"][extra]:
            if line.startswith("toastlab["):
                inner = line.removeprefix("toastlab[").rstrip("]")
                lines += sorted(with_extras(project, inner))
            else:
                lines.append(line)
    names = [re.match(r"[\w.-]+", line) for line in lines]
    return {name[0].lower() for name in names if name}


# Asked for by nobody but who has them: each import says so in one line, or its test is skipped.
# lightning and transformers are other people's loops, pyarrow a file format, cleanlab an oracle
# under the AGPL, which may be no dependency, nbgrader the extra that stands apart.
BRINGS_HIS_OWN = {"lightning", "transformers", "pyarrow", "cleanlab", "nbgrader"}


def imported(file: Path) -> set[str]:
    """The packages of others that a file imports, wherever it does so, as they are installed."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
            found.add(ast.literal_eval(node.args[0]))
    tops = {name.split(".")[0] for name in found}
    tops -= {"toastlab", "tests", *sys.stdlib_module_names}
    if not (file.parent / "__init__.py").exists():  # scripts, which find each other when run
        tops -= {path.stem for path in file.parent.glob("*.py")}
    return {IMPORTED_AS.get(top, top.lower().replace("_", "-")) for top in tops}


def test_every_room_has_its_extra() -> None:
    rooms = {p.name for p in (ROOT / "toastlab").iterdir() if (p / "__init__.py").exists()}
    listed = [place for places in PLACES.values() for place in places]
    assert {Path(place).name for place in listed if place.startswith("toastlab/")} == rooms


@pytest.mark.parametrize("extras", PLACES)
def test_what_is_imported_is_declared(extras: str) -> None:
    """Whatever a file imports comes with the extra that its room is for, not by chance."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    declared = with_extras(project, extras)
    for place in PLACES[extras]:
        files = sorted((ROOT / place).rglob("*.py"))
        assert files, place
        for file in files:
            assert not imported(file) - declared - BRINGS_HIS_OWN, file.relative_to(ROOT)


def test_what_is_declared_is_used() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = with_extras(tomllib.loads(text)["project"], "test")
    places = [place for places in PLACES.values() for place in places]
    used = {
        name for place in places for file in (ROOT / place).rglob("*.py") for name in imported(file)
    }
    # Run, not imported: nbval and xdist by pytest, ruff and mypy by make, the last two by Sphinx
    run = {"nbval", "pytest-xdist", "ruff", "mypy", "pandas-stubs", "myst-nb"}
    assert declared - used == run | {"pydata-sphinx-theme"}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_the_lock_has_one_version_within_each_range(
    tool: ModuleType, python: str, system: str
) -> None:
    where = {"python_version": python, "python_full_version": python + ".5"}
    pins = tool.lock(**where, sys_platform=system)
    for name, text in tool.declared().items():
        if "python_version" in text and name not in pins:
            continue
        low, high = re.search(r">=([\w.]+)", text), re.search(r"<(\d[\w.]*)", text)
        assert low
        assert numbers(pins[name]) >= numbers(low[1]), name
        assert high is None or numbers(pins[name]) < numbers(high[1]), name


def test_the_lower_ends_are_those_of_pyproject(tool: ModuleType) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pins = tool.lowest()
    assert len(pins) >= 20
    for pin in pins:
        name, version = pin.split("==")
        assert re.search(rf'"{name}>={re.escape(version)}[",]', text, re.I), pin


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone as far as set-up looks at it, with a Python that only takes notes."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python").write_text(NOTES)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def make(clone: Path, *words: str) -> tuple["subprocess.CompletedProcess[str]", list[str]]:
    """`make WORDS`, and what it asked of the stand-ins."""
    outer = ("ARGS", "LATEST", "MAKEFLAGS", "MAKELEVEL")  # of the make that runs these tests
    kept = {k: v for k, v in os.environ.items() if k not in outer}
    (clone / "asked").write_text("")
    done = subprocess.run(
        ["make", "PYTHON=./python", *words],
        cwd=clone,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, (clone / "asked").read_text().splitlines()


def setup(clone: Path, *words: str) -> list[str]:
    """What `make setup` asks of pip."""
    done, asked = make(clone, "setup", *words)
    assert done.returncode == 0, done.stderr
    return asked


@needs_make
def test_set_up_reads_the_lock_unless_the_newest_are_asked_for(clone: Path) -> None:
    (asked,) = setup(clone)
    assert "--constraint constraints.txt" in asked
    assert "--upgrade" not in asked
    assert setup(clone) == [], "nothing to do where it is current"
    (asked,) = setup(clone, "LATEST=1")
    assert "--constraint" not in asked
    assert "--upgrade --upgrade-strategy eager" in asked
    (asked,) = setup(clone)
    assert "--constraint constraints.txt" in asked, "back from the newest to the lock"
    os.utime(clone / "constraints.txt", (2**33, 2**33))
    assert len(setup(clone)) == 1, "a lock that moved is installed"


def test_what_is_tested_here_is_what_the_lock_says(tool: ModuleType) -> None:
    """In the .venv of `make`; anybody else's packages are their own."""
    if Path(sys.prefix) != ROOT / ".venv" or not (ROOT / ".venv" / ".locked").exists():
        pytest.skip("not the .venv of make, or made with LATEST=1")
    pins = tool.lock()
    assert len(pins) > 100
    here = {name: version(name).split("+")[0] for name in pins}
    assert here == pins


def test_conda_and_ci_use_the_lock_too() -> None:
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    assert "      - --constraint constraints.txt" in lines
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "make test" in ci, "the newcomer's command, with nothing added"
    job = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    for word in ("schedule:", "make demo", "make test", "LATEST", "3.10", "3.11", "3.12", "3.13"):
        assert word in job, word


def stand_ins(clone: Path, failing: str) -> None:
    """Has `make` ask scripts that take notes, of which one fails: "python tests", "mypy", ..."""
    setup(clone)
    for name in ("python", "ruff", "mypy"):
        part = 'case "$*" in *nbval*) part=notebooks ;; *) part=tests ;; esac\n'
        fails = f'case "{name} $part" in "{failing}"*) exit 1 ;; esac\n'
        script = clone / ".venv" / "bin" / name
        script.write_text(f'#!/bin/sh\n{part}echo "{name} $*" >> asked\n{fails}')
        script.chmod(0o755)


@needs_make
@pytest.mark.parametrize("failing", ["python tests", "ruff", "mypy", "nothing"])
def test_style_and_types_stand_in_no_tests_way(clone: Path, failing: str) -> None:
    """`make test` runs every part, tests first, whatever another one says, and tells which fail."""
    stand_ins(clone, failing)
    done, asked = make(clone, "test")
    cores = "python -m pytest -n logical --maxprocesses 4 --dist"
    assert asked[0] == f"{cores} worksteal"
    assert asked[1].startswith(f"{cores} loadfile --nbval")
    assert asked[2].startswith("ruff")
    assert (done.returncode != 0) == (failing != "nothing")
    if failing != "nothing":
        assert f"Failed: {'tests' if 'tests' in failing else 'lint'}" in done.stdout


@needs_make
def test_style_and_types_of_the_newest_packages_do_not_count(clone: Path) -> None:
    stand_ins(clone, "mypy")
    done, asked = make(clone, "test", "LATEST=1")
    assert done.returncode == 0
    assert len([line for line in asked if "pytest" in line]) == 2
    assert not [line for line in asked if line.startswith(("ruff", "mypy"))]
