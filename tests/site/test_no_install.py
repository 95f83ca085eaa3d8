"""Binder, Colab and the workflow ask for what the kit needs; no service is asked itself."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers import NOT_THERE, module_at

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
BINDER = ROOT / ".binder"
WORKFLOW = ROOT / ".github" / "workflows" / "site.yml"
CONDA = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}  # other names for the same
# In Colab before anything is installed; the first cell brings the rest.
COLAB_HAS = (
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "matplotlib",
    "ipywidgets",
    "traitlets",
)


def extras() -> dict[str, list[str]]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def ranges(*names: str) -> dict[str, str]:
    """Package -> its range, of some extras."""
    lines = [line for name in names for line in extras()[name] if not line.startswith("toastlab[")]
    found = [re.match(r"([\w.-]+)([^;]*)", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


def test_binder_installs_within_our_ranges() -> None:
    text = (BINDER / "environment.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^  - ([\w-]+)(>=\S+)$", text, re.M)
    wanted = ranges("", "data", "train", "lab")
    assert len(listed) >= 10
    for name, span in listed:
        assert wanted[CONDA.get(name, name)] == span, name
    assert {"torch", "torchvision"} <= {CONDA.get(name, name) for name, _ in listed}
    (python,) = re.findall(r"- python=3\.(\d+)", text)
    assert 10 <= int(python) < 14


def test_binder_s_scripts_can_be_run() -> None:
    for name in ("postBuild", "start"):
        file = BINDER / name
        assert file.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
        if os.name == "posix":
            assert os.access(file, os.X_OK), name


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_binder_s_visitors_have_one_thread() -> None:
    asked = ["bash", str(BINDER / "start"), "sh", "-c", 'echo "$OMP_NUM_THREADS $1"', "sh", "a b"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stdout == "1 a b\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_binder_s_set_up_installs_this_checkout(tmp_path: Path) -> None:
    """With a Python that takes notes; a failing pip fails it."""
    (tmp_path / "python").write_text('#!/bin/sh\necho "$*" >> asked\n[ "$2" != "$FAIL" ]\n')
    (tmp_path / "python").chmod(0o755)
    where = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    script = ["bash", str(BINDER / "postBuild")]
    subprocess.run(script, cwd=tmp_path, env=where, check=True)
    install, look = (tmp_path / "asked").read_text().splitlines()
    assert install == "-m pip install --no-cache-dir --editable .[lab]"
    assert "toastlab.widgets" in look
    done = subprocess.run(script, cwd=tmp_path, env={**where, "FAIL": "pip"}, check=False)
    assert done.returncode != 0


@pytest.fixture(scope="module")
def colab() -> ModuleType:
    return module_at(ROOT / "docs" / "site" / "colab.py")


def test_colab_s_notebooks_are_ours_with_a_cell_before(colab: ModuleType, tmp_path: Path) -> None:
    colab.main("some.one/toast-lab", str(tmp_path / "made"))
    made = {p.name: json.loads(p.read_text("utf-8")) for p in (tmp_path / "made").iterdir()}
    ours = {p.name: json.loads(p.read_text("utf-8")) for p in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(made) == set(ours)
    for name, book in made.items():
        first, *rest = book["cells"]
        assert rest == ours[name]["cells"]
        assert "https://github.com/some.one/toast-lab /content/toastlab\n" in "".join(
            first["source"]
        )


@pytest.mark.parametrize("name", ["", "toastlab", "a/b/c", "https://a/b", "a b/c", "a/b;c"])
def test_colab_s_notebooks_need_the_repository(
    colab: ModuleType, tmp_path: Path, name: str
) -> None:
    with pytest.raises(SystemExit, match="name it as owner/name"):
        colab.main(name, str(tmp_path / "made"))
    assert not (tmp_path / "made").exists()


def test_colab_s_packages_are_within_our_ranges(colab: ModuleType) -> None:
    wanted = ranges("lab")
    for line in colab.PACKAGES:
        match = re.match(r"([\w.-]+)(.*)", line)
        assert match
        assert match[1] in wanted
        assert match[2] in ("", wanted[match[1]])


def test_notebooks_import_no_more_than_colab_gets(colab: ModuleType) -> None:
    """All that the extras bring beyond what Colab has and installs is hidden."""
    given = {re.split(r"[<>=]", line)[0] for line in colab.PACKAGES} | {*COLAB_HAS, "comm"}
    given |= set(ranges("", "data", "train"))
    beyond = set(ranges("lab", "cluster", "search")) - given
    assert {"jupyterlab", "voila", "jupyter-server", "optuna", "distributed"} <= beyond
    hidden = {name.replace("-", "_") for name in beyond}
    lines = {
        line.strip()
        for file in (ROOT / "notebooks" / "src").glob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.match(r"(from [\w.]+ import [\w ,]+|import [\w.]+)( as \w+)?$", line)
    }
    assert len(lines) > 30
    code = NOT_THERE.format(hidden=hidden) + "\n".join(sorted(lines))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_workflow_builds_checks_and_publishes() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    assert "\t" not in text
    jobs = re.findall(r"^  (\w+):\n    (?:needs|runs-on)", text, re.M)
    assert jobs == ["build", "publish", "colab"]
    for word in (
        *("- run: make docs\n", "path: build/site\n", "actions/deploy-pages@", "pages: write"),
        *("id-token: write", "docs/site/colab.py", "branches: [main]", "name: github-pages"),
    ):
        assert word in text, word
    assert text.count("contents: write") == 1, "only the branch for Colab is written"
    make = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ndocs: setup\n")[1]
    assert "-W --keep-going" in make
    assert "docs/site/check.py build/site" in make
    assert "\nmake docs\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
